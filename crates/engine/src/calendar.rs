//! The times of a schedule's calendar. Time zones are those of the machine's own database.

use croner::Cron;
use croner::parser::CronParser;
use jiff::Zoned;
use jiff::tz::TimeZone;
use longshore_domain::Timestamp;
use longshore_domain::fault::Fault;
use longshore_domain::schedule::Calendar;

/// A calendar that was understood.
///
/// Where clocks are set forward, what falls into the hour that is left out comes right after it; where they are set back,
/// what has a fixed hour comes once, and what comes at each hour or minute goes on.
pub(crate) struct Times {
    cron: Cron,
    zone: TimeZone,
}

impl Times {
    /// # Errors
    /// `invalid_argument`, of `cron` or of `time_zone`.
    pub(crate) fn of(calendar: &Calendar) -> Result<Self, Fault> {
        let Calendar { cron, time_zone } = calendar;
        let cron = CronParser::new().parse(cron).map_err(|error| {
            Fault::invalid("cron", format!("`{}` is no cron expression: {error}", cron.escape_debug()))
                .next("give minute, hour, day of the month, month and day of the week, e.g. `30 4 * * mon-fri`")
        })?;
        let zone = TimeZone::get(time_zone).map_err(|_| {
            let message = format!("this machine knows no time zone `{}`", time_zone.escape_debug());
            Fault::invalid("time_zone", message).next("give a name such as `Europe/Berlin`, or `UTC`")
        })?;
        Ok(Self { cron, zone })
    }

    /// The first time after an instant, if there is any.
    pub(crate) fn after(&self, instant: Timestamp) -> Option<Timestamp> {
        timestamp(&self.cron.find_next_occurrence(&self.zoned(instant)?, false).ok()?)
    }

    /// The last time up to an instant, if there is any.
    pub(crate) fn until(&self, instant: Timestamp) -> Option<Timestamp> {
        timestamp(&self.cron.find_previous_occurrence(&self.zoned(instant)?, true).ok()?)
    }

    fn zoned(&self, instant: Timestamp) -> Option<Zoned> {
        // Times are whole seconds: what is less would be carried along.
        let second = jiff::Timestamp::from_second(instant.as_millis().div_euclid(1000)).ok()?;
        Some(second.to_zoned(self.zone.clone()))
    }
}

fn timestamp(zoned: &Zoned) -> Option<Timestamp> {
    Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(cron: &str, time_zone: &str) -> Result<Times, Fault> {
        Times::of(&Calendar { cron: cron.into(), time_zone: time_zone.into() })
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn next(cron: &str, time_zone: &str, after: &str) -> Vec<String> {
        let times = times(cron, time_zone).unwrap();
        let first = times.after(at(after));
        let all = std::iter::successors(first, |last| times.after(*last));
        all.take(3).map(|time| time.to_string().replace(":00.000Z", "")).collect()
    }

    #[test]
    fn times_come_in_their_zone_and_in_order() {
        let after = "2026-11-30T10:00:00.5Z";
        assert_eq!(next("*/30 * * * *", "UTC", after), ["2026-11-30T10:30", "2026-11-30T11:00", "2026-11-30T11:30"]);
        assert_eq!(
            next("30 4 * * mon-fri", "Europe/Berlin", "2026-12-03T10:00:00Z"),
            ["2026-12-04T03:30", "2026-12-07T03:30", "2026-12-08T03:30"]
        );
        assert_eq!(next("@daily", "UTC", after), ["2026-12-01T00:00", "2026-12-02T00:00", "2026-12-03T00:00"]);
        assert_eq!(next("0 0 29 2 *", "UTC", after)[0], "2028-02-29T00:00");
        assert_eq!(next("0 0 30 2 *", "UTC", after), [""; 0]);
        assert_eq!(next("*/20 * * * * *", "UTC", "2026-11-30T10:00:19.999Z")[0], "2026-11-30T10:00:20.000Z");
    }

    #[test]
    fn the_last_time_up_to_an_instant_may_be_that_instant() {
        let daily = times("0 3 * * *", "UTC").unwrap();
        for (until, last) in [
            ("2026-11-30T03:00:00Z", "2026-11-30T03:00:00Z"),
            ("2026-11-30T02:59:59.999Z", "2026-11-29T03:00:00Z"),
            ("2026-11-30T03:00:00.400Z", "2026-11-30T03:00:00Z"),
        ] {
            assert_eq!(daily.until(at(until)), Some(at(last)), "{until}");
        }
    }

    #[test]
    fn clocks_that_are_set_forward_or_back_lose_no_time_and_double_none() {
        // 29 March 2026: 02:00 to 03:00 does not exist in Berlin; 25 October 2026: 02:00 to 03:00 comes twice.
        let spring = next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z");
        assert_eq!(spring[..2], ["2026-03-29T01:00", "2026-03-30T00:30"]);
        let autumn = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
        assert_eq!(autumn[..2], ["2026-10-25T00:30", "2026-10-26T01:30"]);
        let hourly = next("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z");
        assert_eq!(hourly, ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"]);
    }

    #[test]
    fn what_is_no_calendar_is_refused_with_the_argument_that_is_wrong() {
        for cron in ["", "* * * *", "61 * * * *", "every day", "* * * * * * * *"] {
            assert!(times(cron, "UTC").err().unwrap().message.starts_with("`cron`"), "{cron}");
        }
        for zone in ["", "Europe/Nowhere", "../etc/passwd"] {
            assert!(times("* * * * *", zone).err().unwrap().message.starts_with("`time_zone`"), "{zone}");
        }
    }
}
