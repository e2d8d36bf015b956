//! What an operator may ask for, and what the driver never does.

mod support;

use driver_api::{JobFailed, Operation};
use driver_zk::{
    command::{ask, never},
    sim::{Fault, Harm, Model},
};
use serde_json::json;
use support::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_tells_who_it_is_and_who_may_punch() {
    let site = Site::with(Model::default(), "", |terminal| {
        terminal.fill(3);
        terminal.add_user(1, "1002", "Ana");
        terminal.add_user(2, "007", "Ned");
    })
    .await;
    site.until_settled().await;
    let info = site.ask(Operation::Info).await.unwrap();
    assert_eq!((&info["serial"], &info["records"], &info["users"]), (&json!("CEXA204060001"), &json!(3), &json!(2)));
    let users = site.ask(Operation::Users).await.unwrap();
    assert_eq!(users, json!({ "count": 2, "users": ["007", "1002"] }));
    assert!(!users.to_string().contains("Ana"), "names never leave the terminal");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_opens_once_for_as_long_as_asked() {
    let site = Site::start(Model::default()).await;
    site.ask(Operation::Unlock { door: 1, seconds: 3 }).await.unwrap();
    assert_eq!(site.commands(ask::UNLOCK), 1);
    let refused = site.ask(Operation::Unlock { door: 2, seconds: 3 }).await.unwrap_err();
    assert!(matches!(refused, JobFailed::Refused(_)));
    site.terminal.harm(Fault::once(ask::UNLOCK, Harm::Code(2001)));
    let refused = site.ask(Operation::Unlock { door: 1, seconds: 3 }).await.unwrap_err();
    assert_eq!(refused, JobFailed::Refused("2001, refused".into()));
    site.terminal.harm(Fault::once(ask::UNLOCK, Harm::Stall));
    let unknown = site.ask(Operation::Unlock { door: 1, seconds: 3 }).await.unwrap_err();
    assert!(matches!(unknown, JobFailed::NoAnswer(_)));
    assert_eq!(site.commands(ask::UNLOCK), 3, "a door was asked to open twice");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_asked_for_once_and_the_terminal_found_again() {
    for harm in [None, Some(Harm::Close), Some(Harm::Stall)] {
        let site = Site::with(Model::default(), "timeout = \"300ms\"", |_| {}).await;
        site.until_settled().await;
        if let Some(harm) = harm {
            site.terminal.harm(Fault::once(ask::RESTART, harm));
        }
        assert_eq!(site.ask(Operation::Restart).await, Ok(json!({ "restarting": true })));
        site.terminal.punch("7");
        site.until_stored(1).await;
        assert_eq!(site.commands(ask::RESTART), 1);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_makes_a_terminal_forget_or_stop_is_ever_sent() {
    let site = Site::with(Model::default(), "set_clock = true\nreconcile = \"100ms\"", |terminal| {
        terminal.fill(100);
        terminal.set_clock_offset(jiff::SignedDuration::from_secs(-90));
    })
    .await;
    site.until_settled().await;
    for operation in [
        Operation::Info,
        Operation::Users,
        Operation::Reconcile { from: None, to: None },
        Operation::TimeSet,
        Operation::Unlock { door: 1, seconds: 1 },
        Operation::Restart,
    ] {
        // Some fail while it restarts or its clock is right: all that counts here is what was sent.
        let _ = site.ask(operation).await;
    }
    site.terminal.punch("7");
    site.until("the punch arrives", |site| site.people().contains(&"7".to_owned())).await;
    let never = [
        never::CLEAR_DATA,
        never::CLEAR_LOG,
        never::DELETE_USER,
        never::CLEAR_ADMIN,
        never::DISABLE,
        never::POWER_OFF,
        8,
        12,
    ];
    let journal = site.terminal.journal();
    assert!(!journal.iter().any(|command| never.contains(command)), "{journal:?}");
    let Site { terminal, running } = site;
    running.close().await;
    assert_eq!(terminal.journal().last(), Some(&ask::EXIT), "it left without a word");
    assert_eq!(terminal.records(), 101);
}
