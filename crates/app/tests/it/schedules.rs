//! Jobs that come again and again, as people and scripts see them.

use longshore_testkit::postgres::Server;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Home, pid_of};
use crate::nodes::pair_on;

const NEVER_SOON: &str = "0 0 29 2 *";

impl Home {
    fn schedule(&self, more: &[&str]) -> Value {
        let args = [&["schedule", "add", "tick", "--json"], more].concat();
        self.run(&args).ok().json()
    }

    /// Ids of the jobs of the schedule once there are so many, and the last of these has ended.
    fn made(&self, count: u64) -> Vec<String> {
        loop {
            let text = self.run(&["ls", "--text", "tick", "--all", "--json"]).ok().text();
            let jobs: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let mut ids: Vec<_> = jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
            ids.reverse();
            if ids.len() as u64 >= count {
                self.run(&["wait", &ids[count as usize - 1]]).ok();
                return ids;
            }
        }
    }
}

#[test]
fn a_schedule_is_added_shown_paused_and_removed() {
    let home = Home::new();
    let added =
        home.schedule(&["--cron", NEVER_SOON, "--time-zone", "Europe/Berlin", "--queue", "q", "--", "echo", "x"]);
    let facts = |schedule: &Value| {
        let word = |name: &str| schedule[name].as_str().unwrap_or("-").to_owned();
        ["name", "state", "cron", "time_zone", "overlap", "title", "queue"].map(word).join(" | ")
    };
    assert_eq!(facts(&added), "tick | active | 0 0 29 2 * | Europe/Berlin | skip | echo x | q");
    assert!(added["next_at"].as_str().unwrap().ends_with("-02-28T23:00:00.000Z"), "{added}");
    assert_eq!(home.run(&["schedule", "ls", "--json"]).ok().json(), added);
    let table = home.run(&["schedule", "ls"]).ok().text();
    assert!(table.contains("tick") && table.contains("0 0 29 2 * Europe/Berlin"), "{table}");
    let shown = home.run(&["schedule", "show", "tick"]).ok().text();
    assert!(shown.contains("calendar     0 0 29 2 * in Europe/Berlin\n"), "{shown}");
    let paused = home.run(&["schedule", "pause", "tick", "--json"]).ok().json();
    assert_eq!((&paused["state"], &paused["next_at"]), (&json!("paused"), &Value::Null));
    let resumed = home.run(&["schedule", "resume", "tick", "--json"]).ok().json();
    assert_eq!(resumed["next_at"], added["next_at"]);
    home.run(&["schedule", "rm", added["id"].as_str().unwrap()]).ok();
    let gone = home.run(&["schedule", "show", "tick"]);
    assert!(gone.code != 0 && gone.stderr.contains("error[not_found]"), "{gone:?}");
}

#[test]
fn jobs_of_a_schedule_find_their_time_and_outlive_it() {
    let home = Home::new();
    let line = "printf %s $LONGSHORE_SCHEDULED_AT";
    home.schedule(&["--cron", "* * * * * *", "--overlap", "allow", "--shell", "--", line]);
    let ids = home.made(2);
    home.run(&["schedule", "rm", "tick"]).ok();
    let times: Vec<_> = ids[..2].iter().map(|id| home.run(&["logs", id]).ok().text()).collect();
    assert!(times[0] < times[1] && times[0].ends_with(".000Z"), "{times:?}");
}

#[test]
fn what_is_wrong_about_a_schedule_is_said_and_makes_none() {
    let home = Home::new();
    home.daemon();
    let body = |change: Value| {
        let mut body = json!({"name": "a", "cron": NEVER_SOON, "job": {"command": ["true"], "cwd": "/"}});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body.to_string()
    };
    for (change, word) in [
        (json!({"cron": "each night"}), "`cron`"),
        (json!({"time_zone": "Mars/Olympus"}), "`time_zone`"),
        (json!({"overlap": "maybe"}), "`overlap`"),
        (json!({"name": ""}), "`name`"),
        (json!({"job": {"command": ["true"], "cwd": "/", "key": "k"}}), "`job.key`"),
        (json!({"job": {"command": [], "cwd": "/"}}), "`command`"),
        (json!({"job": {"command": ["true"], "cwd": "/nowhere"}}), "`cwd`"),
        (json!({"more": 1}), "more"),
    ] {
        let refused = home.ask("POST", "/api/v1/schedules", &body(change));
        assert!(refused.status == 400 && String::from_utf8_lossy(&refused.body).contains(word), "{word}: {refused:?}");
    }
    assert_eq!(home.ask("GET", "/api/v1/schedules", "").json(), json!({"schedules": []}));
    assert_eq!(home.ask("POST", "/api/v1/schedules", &body(json!({}))).status, 201);
    let other = json!({"job": {"command": ["false"], "cwd": "/"}});
    assert_eq!(home.ask("POST", "/api/v1/schedules", &body(other)).status, 409);
}

#[test]
fn a_schedule_outlives_the_node_that_it_was_added_on() {
    let (runs, other) = pair_on(&Server::shared().database(), "30s");
    let line = "printf %s $LONGSHORE_SCHEDULED_AT";
    other.schedule(&["--cron", "* * * * * *", "--overlap", "allow", "--shell", "--", line]);
    kill_process(pid_of(&other.daemon()), Signal::KILL).unwrap();
    let ids = runs.made(2);
    let times: Vec<_> = ids[..2].iter().map(|id| runs.run(&["logs", id]).ok().text()).collect();
    assert!(times[0] < times[1], "{times:?}");
}
