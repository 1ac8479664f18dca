//! How many wrong credentials may come from one place.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::rate::Buckets;

/// Wrong credentials, counted by where they come from. Loopback addresses are never counted: nobody locks themselves
/// out.
#[derive(Debug)]
pub(super) struct Failures(Option<Buckets<IpAddr>>);

impl Failures {
    /// Allows so many from each place in a minute; 0 for any number.
    pub(super) fn new(per_minute: u32) -> Self {
        Self(Buckets::new(f64::from(per_minute) / 60.0, per_minute))
    }

    /// Whether a credential from `peer` is looked at.
    ///
    /// # Errors
    /// How long to pause, if too many were wrong.
    pub(super) fn look(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        match (&self.0, place(peer)) {
            (Some(failures), Some(place)) => failures.look(&place, now),
            _ => Ok(()),
        }
    }

    /// Counts a credential from `peer` that was wrong.
    pub(super) fn count(&self, peer: IpAddr, now: Instant) {
        if let (Some(failures), Some(place)) = (&self.0, place(peer)) {
            // Whether it was one too many is asked before the next one.
            failures.take(place, now).ok();
        }
    }
}

/// What counts as one place: an IPv4 address, or the network of an IPv6 address (its first 64 bits). Nothing for
/// loopback addresses.
fn place(address: IpAddr) -> Option<IpAddr> {
    const NETWORK_BITS: u32 = 64;
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(v4) => Some(v4.into()),
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() >> NETWORK_BITS << NETWORK_BITS).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_network_are_one_place_and_loopback_is_none() {
        let of = |text: &str| place(text.parse().unwrap()).map(|found| found.to_string());
        assert_eq!(of("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(of("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
        for loopback in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(loopback), None, "{loopback}");
        }
    }

    #[test]
    fn a_place_must_pause_after_its_failures_and_no_other_must() {
        let failures = Failures::new(2);
        let start = Instant::now();
        let [wrong, other, local] = ["192.0.2.7", "192.0.2.8", "127.0.0.1"].map(|text| text.parse::<IpAddr>().unwrap());
        for _ in 0..100 {
            failures.count(wrong, start);
            failures.count(local, start);
        }
        assert_eq!(failures.look(wrong, start), Err(Duration::from_secs(30)));
        assert_eq!((failures.look(other, start), failures.look(local, start)), (Ok(()), Ok(())));
        assert_eq!(failures.look(wrong, start + Duration::from_secs(30)), Ok(()));
    }
}
