//! Commits of the spool beside a bare fdatasync of as many bytes: measured by the bench `spool`, told here.

use serde_json::Value;

use super::{
    Plan,
    report::{Bar, Report},
};

pub(crate) fn measure(plan: &Plan, report: &mut Report) {
    let Some(file) = &plan.spool else { return eprintln!("skipped: commits need --spool") };
    let text = std::fs::read_to_string(file).expect("--spool names what the bench spool wrote");
    let figures: Value = serde_json::from_str(&text).expect("it wrote JSON");
    for batch in [1, 16, 256] {
        let both = &figures[format!("commit_{batch}")];
        let of = |who: &str, name: &str| both[who][name].as_f64().expect("a number");
        let rows = [("punches_per_s", "rate", "punches/s"), ("p50_ms", "p50", "ms"), ("p99_ms", "p99", "ms")];
        for (name, what, unit) in rows {
            let beside = ("bare fdatasync:", of("bare_fdatasync", name));
            let what = format!("commit of {batch}: {what}");
            report.beside(what, of("ours", name), unit, beside, Bar::None);
        }
    }
    report.figures("commits", figures);
}
