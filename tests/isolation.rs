//! No driver's trouble is another's. In front of the real program stands a terminal of each driver, and one after the other
//! says nothing or rubbish for as long as it takes until the others' punches are on disk: so whoever waited for it would wait
//! for ever. How much later they come is measured by `tests/bench/run --only isolation`.

mod support;

use punchgate::drivers::DRIVERS;
use serde_json::Value;
use support::{
    broker::{Mosquitto, Setup},
    daemon::Daemon,
    everyone::{Everyone, Illness, NAMES},
};

/// What stands under this name in an answer to `punchgate terminals`.
fn of<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    lines.iter().find(|line| line["name"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_terminal_does_those_of_other_drivers_are_served() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    assert_eq!(NAMES.len(), DRIVERS.len(), "one of each driver");
    let everyone = Everyone::start().await;
    let mut daemon = Daemon::prepare();
    daemon.configure(&broker, &everyone.blocks(daemon.path("").as_path()));
    daemon.launch();
    let all = |like: fn(&Value) -> bool| move |lines: &[Value]| lines.len() == NAMES.len() && lines.iter().all(like);
    daemon.until(&["terminals"], "all are served", all(|line| line["state"] == "online")).await;
    let mut punched = [0; NAMES.len()];
    for illness in [Illness::Silent, Illness::Rubbish] {
        for ill in 0..NAMES.len() {
            everyone.harm(ill, illness).await;
            for _ in 0..3 {
                for (at, punched) in punched.iter_mut().enumerate() {
                    *punched += 1;
                    everyone.punch(at, 1000 + *punched);
                }
            }
            let what = format!("all others' punches are on disk while {} is {illness:?}", NAMES[ill]);
            let others = |lines: &[Value]| {
                (0..NAMES.len()).filter(|at| *at != ill).all(|at| of(lines, NAMES[at])["punches"] == punched[at])
            };
            daemon.until(&["terminals"], &what, others).await;
            // And its own when it has come to its senses: nothing of what it said was a punch, and none of its own is lost.
            everyone.heal(ill);
            let what = format!("{}'s own punches are on disk when it is well again", NAMES[ill]);
            daemon.until(&["terminals"], &what, |lines| of(lines, NAMES[ill])["punches"] == punched[ill]).await;
        }
    }
    daemon.until_status("everything is delivered", |status| status["queue"]["undelivered"] == 0).await;
}
