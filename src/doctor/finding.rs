//! Checks and what they found, in both languages of the product.

use serde::Serialize;

/// The same in both languages. What an operating system or another program said stands in its own words in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    pub en: String,
    pub zh: String,
}

/// A text with its translation; names in braces are filled in, in both.
macro_rules! both {
    ($en:literal / $zh:literal) => {
        $crate::doctor::finding::Told { en: format!($en), zh: format!($zh) }
    };
}
pub(super) use both;

/// A text with its translation, as it stands.
pub(super) fn fixed(en: &str, zh: &str) -> Told {
    Told { en: en.to_owned(), zh: zh.to_owned() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Well,
    /// It works, but somebody should know.
    Odd,
    Wrong,
    /// A lower layer explains it, or it cannot be seen from here.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    /// The broker or terminal it is about; absent: the gateway itself.
    pub subject: Option<String>,
    pub outcome: Outcome,
    pub title: Told,
    /// What was seen.
    pub evidence: Told,
    /// What to do; present when it is odd or wrong.
    pub mend: Option<Told>,
}

impl Finding {
    /// The same, about a broker or a terminal.
    pub(super) fn of(self, subject: &str) -> Self {
        Self { subject: Some(subject.to_owned()), ..self }
    }
}

/// Declares the checks, from the ground up.
macro_rules! checks {
    ($($name:ident = $code:literal: $en:literal / $zh:literal;)*) => {
        /// Every check there is, in the order in which they explain each other.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Check { $($name),* }

        impl Check {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As in `--json`; never changes its meaning.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            pub fn title(self) -> Told {
                match self { $(Self::$name => fixed($en, $zh)),* }
            }
        }
    };
}

checks! {
    Config = "config": "config" / "配置";
    Folder = "state-dir": "state folder" / "状态目录";
    DiskSpace = "disk-space": "room on the disk" / "磁盘空间";
    DiskSync = "disk-sync": "writing to the disk" / "磁盘写入";
    Journal = "journal": "journal" / "日志";
    Memory = "memory": "memory" / "内存";
    Clock = "clock": "clock" / "时钟";
    Daemon = "daemon": "gateway at work" / "网关运行";
    Name = "broker-name": "broker's name" / "服务器域名";
    Route = "broker-route": "way to the broker" / "到服务器的路由";
    Port = "broker-port": "broker's port" / "服务器端口";
    Tls = "broker-tls": "TLS" / "TLS 加密";
    Certificate = "certificate": "certificates" / "证书有效期";
    Login = "broker-login": "login at the broker" / "登录服务器";
    Publish = "broker-publish": "publish and acknowledgement" / "发布与确认";
    Reach = "terminal-reach": "way to the terminal" / "到考勤机的连接";
    Session = "terminal-session": "session with the terminal" / "与考勤机的会话";
    TerminalClock = "terminal-clock": "terminal's clock" / "考勤机时钟";
    TerminalLog = "terminal-log": "terminal's log" / "考勤机记录";
    Live = "terminal-live": "live punches" / "实时打卡";
    Safety = "terminal-safety": "terminal's safety" / "考勤机安全";
}

impl Check {
    fn finding(self, outcome: Outcome, evidence: Told, mend: Option<Told>) -> Finding {
        Finding { check: self.name(), subject: None, outcome, title: self.title(), evidence, mend }
    }

    pub(super) fn well(self, evidence: Told) -> Finding {
        self.finding(Outcome::Well, evidence, None)
    }

    pub(super) fn odd(self, evidence: Told, mend: Told) -> Finding {
        self.finding(Outcome::Odd, evidence, Some(mend))
    }

    pub(super) fn wrong(self, evidence: Told, mend: Told) -> Finding {
        self.finding(Outcome::Wrong, evidence, Some(mend))
    }

    /// Not tried, since the other one explains it.
    pub(super) fn skipped(self, because: Self) -> Finding {
        let Told { en, zh } = because.title();
        self.finding(Outcome::Skipped, both!("not tried: first the {en}" / "未检查：请先解决“{zh}”"), None)
    }

    /// Cannot be seen from here.
    pub(super) fn unseen(self, why: Told) -> Finding {
        self.finding(Outcome::Skipped, why, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_and_a_title_in_both_languages() {
        let mut names: Vec<_> = Check::ALL.iter().map(|check| check.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Check::ALL.len());
        for check in Check::ALL {
            let Told { en, zh } = check.title();
            assert!(!en.is_empty() && !zh.is_empty() && en != zh, "{}", check.name());
        }
    }
}
