//! Where answers are written: plain when piped, with a little colour on a terminal.

use std::{
    env,
    io::{self, BufWriter, IsTerminal, Write},
};

use serde::Serialize;

/// What a colour means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Doubtful,
    Quiet,
}

/// Buffered output.
pub(super) struct Out {
    to: Box<dyn Write>,
    colour: bool,
}

impl Out {
    pub(super) fn stdout() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = wanted && io::stdout().is_terminal();
        Self { to: Box::new(BufWriter::new(io::stdout())), colour }
    }

    /// For an answer that nobody reads: its exit code is enough.
    pub(super) fn nowhere() -> Self {
        Self { to: Box::new(io::sink()), colour: false }
    }

    /// Writes into something else, without colour.
    #[cfg(test)]
    pub(super) fn plain(to: impl Write + 'static) -> Self {
        Self { to: Box::new(to), colour: false }
    }

    /// One JSON object on a line.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, value)?;
        self.to.write_all(b"\n")
    }

    /// A text as it looks in this tone.
    pub(super) fn toned(&self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Doubtful => "33",
            Tone::Quiet => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A text from outside, made harmless: what a terminal sends must not steer the screen on which it is read.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        // Direction marks can turn a line around without being control characters.
        if letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}
