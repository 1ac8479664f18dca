//! Moving house: from a file of the home to a server and back, with output and artifacts.

use longshore_testkit::postgres::Server;

use crate::harness::{Home, ran};

fn printed(home: &Home, id: &str) -> String {
    home.run(&["logs", id]).ok().text()
}

#[test]
fn a_home_moves_to_a_server_and_back() {
    let from = Home::new();
    let done = from.submit(&["--", "sh", "-c", "echo one; echo two"]);
    let failed = from.submit(&["--name", "second", "--", "sh", "-c", "seq 1 100000; exit 3"]);
    let waiting = from.submit(&["--at", "2100-01-01T00:00:00Z", "--", "true"]);
    let daily = ["schedule", "add", "daily", "--json", "--cron", "@daily", "--time-zone", "UTC", "--", "true"];
    let daily = from.run(&daily).ok().json();
    from.finished(&done);
    from.finished(&failed);
    let long = printed(&from, &failed);
    let file = from.scratch("house");
    let running = from.run(&["export", &file]);
    assert!(running.code == 69 && running.stderr.contains("longshore down"), "{running:?}");
    let token = from.run(&["token", "create", "ci", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    from.run(&["down"]).ok();
    let exported = from.run(&["export", &file, "--json"]).ok().json();
    assert_eq!(exported["store"]["jobs"]["count"], 3);

    let server = Home::configured(&format!("[store]\nurl = \"{}\"\n", Server::shared().database()));
    let back = Home::new();
    let mut file = file;
    for home in [&server, &back] {
        let imported = home.run(&["import", &file, "--json"]).ok().json();
        assert_eq!((&imported["store"], &imported["blobs"]), (&exported["store"], &exported["blobs"]));
        assert_eq!(imported["existing"], false);
        let again = home.run(&["import", &file, "--json"]).ok().json();
        assert_eq!((&again["store"], &again["existing"]), (&exported["store"], &true.into()));
        assert_eq!(printed(home, &done), "one\ntwo\n");
        assert_eq!(printed(home, &failed), long);
        assert_eq!(home.finished(&failed)["outcome"]["exit_code"], 3);
        assert_eq!(home.run(&["show", &waiting, "--json"]).ok().json()["state"], "waiting");
        assert_eq!(home.run(&["schedule", "ls", "--json"]).ok().json(), daily);
        let bearer = format!("Bearer {token}");
        let opened = home.ask_with("GET", "/api/v1/jobs", &[("authorization", &bearer)], b"").status;
        assert_eq!(opened, 200, "its token opens the new house");
        assert_eq!(home.run(&["token", "list", "--json"]).ok().text().lines().count(), 1, "once, however often");
        home.run(&["down"]).ok();
        file = home.scratch("house");
        let text = home.run(&["export", &file]).ok().text();
        let digest = exported["store"]["jobs"]["digest"].as_str().unwrap();
        assert!(text.contains(&format!("jobs: 3 ({})", &digest[..16])), "{text}");
    }
    assert_eq!(back.submit(&["--", "true"]).len(), done.len());
    back.run(&["down"]).ok();
    let lived_in = back.run(&["import", &file]);
    assert!(lived_in.code == 79 && lived_in.stderr.contains("jobs or schedules of its own"), "{lived_in:?}");
}

#[test]
fn what_is_no_export_or_damaged_changes_nothing() {
    let home = Home::new();
    let file = home.scratch("house");
    home.submit(&["--", "true"]);
    home.run(&["down"]).ok();
    home.run(&["export", &file]).ok();
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let empty = Home::new();
    let damaged = empty.run(&["import", &file]);
    assert!(damaged.code == 64 && damaged.stderr.contains("nothing was changed"), "{damaged:?}");
    std::fs::write(&file, "hello").unwrap();
    assert_eq!(empty.run(&["import", &file]).code, 64);
    assert_eq!(empty.run(&["import", "/no/such/file"]).code, 74);
    assert_eq!(empty.run(&["ls", "--json"]).ok().text(), "");
}

#[test]
fn a_place_for_artifacts_is_looked_at_before_anything_starts() {
    let home =
        Home::configured("[artifacts]\nurl = \"s3://bucket\"\nendpoint = \"http://127.0.0.1:1\"\nallow_http = true\n");
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
    let refused = ran(home.command(&["serve"]).envs(keys).output().unwrap());
    assert!(refused.code == 75 && refused.stderr.contains("s3://bucket cannot be reached"), "{refused:?}");
    assert!(!refused.stderr.contains("s3cret"), "{refused:?}");
    let wrong = Home::configured("[artifacts]\nurl = \"bucket\"\n").run(&["serve"]);
    assert!(wrong.code == 78 && wrong.stderr.contains("expected `file:///folder`"), "{wrong:?}");
}

#[test]
fn one_place_for_artifacts_serves_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("[artifacts]\nurl = \"file://{}\"\n", folder.path().display());
    let (first, second) = (Home::configured(&settings), Home::configured(&settings));
    first.daemon();
    let refused = second.run(&["up"]);
    assert!(refused.code == 78 && refused.stderr.contains("another store keeps its artifacts"), "{refused:?}");
    assert!(refused.stderr.contains("`store.txt`"), "{refused:?}");
    first.run(&["down"]).ok();
    first.daemon();
    first.run(&["down"]).ok();
    std::fs::remove_file(folder.path().join("store.txt")).unwrap();
    second.daemon();
}
