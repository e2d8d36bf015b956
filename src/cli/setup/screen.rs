//! Whoever sits there: what he is shown and asked, with arrow keys.

use std::{fmt::Display, io::Write};

use inquire::{
    InquireError, MultiSelect, Password, PasswordDisplayMode, Select, Text,
    validator::{ErrorMessage, Validation},
};

use crate::cli::{
    Failure,
    args::Language,
    out::{Out, Tone},
};

/// A text in the language of whoever sits there; names in braces are filled in.
macro_rules! say {
    ($screen:expr, $en:literal / $zh:literal) => {
        match $screen.language {
            $crate::cli::args::Language::En => format!($en),
            $crate::cli::args::Language::Zh => format!($zh),
        }
    };
}
pub(super) use say;

pub(super) struct Screen<'a> {
    pub(super) out: &'a mut Out,
    pub(super) language: Language,
    /// Somebody is there to be asked.
    pub(super) asks: bool,
}

/// Zones and the like: so many lines at once.
const PAGE: usize = 10;

impl Screen<'_> {
    /// The head of a step.
    pub(super) fn head(&mut self, text: &str) -> Result<(), Failure> {
        let text = self.out.toned(Tone::Good, text);
        Ok(writeln!(self.out, "\n== {text}")?)
    }

    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Shown now, since what comes takes a while.
    pub(super) fn now(&mut self, text: &str) -> Result<(), Failure> {
        self.line(text)?;
        Ok(self.out.flush()?)
    }

    /// A line of text. `check` says what is wrong with it, with the mend.
    pub(super) fn text(
        &mut self,
        label: &str,
        help: &str,
        default: Option<&str>,
        check: impl Fn(&str) -> Result<(), String> + Clone + 'static,
    ) -> Result<String, Failure> {
        loop {
            self.out.flush()?;
            let check = check.clone();
            let mut prompt = Text::new(label).with_validator(move |text: &str| {
                Ok(check(text.trim())
                    .map_or_else(|why| Validation::Invalid(ErrorMessage::Custom(why)), |()| Validation::Valid))
            });
            if !help.is_empty() {
                prompt = prompt.with_help_message(help);
            }
            if let Some(default) = default.filter(|default| !default.is_empty()) {
                prompt = prompt.with_default(default);
            }
            match prompt.prompt() {
                Ok(text) => return Ok(text.trim().to_owned()),
                Err(error) => self.once_more(error)?,
            }
        }
    }

    /// A secret: stars are seen.
    pub(super) fn secret(&mut self, label: &str, help: &str) -> Result<String, Failure> {
        loop {
            self.out.flush()?;
            let prompt = Password::new(label).with_display_mode(PasswordDisplayMode::Masked).without_confirmation();
            let prompt = if help.is_empty() { prompt } else { prompt.with_help_message(help) };
            match prompt.prompt() {
                Ok(secret) => return Ok(secret),
                Err(error) => self.once_more(error)?,
            }
        }
    }

    /// One of several; its number.
    pub(super) fn choose<T: Display>(&mut self, label: &str, options: Vec<T>, at: usize) -> Result<usize, Failure> {
        let help = say!(self, "arrow keys, Enter takes it" / "方向键选择，回车确认");
        self.select(label, &help, options, at, false)
    }

    /// One of many, which may be typed in part.
    pub(super) fn search(&mut self, label: &str, options: Vec<String>, at: usize) -> Result<usize, Failure> {
        let help =
            say!(self, "arrow keys, or type a part of it; Enter takes it" / "方向键选择，或输入其中一部分；回车确认");
        self.select(label, &help, options, at, true)
    }

    fn select<T: Display>(
        &mut self,
        label: &str,
        help: &str,
        options: Vec<T>,
        at: usize,
        typed: bool,
    ) -> Result<usize, Failure> {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        loop {
            self.out.flush()?;
            let prompt = Select::new(label, options.clone()).with_help_message(help).with_starting_cursor(at);
            let prompt = prompt.with_page_size(PAGE);
            let prompt = match typed {
                true => prompt.with_scorer(&|typed, _, option, _| score(typed, option)),
                false => prompt.without_filtering(),
            };
            match prompt.raw_prompt() {
                Ok(chosen) => return Ok(chosen.index),
                Err(error) => self.once_more(error)?,
            }
        }
    }

    /// Any number of them.
    pub(super) fn several(
        &mut self,
        label: &str,
        options: Vec<String>,
        chosen: &[usize],
    ) -> Result<Vec<usize>, Failure> {
        let help = say!(self, "arrow keys, space chooses, Enter takes them" / "方向键移动，空格选中，回车确认");
        loop {
            self.out.flush()?;
            let prompt = MultiSelect::new(label, options.clone()).with_help_message(&help).with_default(chosen);
            match prompt.with_page_size(PAGE).without_filtering().raw_prompt() {
                Ok(chosen) => return Ok(chosen.into_iter().map(|one| one.index).collect()),
                Err(error) => self.once_more(error)?,
            }
        }
    }

    /// Esc may be pressed by mistake, and a quarter of an hour of answers would be gone: it is asked whether it was meant.
    fn once_more(&mut self, error: InquireError) -> Result<(), Failure> {
        if !matches!(error, InquireError::OperationCanceled) {
            return Err(self.ended(error));
        }
        let options =
            vec![say!(self, "no, go on" / "不，继续"), say!(self, "end; nothing is written" / "退出，不写入")];
        let label = say!(self, "End it?" / "要退出吗？");
        match Select::new(&label, options).without_filtering().without_help_message().raw_prompt() {
            Ok(chosen) if chosen.index == 0 => Ok(()),
            Ok(_) => Err(self.ended(InquireError::OperationCanceled)),
            Err(error) => Err(self.ended(error)),
        }
    }

    fn ended(&self, error: InquireError) -> Failure {
        let why = match error {
            InquireError::OperationCanceled | InquireError::OperationInterrupted => {
                say!(self, "ended; nothing was written" / "已中止；没有写入任何内容")
            }
            other => say!(
                self,
                "nothing can be asked here: {other}; nothing was written" / "无法在此提问：{other}；没有写入任何内容"
            ),
        };
        Failure::failed(why, say!(self, "begin again: punchgate setup" / "重新开始：punchgate setup"))
    }
}

