//! `punchgate doctor`: what is wrong, from the ground up, with the mend.

use std::{env, io, io::Write};

use super::{
    FAILED, Failure, OK,
    args::{DoctorArgs, Language},
    ask::block_on,
    out::{Out, Tone, harmless},
};
use crate::doctor::{self, Examination, Finding, Outcome, Report, Told};

pub(super) fn doctor(args: &DoctorArgs, out: &mut Out) -> Result<u8, Failure> {
    // Drivers with TLS of their own want the process's; it fails only when there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let examination = Examination { config: args.config.clone(), terminal: args.terminal.clone() };
    let report = block_on(async { Ok(doctor::examine(&examination).await) })?;
    if args.json {
        out.json(&report)?
    } else {
        show(&report, args.lang.unwrap_or_else(language), out)?
    }
    Ok(if report.is_well() { OK } else { FAILED })
}

/// As this user's other programs speak.
pub(super) fn language() -> Language {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| env::var(name).ok().filter(|it| !it.is_empty()));
    if set.is_some_and(|set| set.starts_with("zh")) { Language::Zh } else { Language::En }
}

fn show(report: &Report, language: Language, out: &mut Out) -> io::Result<()> {
    list(&report.findings, language, out)?;
    writeln!(out, "\n{}", summed(report, language))
}

pub(super) fn said(told: &Told, language: Language) -> String {
    match language {
        Language::En => told.en.clone(),
        Language::Zh => told.zh.clone(),
    }
}

/// What was found, a line each, with the mend below what is not well.
pub(super) fn list(findings: &[Finding], language: Language, out: &mut Out) -> io::Result<()> {
    let say = |told: &Told| said(told, language);
    let mut subject: Option<&str> = None;
    // Those that are skipped for the same reason share a line.
    let together = |a: &Finding, b: &Finding| {
        a.outcome == Outcome::Skipped
            && b.outcome == a.outcome
            && (&a.subject, &a.evidence) == (&b.subject, &b.evidence)
    };
    for findings in findings.chunk_by(together) {
        let finding = &findings[0];
        if finding.subject.as_deref() != subject {
            subject = finding.subject.as_deref();
            writeln!(out, "\n{}", harmless(subject.unwrap_or_default()))?;
        }
        let (mark, tone) = match finding.outcome {
            Outcome::Well => ("ok", Tone::Good),
            Outcome::Odd => ("odd", Tone::Doubtful),
            Outcome::Wrong => ("WRONG", Tone::Bad),
            Outcome::Skipped => ("-", Tone::Quiet),
        };
        let mark = out.toned(tone, &format!("{mark:<5}"));
        let titles = findings.iter().map(|finding| say(&finding.title)).collect::<Vec<_>>().join(", ");
        let evidence = say(&finding.evidence);
        let evidence = evidence.lines().map(harmless).collect::<Vec<_>>().join("\n         ");
        writeln!(out, "  {mark}  {titles}: {evidence}")?;
        if let Some(mend) = &finding.mend {
            writeln!(out, "         -> {}", say(mend))?;
        }
    }
    Ok(())
}

/// All of it in a line: what to mend first.
pub(super) fn summed(report: &Report, language: Language) -> String {
    let say = |told: &Told| said(told, language);
    let first = report.first_cause();
    match (first, language) {
        (None, Language::En) => format!("all is well: {} checks", report.findings.len()),
        (None, Language::Zh) => format!("一切正常：共 {} 项检查", report.findings.len()),
        (Some(Finding { subject, title, mend, .. }), language) => {
            let about = subject.as_ref().map_or_else(String::new, |subject| format!("{}: ", harmless(subject)));
            let mend = mend.as_ref().map(say).unwrap_or_default();
            match language {
                Language::En => format!("mend first: {about}{}. {mend}", title.en),
                Language::Zh => format!("首先处理：{about}{}。{mend}", title.zh),
            }
        }
    }
}
