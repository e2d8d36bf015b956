//! Calm tables: a head, columns as wide as their widest cell, no lines.

use std::io::{self, Write};

use super::out::{Out, Tone, harmless};

/// A cell, with what it means.
pub(super) struct Cell {
    text: String,
    tone: Option<Tone>,
    right: bool,
}

impl Cell {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self { text: harmless(text.as_ref()), tone: None, right: false }
    }

    /// A number: to the right.
    pub(super) fn number(number: impl ToString) -> Self {
        Self { text: number.to_string(), tone: None, right: true }
    }

    /// Absent things are a dash.
    pub(super) fn maybe(text: Option<impl AsRef<str>>) -> Self {
        text.map_or_else(|| Self::text("-").toned(Tone::Quiet), Self::text)
    }

    pub(super) fn toned(mut self, tone: Tone) -> Self {
        self.tone = Some(tone);
        self
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Rows below a head.
pub(super) struct Table<const N: usize> {
    head: [&'static str; N],
    widths: [usize; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(head: [&'static str; N]) -> Self {
        Self { head, widths: head.map(str::len), rows: Vec::new() }
    }

    /// Columns are at least so wide: for rows that come one by one, and are written before the next is known.
    pub(super) fn at_least(mut self, widths: [usize; N]) -> Self {
        for (width, least) in self.widths.iter_mut().zip(widths) {
            *width = (*width).max(least);
        }
        self
    }

    pub(super) fn push(&mut self, row: [Cell; N]) {
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = (*width).max(cell.width());
        }
        self.rows.push(row);
    }

    /// Writes the rows since the last time, the head above the first of them.
    pub(super) fn write(&mut self, out: &mut Out, with_head: bool) -> io::Result<()> {
        if with_head {
            let mut head = self.head.map(|text| Cell::text(text).toned(Tone::Quiet));
            for (head, below) in head.iter_mut().zip(self.rows.first().into_iter().flatten()) {
                head.right = below.right;
            }
            self.line(out, &head)?;
        }
        for row in std::mem::take(&mut self.rows) {
            self.line(out, &row)?;
        }
        Ok(())
    }

    fn line(&self, out: &mut Out, row: &[Cell; N]) -> io::Result<()> {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(self.widths) {
            let blanks = " ".repeat(width.saturating_sub(cell.width()));
            let text = cell.tone.map_or_else(|| cell.text.clone(), |tone| out.toned(tone, &cell.text));
            line += &if cell.right { blanks + &text } else { text + &blanks };
            line += "  ";
        }
        writeln!(out, "{}", line.trim_end())
    }
}
