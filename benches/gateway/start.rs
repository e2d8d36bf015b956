//! From the start of the program to the first punch at the subscriber.

use std::time::Instant;

use serde_json::json;
use tokio::time::timeout;

use super::{
    Plan,
    reader::Reader,
    report::{Bar, Report, median},
    rig,
    support::daemon::Daemon,
};

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let broker = rig::broker();
    let mut took = Vec::new();
    for number in 0..plan.runs + 2 {
        // A terminal of its own each time, with one punch that nobody has seen.
        let terminals = [rig::terminal(number, 1).await];
        let reader = Reader::start(broker.settings("reader"), false).await;
        let begun = Instant::now();
        let _daemon = Daemon::start(&broker, &rig::blocks(&terminals));
        let first = timeout(rig::LIMIT, reader.until(|seen| seen.first)).await.expect("a punch arrives");
        took.push((first - begun).as_secs_f64());
    }
    report.row("start to first punch delivered", median(took.iter().copied()), "s", Bar::AtMost(0.1));
    report.figures("start", json!({ "s": took }));
}
