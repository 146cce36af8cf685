//! The ring changed from outside: a machine that has nothing but a token joins, and plans are made as they were shown.

use std::io::ErrorKind;

use serde_json::Value;

use crate::program::kinfold;
use crate::site::{Node, Site, eventually};

pub(crate) fn token(site: &Site, name: &str) -> String {
    let ca = site.path("").display().to_string();
    kinfold(["cluster", "token", name, "--ca", &ca], b"").ends(0).text().trim().to_owned()
}

pub(crate) fn status(site: &Site) -> Value {
    site.boss(["cluster", "status", "--json"]).ends(0).json()
}

pub(crate) fn member<'s>(status: &'s Value, name: &str) -> Option<&'s Value> {
    status["members"].as_array()?.iter().find(|member| member["name"] == name)
}

/// What a plan of what is staged is named.
pub(crate) fn plan(site: &Site) -> String {
    let plan = site.boss(["cluster", "plan", "--json"]).ends(0).json();
    plan["plan"].as_str().unwrap().to_owned()
}

/// Has a machine ask to join, and waits until a plan has it.
pub(crate) fn asks(site: &Site, name: &str) -> Node {
    let node = site.join(name, &token(site, name));
    eventually("the node asks to join", || {
        let staged = status(site)["staged"].to_string();
        staged.contains(&format!("{name} at"))
    });
    node
}

#[test]
fn a_machine_joins_by_a_token_once_an_operator_commits_the_plan_that_was_shown() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    site.app(["put", "--w", "3", "things", "a", &"a".repeat(4_000)]).ends(0);
    site.boss(["cluster", "plan"]).says(1, "nothing is staged");
    let text = token(&site, "n4");
    let newcomer = site.join("n4", &text);
    eventually("the node asks to join", || status(&site)["staged"].to_string().contains("n4 at"));

    // It owns nothing yet, and its token is good for one machine.
    assert!(member(&status(&site), "n4").is_none());
    let second = site.join("other", &text);
    eventually("the second machine is refused", || second.log().contains("one machine"));
    // Its certificate lets it stage itself, and nothing else.
    let plan = site.boss(["cluster", "plan", "--json"]).ends(0).json();
    assert_eq!(plan["copies"], 24, "{plan}");
    let gains = |name: &str, what: &str| {
        let members = plan["members"].as_array().unwrap();
        members.iter().find(|m| m["name"] == name).unwrap()[what].clone()
    };
    assert_eq!((gains("n4", "gains"), gains("n1", "gains")), (24.into(), 0.into()));
    // A part of three copies that no disk has tables of yet.
    assert!(gains("n4", "gains_bytes").as_u64().unwrap() > 1_000, "{plan}");
    let shown = plan["plan"].as_str().unwrap().to_owned();

    site.boss(["cluster", "commit", "00000000"]).says(1, "out of date");
    site.boss(["cluster", "set-capacity", "n1", "2"]).ends(0);
    site.boss(["cluster", "commit", &shown]).says(1, "out of date");
    site.boss(["cluster", "unstage", "n1"]).ends(0);
    site.app(["cluster", "commit", &shown]).says(1, "admin role");
    site.boss(["cluster", "commit", &shown]).ends(0);
    site.boss(["cluster", "commit", &shown]).says(1, "nothing was changed");

    // The members dial it, and it them, without a restart: it learns the record from them.
    eventually("the node knows that it is a member", || {
        let status = status(&site);
        member(&status, "n4").is_some_and(|n4| n4["known_version"].as_u64() >= Some(2))
    });
    assert_eq!(status(&site)["changes"], 1);

    // It is itself again after a restart with the same command, and with its configuration.
    newcomer.crash();
    let again = site.join("n4", &text);
    eventually("it starts again", || again.log().contains("going on with it"));
    eventually("the members hear of it", || {
        let run = site.boss(["status", "--json"]);
        serde_json::from_slice::<Value>(&run.out).is_ok_and(|nodes| {
            nodes.as_array().is_some_and(|nodes| nodes.iter().all(|n| n["peers_heard"] == 3))
        })
    });

    site.boss(["cluster", "status", "--wait"]).ends(0);
    let after = status(&site);
    assert_eq!(after["phase"], "stable");
    assert_eq!(member(&after, "n4").unwrap()["partitions"], 24);
}

/// It has asked to join, and its configuration is not there yet.
#[test]
fn a_node_that_is_killed_while_it_asks_to_join_is_a_member_after_its_next_start() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    let text = token(&site, "n4");
    let newcomer = site.join("n4", &text);
    eventually("the node asks to join", || status(&site)["staged"].to_string().contains("n4 at"));
    newcomer.crash();
    if let Err(error) = std::fs::remove_file(site.path("n4/node.toml")) {
        assert_eq!(error.kind(), ErrorKind::NotFound, "or it had not come so far");
    }
    site.boss(["cluster", "commit", &plan(&site)]).ends(0);
    let elsewhere = site.join("n4", &text);
    eventually("it learns where the others dial it", || elsewhere.log().contains("not at"));
    let address = member(&status(&site), "n4").unwrap()["address"].clone();
    let _again = site.join_at("n4", &text, address.as_str().unwrap().parse().unwrap());
    eventually("it has joined", || {
        let status = status(&site);
        status["phase"] == "stable" && member(&status, "n4").unwrap()["partitions"] == 24
    });
}

#[test]
fn of_two_operators_who_commit_at_once_one_wins() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    let _newcomer = asks(&site, "n4");
    let shown = plan(&site);
    let codes: Vec<_> = std::thread::scope(|scope| {
        let commits = [(); 2].map(|()| scope.spawn(|| site.boss(["cluster", "commit", &shown])));
        commits.map(|commit| commit.join().unwrap().code).into()
    });
    // Both may be told so: they made the same plan. It was made once.
    assert!(codes.contains(&Some(0)), "{codes:?}");
    assert_eq!(status(&site)["changes"], 1);
}

#[test]
fn what_is_no_token_or_no_member_is_said_so() {
    let site = Site::new(1, "");
    let _nodes = site.start_all();
    let node = site.join("n2", "nonsense");
    eventually("the token is refused", || node.log().contains("not a whole token"));
    site.boss(["cluster", "leave", "n9"]).says(1, "`n9` is no member: there are n1");
    site.boss(["cluster", "replace", "n1", "--by", "n2"]).says(1, "asks to join");
    site.boss(["cluster", "abort"]).says(1, "no change is in progress");
}
