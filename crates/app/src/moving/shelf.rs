//! The shelf of a home without its daemon.

use longshore_domain::fault::Fault;

use crate::access::Shelf;
use crate::config::{Config, StoreAt};
use crate::home::Home;
use crate::store;

/// A shelf that is looked at for a moment.
pub(super) struct Lent(pub(super) Shelf);

impl Lent {
    /// # Errors
    /// The store's own.
    pub(super) async fn of(home: &Home, config: &Config) -> Result<Self, Fault> {
        Ok(Self(match &config.store {
            StoreAt::Home => Shelf::Home(home.clone()),
            StoreAt::Server { .. } => Shelf::Store(store::open(home, config).await?),
        }))
    }

    pub(super) async fn give_back(self) {
        if let Shelf::Store(store) = self.0 {
            store.close().await;
        }
    }
}
