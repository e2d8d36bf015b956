//! The screen: a list, the details of one line, a filter, and the way to acknowledge.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::Line as Text,
    widgets::{Block, Cell, Paragraph, Row as TableRow, Table, TableState, Wrap},
};

use super::{FIRST, Line, TURN, about, headline, incident, severity, unreachable};
use crate::{
    cli::{
        Failure, OK,
        args::WatchArgs,
        out::{Out, harmless},
        remote, words,
    },
    config::Profile,
    fleet::{Fleet, Language, Row, Severity},
};

/// What the keys mean now.
enum Mode {
    List,
    /// What is typed is the filter.
    Filter,
    /// What is typed is the reason for acknowledging.
    Reason(String),
}

struct Screen {
    fleet: Fleet,
    rows: Vec<Row>,
    at: usize,
    filter: String,
    language: Language,
    mode: Mode,
    /// The last thing that happened, for the bottom line.
    told: String,
}

/// What a key asks for beyond the screen itself.
enum Wish {
    Nothing,
    Leave,
    Acknowledge { gateway: String, number: u64, reason: String },
}

pub(super) fn run(profile: &Profile, args: &WatchArgs, language: Language, filter: String) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot start: {error}"), "close other programs"))?;
    let mut line = runtime.block_on(Line::open(profile)).map_err(unreachable)?;
    let told = String::new();
    let mut screen = Screen { fleet: Fleet::default(), rows: vec![], at: 0, filter, language, mode: Mode::List, told };
    runtime.block_on(line.first(&mut screen.fleet, FIRST)).map_err(unreachable)?;
    let mut terminal = ratatui::try_init()?;
    let done = loop {
        screen.look();
        let up = line.is_up();
        if let Err(error) = terminal.draw(|frame| screen.draw(frame, up)) {
            break Err(error.into());
        }
        match screen.keys(&mut terminal) {
            Ok(Wish::Nothing) => {}
            Ok(Wish::Leave) => break Ok(OK),
            Ok(Wish::Acknowledge { gateway, number, reason }) => {
                screen.told = match acknowledge(args, &gateway, number, reason) {
                    Ok(words) => words,
                    Err(failure) => failure.words().unwrap_or_default(),
                };
            }
            Err(error) => break Err(error.into()),
        }
        // Keys are looked at ten times a second; what was heard meanwhile waits in the connection.
        runtime.block_on(line.hear(&mut screen.fleet, TURN / 5));
    };
    ratatui::restore();
    runtime.block_on(line.leave());
    done
}

/// Signs it and sends it, as `punchgate remote` does.
fn acknowledge(args: &WatchArgs, gateway: &str, number: u64, reason: String) -> Result<String, Failure> {
    let send = remote::SendArgs {
        gateway: Some(gateway.into()),
        command: Some("incident.acknowledge".into()),
        words: vec![format!("number={number}")],
        reason: Some(reason),
        profile: args.profile.clone(),
        alone: false,
        yes: false,
        out: None,
        json: true,
    };
    let code = remote::send_now(&send, &mut Out::nowhere())?;
    Ok(match code {
        OK => format!("{gateway}: incident {number} is yours"),
        _ => format!("{gateway}: incident {number} was not acknowledged; punchgate incidents there says why"),
    })
}

impl Screen {
    fn look(&mut self) {
        self.rows = self.fleet.rows(&self.filter, self.language, Timestamp::now());
        self.at = self.at.min(self.rows.len().saturating_sub(1));
    }

