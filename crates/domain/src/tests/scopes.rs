//! What tokens allow.

use crate::{Grant, Principal, PrincipalClass, Scope, Scopes};

fn set(names: &str) -> Scopes {
    names.split_whitespace().map(|name| name.parse::<Scope>().unwrap()).collect()
}

#[test]
fn no_grant_exceeds_its_class() {
    for (class, asked, held) in [
        (PrincipalClass::Person, "jobs:read jobs:write admin", "jobs:read jobs:write admin"),
        (PrincipalClass::Person, "admin", "admin"),
        (PrincipalClass::Agent, "jobs:read jobs:write admin", "jobs:read jobs:write"),
        (PrincipalClass::Worker, "admin", ""),
        (PrincipalClass::Agent, "jobs:read", "jobs:read"),
    ] {
        let grant = Grant::new(Principal { class, name: "x".into() }, set(asked));
        assert_eq!(grant.scopes().to_string(), held, "{class:?} {asked}");
    }
    let agent = Grant::whole(Principal::owner()).for_agent();
    assert_eq!((agent.principal.clone(), agent.scopes()), (Principal::agent("owner"), set("jobs:read jobs:write")));
}

#[test]
fn scopes_are_written_by_name() {
    let written = serde_json::to_string(&set("admin jobs:read")).unwrap();
    assert_eq!(written, r#"["jobs:read","admin"]"#);
    assert_eq!(serde_json::from_str::<Scopes>(&written).unwrap(), set("jobs:read admin"));
    let unknown = serde_json::from_str::<Scopes>(r#"["jobs:own"]"#).unwrap_err().to_string();
    assert!(unknown.contains("`jobs:own` is no scope: expected jobs:read, jobs:write, admin"), "{unknown}");
    assert_eq!(set("jobs:read admin").without(set("admin")), set("jobs:read"));
}
