//! UDP keeps no order: what is read in bulk over it must be what lies in the terminal's log, or nothing; and nothing says
//! that the next datagram comes from the same terminal.

mod support;

use driver_api::Trouble;
use driver_zk::{
    command::ask,
    record::Form,
    sim::{Bulk, Fault, Harm, Model},
};
use support::Site;

const QUICK: &str = "timeout = \"400ms\"\nreconcile = \"200ms\"";
const FORMS: [Form; 3] = [Form::A8, Form::Number16, Form::Text(40)];

/// A log of six hundred records, read over UDP past this fault: every one of them, and not a single other.
async fn arrives_whole(model: Model, fault: Fault) -> Site {
    let what = format!("{:?} {fault:?}", model.form);
    let site = Site::over("udp", Model { inline: 0, ..model }, QUICK, |terminal| {
        terminal.fill(600);
        terminal.harm(fault);
    })
    .await;
    site.running.until_stored(&what, 0, 600).await;
    let whole: Vec<String> = (0..600).map(|n| (1000 + n % 500).to_string()).collect();
    assert_eq!(site.people(), whole, "{what}");
    assert!(site.punches().is_sorted_by_key(|punch| punch.local), "{what}: times are mixed up");
    assert_eq!(site.gateway().set_aside(support::NAME).len(), 0, "{what}");
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_that_overtake_or_repeat_each_other_forge_no_punch() {
    for form in FORMS {
        for harm in [Harm::Overtaken, Harm::Repeated, Harm::Doubled, Harm::Backwards] {
            for bulk in [Bulk::Chunks, Bulk::Bare] {
                let model = Model { bulk, ..Model::of(form) };
                arrives_whole(model, Fault::always(ask::CHUNK, harm.clone())).await.running.close().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_no_larger_than_what_a_terminal_puts_into_a_datagram() {
    for datagram in [512, 1000] {
        let model = Model { datagram, ..Model::of(Form::A8) };
        arrives_whole(model, Fault::always(ask::CHUNK, Harm::Overtaken)).await.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_comes_in_one_go_is_taken_when_it_came_twice_the_same() {
    for harm in [Harm::Overtaken, Harm::Repeated] {
        for bulk in [Bulk::Legacy, Bulk::Heedless] {
            let model = Model { bulk, ..Model::of(Form::A8) };
            let site = arrives_whole(model, Fault::once(ask::LOG, harm.clone())).await;
            site.until_relieved(Trouble::LogUnreadable).await;
            assert!(site.commands(ask::LOG) >= 4, "{bulk:?}");
            site.running.close().await;
        }
    }
}

/// Two terminals were swapped, or one was replaced, between two questions: no hang-up tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_another_terminal_at_the_address_is_booked_whether_it_looks_at_sessions_or_not() {
    let known = Model::default().serial;
    for looks in [true, false] {
        for bulk in [Bulk::Chunks, Bulk::Legacy] {
            let block = format!("{QUICK}\nserial = {known:?}");
            let model = Model { bulk, inline: 0, ..Model::default() };
            let site = Site::over("udp", model, &block, |terminal| terminal.fill(20)).await;
            site.until_stored(20).await;
            site.terminal.change(|model| model.serial = "OTHER1".into());
            site.terminal.clear_log();
            (0..30).for_each(|n| site.terminal.punch_unheard(&format!("9{n:02}")));
            if looks {
                site.terminal.reboot(); // whoever sits there now has no session of ours
            }
            let cause = site.until_troubled(Trouble::WrongTerminal).await;
            assert_eq!(cause, format!("there is \"OTHER1\" at its address, not {known:?}"));
            assert_eq!(site.punches().len(), 20, "{bulk:?}, sessions looked at: {looks}");
            assert_eq!(site.trouble(Trouble::LogCleared), None);
            site.running.close().await;
        }
    }
}
