//! Small charts as SVG inside the page: no script, nothing from outside, as sharp on paper as on a screen.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 48.0;
const BOTTOM: f64 = 22.0;
const TOP: f64 = 8.0;

/// A round number at or above, for the upper end of an axis.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v if v >= 10.0 || v == v.trunc() => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}

fn frame(most: f64, first: &str, last: &str, drawn: &str, title: &str) -> String {
    let base = HEIGHT - BOTTOM;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">");
    for part in [0.0, 0.5, 1.0] {
        let y = base - part * (base - TOP);
        let _ = write!(svg, "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"grid\"/>");
        let (x, label) = (LEFT - 6.0, short(most * part));
        let _ = write!(svg, "<text x=\"{x}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", y + 4.0);
    }
    let y = HEIGHT - 6.0;
    let _ = write!(svg, "<text x=\"{LEFT}\" y=\"{y}\">{first}</text>");
    let _ = write!(svg, "<text x=\"{WIDTH}\" y=\"{y}\" text-anchor=\"end\">{last}</text>{drawn}</svg>");
    svg
}

/// A bar for each value.
pub(super) fn bars(values: &[(String, f64)], title: &str) -> String {
    let most = round_up(values.iter().map(|(_, value)| *value).fold(0.0, f64::max));
    let (base, step) = (HEIGHT - BOTTOM, (WIDTH - LEFT) / values.len().max(1) as f64);
    let mut drawn = String::new();
    for (at, (label, value)) in values.iter().enumerate() {
        let height = value / most * (base - TOP);
        let (x, y, width) = (LEFT + at as f64 * step + step * 0.1, base - height, (step * 0.8).min(60.0));
        let _ = write!(
            drawn,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{label}: {value}</title></rect>"
        );
    }
    let end = |it: Option<&(String, f64)>| it.map_or_else(String::new, |(label, _)| label.clone());
    frame(most, &end(values.first()), &end(values.last()), &drawn, title)
}

/// A line through what is known; a gap where nothing is.
pub(super) fn line(values: &[(i64, Option<f64>)], first: &str, last: &str, title: &str) -> String {
    let most = round_up(values.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max));
    let (from, to) = (values.first().map_or(0, |it| it.0), values.last().map_or(1, |it| it.0));
    let base = HEIGHT - BOTTOM;
    let span = (to - from).max(1) as f64;
    let (mut path, mut before): (String, Option<i64>) = (String::new(), None);
    for (at, value) in values {
        let Some(value) = value else {
            before = None;
            continue;
        };
        let (x, y) = (LEFT + (at - from) as f64 / span * (WIDTH - LEFT), base - value / most * (base - TOP));
        // An hour that is missing is a gap; one that stands alone is a dot.
        let joined = before.is_some_and(|before| at - before <= 3600);
        let _ = match joined {
            true => write!(path, "L{x:.1} {y:.1}"),
            false => write!(path, "M{x:.1} {y:.1}h1"),
        };
        before = Some(*at);
    }
    frame(most, first, last, &format!("<path d=\"{path}\"/>"), title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in [(0.0, 1.0), (1.0, 1.0), (3.0, 5.0), (11.0, 20.0), (0.3, 0.5), (51.0, 100.0)] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn a_gap_is_not_drawn_over() {
        let svg = line(&[(0, Some(1.0)), (3600, Some(2.0)), (10_800, Some(2.0)), (14_400, None)], "a", "b", "t");
        let path = svg.split("<path d=\"").nth(1).unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }
}
