//! The table of what was measured, what stands beside it, the bar, and whether it is met.

use std::fmt;

use serde_json::{Map, Value, json};

/// Whether more is better.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// Told for orientation.
    None,
}

pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) unit: &'static str,
    /// A peer or what the machine can do at all, of the same run.
    pub(crate) beside: Option<(String, f64)>,
    pub(crate) bar: Bar,
}

pub(crate) struct Report {
    quick: bool,
    rows: Vec<Row>,
    figures: Map<String, Value>,
}

impl Report {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick, rows: Vec::new(), figures: Map::new() }
    }

    pub(crate) fn row(&mut self, what: impl Into<String>, measured: f64, unit: &'static str, bar: Bar) {
        self.rows.push(Row { what: what.into(), measured, unit, beside: None, bar });
    }

    /// A row with something to compare, in the same unit.
    pub(crate) fn beside(
        &mut self,
        what: impl Into<String>,
        measured: f64,
        unit: &'static str,
        (name, other): (&str, f64),
        bar: Bar,
    ) {
        self.rows.push(Row { what: what.into(), measured, unit, beside: Some((name.into(), other)), bar });
    }

    /// All single runs, for whoever doubts a median.
    pub(crate) fn figures(&mut self, part: &str, figures: Value) {
        eprintln!("{part}: {figures}");
        self.figures.insert(part.into(), figures);
    }

    pub(crate) fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({ "quick": self.quick, "table": rows, "figures": self.figures })
    }
}

impl Row {
    fn met(&self) -> Option<bool> {
        match self.bar {
            Bar::AtMost(bar) => Some(self.measured <= bar),
            Bar::AtLeast(bar) => Some(self.measured >= bar),
            Bar::None => None,
        }
    }

    fn bar(&self) -> String {
        match self.bar {
            Bar::AtMost(bar) => format!("<= {}", figure(bar)),
            Bar::AtLeast(bar) => format!(">= {}", figure(bar)),
            Bar::None => String::new(),
        }
    }

    fn json(&self) -> Value {
        let beside = self.beside.as_ref().map(|(name, figure)| json!({ "name": name, "figure": figure }));
        json!({
            "what": self.what, "measured": self.measured, "unit": self.unit, "beside": beside,
            "bar": self.bar(), "met": self.met(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | measured | beside it | bar | met |\n|---|---|---|---|---|")?;
        for row in &self.rows {
            let beside = row.beside.as_ref().map(|(name, other)| format!("{name} {}", figure(*other)));
            let met = row.met().map_or("", |met| if met { "yes" } else { "**no**" });
            let Row { what, measured, unit, .. } = row;
            writeln!(
                f,
                "| {what} | {} {unit} | {} | {} | {met} |",
                figure(*measured),
                beside.unwrap_or_default(),
                row.bar()
            )?;
        }
        if self.quick {
            writeln!(f, "\nThis was a quick pass over a tenth of everything: the bars are those of the whole.")?;
        }
        Ok(())
    }
}

/// Three digits that matter.
fn figure(figure: f64) -> String {
    match figure.abs() {
        large if large >= 100.0 || figure.fract() == 0.0 => format!("{figure:.0}"),
        large if large >= 10.0 => format!("{figure:.1}"),
        large if large >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

pub(crate) fn median(all: impl IntoIterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = all.into_iter().collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().expect("there was at least one run")
}

pub(crate) fn percentile(all: &mut [f64], percent: usize) -> f64 {
    all.sort_by(f64::total_cmp);
    all[(all.len() * percent / 100).min(all.len() - 1)]
}
