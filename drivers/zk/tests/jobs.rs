//! What an operator may ask for, and what the driver never does.

mod support;

use driver_api::{JobFailed, Operation, Report, User, Way};
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
        never::CLEAR_ADMIN,
        never::POWER_OFF,
        ask::CLEAR_LOG,
        ask::DELETE_USER,
        ask::DISABLE,
        ask::WRITE_USER,
        12,
    ];
    let journal = site.terminal.journal();
    assert!(!journal.iter().any(|command| never.contains(command)), "{journal:?}");
    let Site { terminal, running, .. } = site;
    running.close().await;
    assert_eq!(terminal.journal().last(), Some(&ask::EXIT), "it left without a word");
    assert_eq!(terminal.records(), 101);
}

fn user(id: &str, name: Option<&str>, card: Option<u32>) -> Operation {
    Operation::UserPut(User { id: id.into(), name: name.map(str::to_owned), card })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_added_changed_and_taken_away_and_the_others_stay_as_they_are() {
    for long_users in [true, false] {
        let site = Site::with(Model { long_users, ..Model::default() }, "", |terminal| {
            terminal.add_user(1, "1002", "Ana");
            terminal.add_user(3, "1003", "Ned");
        })
        .await;
        site.until_settled().await;
        let before = site.terminal.users();
        assert_eq!(site.ask(user("1004", Some("Lu"), Some(4242))).await, Ok(json!({ "added": true })));
        let users = site.terminal.users();
        assert_eq!(users[..2], before[..], "others were touched");
        let (names, cards) = if long_users { (11..13, 35..39) } else { (8..10, 16..20) };
        assert_eq!((&users[2][..2], &users[2][names.clone()]), (&[2, 0][..], &b"Lu"[..]), "the lowest free number");
        assert_eq!(users[2][cards.clone()], 4242_u32.to_le_bytes());
        // What is not told stays as it is.
        assert_eq!(site.ask(user("1004", None, Some(7))).await, Ok(json!({ "added": false })));
        let changed = site.terminal.users().into_iter().find(|raw| raw[0] == 2).unwrap();
        assert_eq!((&changed[names], &changed[cards]), (&b"Lu"[..], &7_u32.to_le_bytes()[..]));

        assert_eq!(site.ask(Operation::UserDelete { id: "1002".into() }).await, Ok(json!({ "deleted": true })));
        assert_eq!(site.terminal.users().len(), 2);
        let gone = site.ask(Operation::UserDelete { id: "1002".into() }).await;
        assert_eq!(gone, Err(JobFailed::Refused("it has no such user".into())));
        let long = site.ask(user("1005", Some(&"x".repeat(25)), None)).await;
        assert!(matches!(long, Err(JobFailed::Refused(_))), "{long:?}");
        if !long_users {
            assert!(matches!(site.ask(user("007", None, None)).await, Err(JobFailed::Refused(_))), "007 is not 7");
        }
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_shown_as_it_is_or_refused() {
    let site = Site::start(Model::default()).await;
    site.until_settled().await;
    site.ask(Operation::Message { text: "Doors open at 8".into() }).await.unwrap();
    assert_eq!(site.terminal.screen(), "Doors open at 8");
    for text in ["x".repeat(33), "\u{1b}[2J".into(), "八点开门".into()] {
        assert!(matches!(site.ask(Operation::Message { text }).await, Err(JobFailed::Refused(_))));
    }
    site.running.close().await;
}

fn clear(punches: u64) -> Operation {
    Operation::ClearLog { punches }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_cleared_only_when_all_of_it_was_delivered_and_its_count_stands() {
    let site = Site::with(Model::default(), "", |terminal| terminal.fill(20)).await;
    site.until_settled().await;
    site.until_stored(20).await;
    // Not all of the ledger was delivered when it was ordered.
    let refused = |outcome| match outcome {
        Err(JobFailed::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(site.ask(clear(19)).await).contains("19 were delivered"));
    // Something is in the log that nobody told: it is read, and not cleared.
    site.terminal.punch_unheard("7");
    assert!(refused(site.ask(clear(20)).await).contains("now they are here"));
    site.until_stored(21).await;
    // Its count says another number than its log has.
    site.terminal.claim_records(Some(23));
    assert!(refused(site.ask(clear(21)).await).contains("23 records"));
    site.terminal.claim_records(None);
    // A record that makes no punch is nowhere but here.
    let mut raw = site.terminal.log()[..40].to_vec();
    raw[27..31].copy_from_slice(&[0xff; 4]);
    site.terminal.append_raw(&raw);
    assert!(refused(site.ask(clear(21)).await).contains("make no punch"));
    assert_eq!((site.commands(ask::CLEAR_LOG), site.terminal.records(), site.terminal.is_open()), (0, 22, true));
    site.running.close().await;
}

/// A terminal that forgets its clock begins with the same second each time: whose punch it was then, its id does not tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_punches_of_a_clock_that_was_never_set_is_not_cleared_from_afar() {
    let site = Site::with(Model::default(), "", |terminal| terminal.fill(20)).await;
    site.until_settled().await;
    site.until_stored(20).await;
    let mut raw = site.terminal.log()[..40].to_vec();
    raw[27..31].copy_from_slice(&187_u32.to_le_bytes()); // 2000-01-01 00:03:07
    site.terminal.append_raw(&raw);
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    site.until_stored(21).await;
    match site.ask(clear(21)).await {
        Err(JobFailed::Refused(why)) => assert!(why.contains("clock was not set"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((site.commands(ask::CLEAR_LOG), site.terminal.records(), site.terminal.is_open()), (0, 21, true));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_log_is_no_trouble_and_fills_again() {
    let site = Site::with(Model::default(), "", |terminal| terminal.fill(20)).await;
    site.until_settled().await;
    site.until_stored(20).await;
    assert_eq!(site.ask(clear(20)).await, Ok(json!({ "cleared": 20, "left": 0 })));
    assert_eq!((site.terminal.records(), site.terminal.is_open()), (0, true));
    let journal = site.terminal.journal();
    let at = |command| journal.iter().rposition(|other| *other == command).unwrap();
    assert!(at(ask::DISABLE) < at(ask::CLEAR_LOG) && at(ask::CLEAR_LOG) < at(ask::ENABLE), "{journal:?}");
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    site.terminal.punch_unheard("7");
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    site.until_stored(21).await;
    let troubled =
        site.gateway().reports(support::NAME).iter().any(
            |report| matches!(report, Report::Trouble { trouble, .. } if trouble.code().starts_with("terminal-log-")),
        );
    assert!(!troubled, "what was ordered is no trouble");
    site.running.close().await;
}

/// A gateway that dies while it clears a log leaves people locked out; whoever comes next lets them in.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_was_left_closed_is_opened_with_and_without_live_punches() {
    for live in [true, false] {
        let site = Site::with(Model::default(), &format!("live = {live}\ntimeout = \"300ms\""), |it| it.fill(20)).await;
        site.until_stored(20).await;
        site.terminal.harm(Fault::once(ask::CLEAR_LOG, Harm::Close));
        assert!(matches!(site.ask(clear(20)).await, Err(JobFailed::NoAnswer(_))));
        site.until("people can punch again", |site| site.terminal.is_open()).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_will_not_keep_people_off_is_not_cleared() {
    let site = Site::with(Model::default(), "", |terminal| terminal.fill(3)).await;
    site.until_settled().await;
    site.terminal.harm(Fault::once(ask::DISABLE, Harm::Code(2001)));
    assert_eq!(site.ask(clear(3)).await, Err(JobFailed::Refused("2001, refused".into())));
    assert_eq!((site.commands(ask::CLEAR_LOG), site.terminal.records()), (0, 3));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_shows_every_frame_and_nobody() {
    let site = Site::with(Model::default(), "", |terminal| {
        terminal.add_user(1, "87654321", "Marker");
    })
    .await;
    site.until_settled().await;
    assert!(site.gateway().frames(support::NAME).is_empty(), "nobody asked for it");
    site.gateway().set_traced(true);
    site.terminal.punch("87654321");
    site.until_stored(1).await;
    site.ask(Operation::Users).await.unwrap();
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    site.gateway().set_traced(false);
    let frames = site.gateway().frames(support::NAME);
    let told: Vec<&str> = frames.iter().map(|frame| frame.what.as_str()).collect();
    assert!(
        told.iter().any(|what| what.contains("BUFFER")) && told.iter().any(|what| what.contains("EVENT")),
        "{told:?}"
    );
    assert!([Way::FromTerminal, Way::ToTerminal].iter().all(|way| frames.iter().any(|frame| frame.way == *way)));
    let all = told.join("\n");
    assert!(!all.contains("38 37 36 35") && !all.contains("4d 61 72"), "a person is there: {all}");
    site.running.close().await;
}
