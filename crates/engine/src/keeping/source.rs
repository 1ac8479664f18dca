//! Bytes in memory as something to be kept.

use async_trait::async_trait;
use longshore_domain::artifact::Source;

/// Bytes in memory; few enough to be given at once.
pub(super) struct Bytes {
    bytes: Vec<u8>,
    given: bool,
}

impl Bytes {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, given: false }
    }
}

#[async_trait]
impl Source for Bytes {
    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let first = !std::mem::replace(&mut self.given, true);
        Ok((first && !self.bytes.is_empty()).then(|| self.bytes.clone()))
    }

    async fn rewind(&mut self) -> std::io::Result<()> {
        self.given = false;
        Ok(())
    }
}