    /// Takes every key that was pressed.
    fn keys(&mut self, terminal: &mut DefaultTerminal) -> std::io::Result<Wish> {
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match self.key(key) {
                    Wish::Nothing => {}
                    wish => return Ok(wish),
                },
                Event::Resize(..) => terminal.autoresize()?,
                _ => {}
            }
        }
        Ok(Wish::Nothing)
    }

    fn key(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Leave;
        }
        match &mut self.mode {
            Mode::Filter => match key.code {
                KeyCode::Char(c) => self.filter.push(c),
                KeyCode::Backspace => _ = self.filter.pop(),
                KeyCode::Esc => {
                    self.filter.clear();
                    self.mode = Mode::List;
                }
                KeyCode::Enter => self.mode = Mode::List,
                _ => {}
            },
            Mode::Reason(reason) => match key.code {
                KeyCode::Char(c) => reason.push(c),
                KeyCode::Backspace => _ = reason.pop(),
                KeyCode::Esc => self.mode = Mode::List,
                KeyCode::Enter if !reason.trim().is_empty() => {
                    let reason = std::mem::take(reason);
                    self.mode = Mode::List;
                    if let Some(Row { gateway, incident: Some(number), .. }) = self.rows.get(self.at) {
                        return Wish::Acknowledge { gateway: gateway.clone(), number: *number, reason };
                    }
                }
                _ => {}
            },
            Mode::List => match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Wish::Leave,
                KeyCode::Down | KeyCode::Char('j') => self.at = (self.at + 1).min(self.rows.len().saturating_sub(1)),
                KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
                KeyCode::PageDown => self.at = (self.at + 20).min(self.rows.len().saturating_sub(1)),
                KeyCode::PageUp => self.at = self.at.saturating_sub(20),
                KeyCode::Home => self.at = 0,
                KeyCode::Char('/') => self.mode = Mode::Filter,
                KeyCode::Char('a') => match self.rows.get(self.at) {
                    Some(Row { incident: Some(_), acknowledged_by: None, .. }) => {
                        self.mode = Mode::Reason(String::new())
                    }
                    Some(Row { acknowledged_by: Some(by), .. }) => self.told = format!("it is {by}'s already"),
                    _ => self.told = "it is no incident".into(),
                },
                _ => {}
            },
        }
        Wish::Nothing
    }

    fn draw(&self, frame: &mut Frame<'_>, up: bool) {
        let now = Timestamp::now();
        let areas =
            Layout::vertical([Constraint::Length(1), Constraint::Min(5), Constraint::Length(8), Constraint::Length(1)]);
        let [head, list, details, foot] = areas.areas(frame.area());
        let state = if up { "" } else { "  (the broker is away; what stands here gets old)" };
        let style = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(Text::styled(format!("{}{state}", headline(&self.fleet, now)), style), head);

        // Only what fits is drawn: there may be thousands.
        let height = usize::from(list.height.saturating_sub(1)).max(1);
        let first = (self.at / height) * height;
        let rows = self.rows[first.min(self.rows.len())..].iter().take(height).map(|row| {
            let colour = match row.severity {
                Severity::High => Color::Red,
                Severity::Medium => Color::Yellow,
                Severity::Low => Color::Gray,
            };
            let since = row.since.map_or_else(String::new, |since| words::ago(since, now));
            TableRow::new([
                Cell::new(severity(row.severity)).style(Style::new().fg(colour)),
                Cell::new(harmless(&about(row))),
                Cell::new(since),
                Cell::new(format!("{}{}", harmless(&row.title), incident(row))),
                Cell::new(harmless(&row.mend)),
            ])
        });
        let widths = [
            Constraint::Length(6),
            Constraint::Length(28),
            Constraint::Length(9),
            Constraint::Fill(2),
            Constraint::Fill(3),
        ];
        let titles = TableRow::new(["", "WHERE", "FOR", "WHAT", "WHAT TO DO"]).style(style);
        let table = Table::new(rows, widths).header(titles);
        let table = table.row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        let mut state = TableState::new().with_selected(Some(self.at - first.min(self.at)));
        frame.render_stateful_widget(table, list, &mut state);

        let text = self.rows.get(self.at).map_or_else(
            || vec![Text::raw("nothing is wrong")],
            |row| {
                vec![
                    Text::raw(format!(
                        "{}: {} ({}){}",
                        harmless(&about(row)),
                        harmless(&row.title),
                        row.code,
                        incident(row)
                    )),
                    Text::raw(format!("since  {}", row.since.map_or_else(String::new, words::wall))),
                    Text::raw(format!("cause  {}", harmless(&row.cause))),
                    Text::raw(format!("mend   {}", harmless(&row.mend))),
                ]
            },
        );
        let details_of = Paragraph::new(text).wrap(Wrap { trim: false }).block(Block::bordered());
        frame.render_widget(details_of, details);
        let foot_text = match &self.mode {
            Mode::Filter => format!("filter: {}_   (Enter keeps it, Esc clears it)", self.filter),
            Mode::Reason(reason) => {
                format!("you take it; reason for the audit log: {reason}_   (Enter signs and sends, Esc not)")
            }
            Mode::List if !self.told.is_empty() => {
                format!("{}   |  q leave  / filter  a acknowledge", harmless(&self.told))
            }
            Mode::List => "q leave   / filter   arrows move   a acknowledge the incident, signed".to_owned(),
        };
        frame.render_widget(Text::raw(foot_text), foot);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    fn screen() -> Screen {
        let mut fleet = Fleet::default();
        let golden = [
            ("health", include_str!("../../../tests/golden/1/health.json")),
            ("incident/terminal-offline", include_str!("../../../tests/golden/1/incident.json")),
        ];
        golden.iter().for_each(|(suffix, text)| fleet.take("sz-03", suffix, text.as_bytes()));
        let (filter, told) = (String::new(), String::new());
        let mut screen = Screen { fleet, rows: vec![], at: 0, filter, language: Language::En, mode: Mode::List, told };
        screen.look();
        screen
    }

    fn drawn(screen: &Screen) -> String {
        let mut terminal = Terminal::new(TestBackend::new(120, 24)).unwrap();
        terminal.draw(|frame| screen.draw(frame, true)).unwrap();
        terminal.backend().to_string()
    }

    fn press(screen: &mut Screen, keys: &str) -> Wish {
        keys.chars().fold(Wish::Nothing, |_, c| {
            let code = match c {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                c => KeyCode::Char(c),
            };
            let wish = screen.key(KeyEvent::new(code, KeyModifiers::NONE));
            screen.look();
            wish
        })
    }

    #[test]
    fn the_screen_shows_what_is_wrong_whose_it_is_and_what_to_do() {
        let text = drawn(&screen());
        // The golden health is old: that comes first.
        for words in ["Gateway silent", "sz-03/front-door", "Terminal offline", "#17 li-wei", "1 of 2 terminals online"]
        {
            assert!(text.contains(words), "{words} is not on\n{text}");
        }
    }

    #[test]
    fn keys_filter_and_acknowledge() {
        let mut screen = screen();
        assert_eq!(screen.rows.len(), 2);
        press(&mut screen, "/offline\n");
        assert_eq!(screen.rows.len(), 1);
        press(&mut screen, "a");
        assert!(screen.told.contains("li-wei"), "{}", screen.told);
        screen.fleet.take(
            "sz-03",
            "incident/terminal-offline",
            include_str!("../../../tests/golden/1/incident.json")
                .replace("\"li-wei\"", "null")
                .replace("\"acknowledged\": {", "\"acknowledged\": null, \"x\": {")
                .as_bytes(),
        );
        screen.look();
        match press(&mut screen, "aTICKET-12\n") {
            Wish::Acknowledge { gateway, number, reason } => {
                assert_eq!((gateway.as_str(), number, reason.as_str()), ("sz-03", 17, "TICKET-12"));
            }
            _ => panic!("nobody was asked to sign"),
        }
        press(&mut screen, "/x\u{1b}");
        assert_eq!((screen.filter.as_str(), screen.rows.len()), ("", 2));
        assert!(matches!(press(&mut screen, "q"), Wish::Leave));
    }
}