/// How well an option fits what was typed: a part of it first, then what is nearly spelt so.
fn score(typed: &str, option: &str) -> Option<i64> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], " ");
    let (typed, option) = (plain(typed), plain(option));
    // The clocks of all China are those of Shanghai in the IANA list, which has no Beijing.
    let other_names = ["beijing", "peking", "china", "prc", "北京", "上海", "中国"];
    if typed.is_empty() || option.contains(&typed) {
        // What begins so stands above what only holds it.
        let begins = option.split('/').any(|word| word.starts_with(&typed));
        return Some(if begins { 20 } else { 10 });
    }
    if option == "asia/shanghai" && other_names.iter().any(|name| typed.len() >= 4 && name.starts_with(&*typed)) {
        return Some(30);
    }
    let city = option.rsplit('/').next().unwrap_or(&option);
    let distance = strsim::damerau_levenshtein(&typed, city);
    (typed.len() >= 4 && distance <= 1 + city.len() / 4).then(|| 5 - i64::try_from(distance).unwrap_or(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_found_by_a_part_by_another_name_and_nearly_spelt() {
        let best = |typed: &str| {
            let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
            let best = names.iter().filter_map(|name| Some((score(typed, name)?, name.clone()))).max_by_key(|it| it.0);
            best.map(|(_, name)| name)
        };
        assert_eq!(best("shang").as_deref(), Some("Asia/Shanghai"));
        assert_eq!(best("Shangai").as_deref(), Some("Asia/Shanghai"));
        assert_eq!(best("beijing").as_deref(), Some("Asia/Shanghai"));
        assert_eq!(best("北京").as_deref(), Some("Asia/Shanghai"));
        assert_eq!(best("hong kong").as_deref(), Some("Asia/Hong_Kong"));
        assert_eq!(best("qqqqqq"), None);
    }
}
