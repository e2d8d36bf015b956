//! The report as one page: everything in it, nothing from outside, the same on a screen and on paper.

use std::fmt::Write as _;

use super::{
    Dependencies, Hour, Report, Terminal, chart,
    words::{EN, Labels, Language, ZH},
};
use crate::incident::Incident;

const STYLE: &str = "
:root{--ink:#1d2330;--quiet:#667085;--line:#e3e7ee;--good:#1b7f4b;--bad:#b42318;--fill:#2f6fde}
*{box-sizing:border-box}
body{font:14px/1.45 system-ui,'Noto Sans','Noto Sans CJK SC','Microsoft YaHei',sans-serif;color:var(--ink);margin:0;background:#fff}
main{max-width:1000px;margin:0 auto;padding:24px}
h1{font-size:24px;margin:0}h2{font-size:17px;margin:28px 0 8px;break-after:avoid}h3{font-size:14px;margin:12px 0 2px;color:var(--quiet);font-weight:600}
.quiet{color:var(--quiet)}.bad{color:var(--bad);font-weight:600}.good{color:var(--good)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:18px 0}
.tile{border:1px solid var(--line);border-radius:8px;padding:10px 12px}.tile b{display:block;font-size:20px;margin:2px 0}
.charts{display:grid;grid-template-columns:1fr 1fr;gap:4px 20px}
.charts>div,tr{break-inside:avoid}
svg{width:100%;height:auto;font:10px system-ui,sans-serif;fill:var(--quiet)}
svg rect{fill:var(--fill)}svg path{fill:none;stroke:var(--fill);stroke-width:1.6}svg .grid{stroke:var(--line)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:12.5px}th,td{padding:5px 8px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{color:var(--quiet);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td{overflow-wrap:anywhere}
@media(max-width:700px){.charts{grid-template-columns:1fr}main{padding:12px}}
@page{size:A4;margin:14mm}
@media print{main{max-width:none;padding:0}body{font-size:11px}table{font-size:9.5px}th,td{padding:3px 5px}.scroll{overflow:visible}thead{display:table-header-group}}
";

/// What came from outside, harmless in a page.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "\u{2013}".into())
}

fn percent(value: Option<f64>) -> String {
    or_dash(value.map(|value| format!("{value:.2} %")))
}

fn milliseconds(value: Option<i64>) -> String {
    or_dash(value.map(|ms| match ms.unsigned_abs() {
        ..10_000 => format!("{ms} ms"),
        _ => format!("{:.0} s", ms as f64 / 1e3),
    }))
}

fn lasting(seconds: u64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn instant(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The whole page.
pub fn html(report: &Report, language: Language) -> String {
    let of = match language {
        Language::En => &EN,
        Language::Zh => &ZH,
    };
    let name = escaped(&format!("{}/{}", report.tenant, report.gateway));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{} {name}</title><style>{STYLE}</style></head><body><main>\n<h1>{} {name}</h1>\
         <div class=\"quiet\">{} \u{2013} {} \u{b7} {} {}</div>\n",
        of.lang,
        of.title,
        of.title,
        instant(report.from),
        instant(report.to),
        of.made,
        instant(report.made_at),
    );
    if report.unreadable > 0 {
        let _ = write!(page, "<p class=\"bad\">{}</p>", of.unreadable);
    }
    tiles(report, of, &mut page);
    charts(report, of, &mut page);
    terminals(&report.terminals, of, &mut page);
    incidents(&report.incidents.all, of, &mut page);
    let _ = write!(page, "<h2>{}</h2>", of.renew);
    match report.renew.is_empty() {
        true => _ = write!(page, "<p>{}</p>", of.nothing),
        false => {
            page.push_str("<ul>");
            for it in &report.renew {
                let (what, why, source) = (escaped(&it.what), escaped(&it.why), escaped(&it.source));
                let _ = write!(page, "<li><b>{what}</b> {why}; {source}</li>");
            }
            page.push_str("</ul>");
        }
    }
    dependencies(report, of, &mut page);
    let _ = write!(page, "<p class=\"quiet\">{}</p>\n</main></body></html>\n", of.recompute);
    page
}

/// How the program's own parts were looked up, or that they were not.
fn dependencies(report: &Report, of: &Labels, page: &mut String) {
    let Dependencies { crates, list, found } = &report.dependencies;
    let _ = match list {
        None => write!(page, "<p class=\"bad\">{}</p>", of.not_looked_up),
        Some(list) => {
            let newest = or_dash(list.newest.map(instant));
            let (class, place) =
                (if found.is_empty() { "good" } else { "bad" }, escaped(&list.place.display().to_string()));
            let unread = if list.unread > 0 { format!("; {}: {}", of.unread, list.unread) } else { String::new() };
            write!(
                page,
                "<p>{}: <span class=\"{class}\">{} / {crates}</span>. {}: {} ({place}; {} {newest}{unread})</p>",
                of.parts,
                found.len(),
                of.list,
                list.advisories,
                of.as_of
            )
        }
    };
}

fn tiles(report: &Report, of: &Labels, page: &mut String) {
    page.push_str("<div class=\"tiles\">");
    let mut tile = |label: &str, value: String, more: String| {
        let _ = write!(page, "<div class=\"tile\">{label}<b>{value}</b><span class=\"quiet\">{more}</span></div>");
    };
    tile(of.up, percent(report.minutes.up_percent), format!("{} / {} min", report.minutes.kept, report.minutes.of));
    tile(of.broker, percent(report.minutes.broker_up_percent), String::new());
    let more = format!("{} {}; {} {}", report.punches.later, of.later, report.punches.undelivered, of.waiting);
    tile(of.punches, report.punches.total.to_string(), more);
    let late = report.incidents.breached;
    let class = if late > 0 { "bad" } else { "good" };
    let more = format!("<span class=\"{class}\">{late} {}</span>", of.breached);
    tile(of.incidents, report.incidents.all.len().to_string(), more);
    let days = report.capacity.days_left.map(|days| format!("{days:.0} {}", of.days));
    let free = report.capacity.free_bytes.map(|bytes| format!("{:.1} GiB", bytes / f64::from(1 << 30)));
    tile(of.days_left, days.unwrap_or_else(|| of.unknown.into()), free.unwrap_or_default());
    let delays = &report.delays;
    let pair = |half, most| format!("{} {}, {} {}", of.half, milliseconds(half), of.most, milliseconds(most));
    let stored = format!("{}: {}", of.stored, pair(delays.stored_p50_ms, delays.stored_p99_ms));
    let delivered = format!("{}: {}", of.delivered, pair(delays.delivered_p50_ms, delays.delivered_p99_ms));
    let both = format!("{stored}<br>{delivered}");
    tile(of.delays, milliseconds(delays.delivered_p50_ms), both);
    page.push_str("</div>");
}

fn charts(report: &Report, of: &Labels, page: &mut String) {
    page.push_str("<div class=\"charts\">");
    let days: Vec<(String, f64)> =
        report.punches.by_day.iter().map(|(day, count)| (day.to_string(), *count as f64)).collect();
    let mut chart = |title: &str, svg: String| {
        let _ = write!(page, "<div><h3>{title}</h3>{svg}</div>");
    };
    chart(of.by_day, chart::bars(&days, of.by_day));
    match (report.hours.first(), report.hours.last()) {
        (Some(first), Some(last)) => {
            let (first, last) = (instant(first.at), instant(last.at));
            let mut line = |title: &str, of: fn(&Hour) -> Option<f64>| {
                let values: Vec<_> = report.hours.iter().map(|hour| (hour.at.as_second(), of(hour))).collect();
                chart(title, chart::line(&values, &first, &last, title));
            };
            line(of.queue, |hour| hour.undelivered);
            line(of.online_hours, |hour| hour.terminals_online);
            line(of.commit, |hour| hour.commit_p99_ms);
            line(of.free, |hour| hour.free_bytes.map(|bytes| bytes / f64::from(1 << 30)));
        }
        _ => chart(of.queue, format!("<p class=\"quiet\">{}</p>", of.no_data)),
    }
    page.push_str("</div>");
}

fn terminals(all: &[Terminal], of: &Labels, page: &mut String) {
    let heads = [of.terminal, of.serial, of.firmware, of.last];
    let numbers = [of.punches, of.online, of.away, of.longest, of.clock, of.aside, of.lost];
    let _ = write!(page, "<h2>{}</h2><div class=\"scroll\"><table><thead><tr>", of.terminals);
    heads.iter().for_each(|head| _ = write!(page, "<th>{head}</th>"));
    numbers.iter().for_each(|head| _ = write!(page, "<th class=\"n\">{head}</th>"));
    page.push_str("</tr></thead><tbody>");
    for it in all {
        let last = or_dash(it.last_punch.map(instant));
        let firmware = or_dash(it.firmware.as_deref().map(escaped));
        let _ = write!(
            page,
            "<tr><td><b>{}</b></td><td>{}</td><td>{firmware}</td><td>{last}</td>",
            escaped(&it.terminal),
            escaped(&it.serial)
        );
        let bad = |count: u64| if count > 0 { format!("<span class=\"bad\">{count}</span>") } else { "0".into() };
        let cells = [
            it.punches.to_string(),
            percent(it.online_percent),
            lasting(it.minutes_away * 60),
            lasting(it.longest_away_minutes * 60),
            format!("{} / {}", milliseconds(it.skew_median_ms), milliseconds(it.skew_worst_ms)),
            bad(it.set_aside),
            bad(it.lost),
        ];
        cells.iter().for_each(|cell| _ = write!(page, "<td class=\"n\">{cell}</td>"));
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
}

fn incidents(all: &[Incident], of: &Labels, page: &mut String) {
    let _ = write!(page, "<h2>{}</h2>", of.incidents);
    if all.is_empty() {
        let _ = write!(page, "<p>{}</p>", of.nothing);
        return;
    }
    page.push_str("<div class=\"scroll\"><table><thead><tr>");
    let heads = [of.number, of.what, of.opened, of.lasted, of.target, of.taken, of.result];
    heads.iter().for_each(|head| _ = write!(page, "<th>{head}</th>"));
    page.push_str("</tr></thead><tbody>");
    for it in all {
        let about = it.subject.as_ref().map_or_else(String::new, |subject| format!("{}: ", escaped(subject)));
        let (class, result) = match (it.breached, it.resolved) {
            (Some(_), _) => ("bad", of.late),
            (None, Some(_)) => ("good", of.kept),
            (None, None) => ("quiet", of.still),
        };
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{about}<b>{}</b><br><span class=\"quiet\">{}</span></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{result}</td></tr>",
            it.number,
            escaped(&it.code),
            escaped(&it.cause),
            instant(it.opened),
            lasting(it.open_s),
            lasting(it.target_s),
            or_dash(it.acknowledged.as_ref().map(|by| escaped(&by.by))),
        );
    }
    page.push_str("</tbody></table></div>");
}
