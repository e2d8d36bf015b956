//! Every command there is, one block each: what it does, who may order it, what it takes and what it answers.
//!
//! The references in `docs/` are made from this table. A new command is a block here, its act in `gateway/acts`, and its
//! arguments and result in `args.rs` and `results.rs` where no others fit.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

use super::{args, args::Args, authority::Role, results};
use crate::{health::Words, incident::Incident, wire::health::GatewayHealth};

/// How much a command may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Looks, and changes nothing.
    Read,
    /// Does nothing that would have to be undone.
    Reversible,
    /// Changes something, or disturbs people who want to punch.
    Change,
    /// Opens a door, or destroys something.
    Dangerous,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Read, Self::Reversible, Self::Change, Self::Dangerous];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Reversible => "reversible",
            Self::Change => "change",
            Self::Dangerous => "dangerous",
        }
    }

    /// For how long a signed order may be good, in seconds.
    pub fn life(self) -> i64 {
        match self {
            Self::Read => 3600,
            Self::Reversible | Self::Change => 600,
            Self::Dangerous => 60,
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Reversible => Role::Support,
            Self::Change | Self::Dangerous => Role::Admin,
        }
    }
}

/// What proves that an order is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Its time, while our clock may be believed; or a challenge.
    Clock,
    /// Nothing but a challenge.
    Challenge,
}

/// Whether a command is about one terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Gateway,
    /// One terminal, or all.
    Either,
    Terminal,
}

/// One command.
pub struct Spec {
    pub name: &'static str,
    pub class: Class,
    /// The least that one of its signers must be.
    pub role: Role,
    pub about: About,
    pub words: Words,
    /// Given up after so long: what is under way is not called back.
    pub limit: Duration,
    /// It can be ended by `cancel`: nothing of it goes on elsewhere.
    pub cancel: bool,
    /// What a driver must be able to do for it.
    pub operation: Option<&'static str>,
    pub args: fn(&mut SchemaGenerator) -> Schema,
    /// The references in `docs/` are made of it, and nothing else: it is not in what is installed.
    #[cfg(feature = "references")]
    pub result: fn(&mut SchemaGenerator) -> Schema,
    check: fn(&Map<String, Value>) -> Result<(), String>,
    trust: Option<Trust>,
}

impl Spec {
    const fn new<A: Args, R: JsonSchema>(name: &'static str, class: Class, words: Words) -> Self {
        Self {
            name,
            class,
            role: class.role(),
            about: About::Gateway,
            words,
            limit: Duration::from_secs(30),
            cancel: false,
            operation: None,
            args: A::json_schema,
            #[cfg(feature = "references")]
            result: R::json_schema,
            check: args::check::<A>,
            trust: None,
        }
    }

    const fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    /// It is done by the terminal's driver.
    const fn operation(self, operation: &'static str) -> Self {
        Self { about: About::Terminal, operation: Some(operation), ..self }
    }

    const fn cancel(self) -> Self {
        Self { cancel: true, ..self }
    }

    const fn limit(self, seconds: u64) -> Self {
        Self { limit: Duration::from_secs(seconds), ..self }
    }

    const fn by_clock(self) -> Self {
        Self { trust: Some(Trust::Clock), ..self }
    }

    pub fn trust(&self) -> Trust {
        match (self.trust, self.class) {
            (Some(trust), _) => trust,
            (None, Class::Read | Class::Reversible) => Trust::Clock,
            (None, Class::Change | Class::Dangerous) => Trust::Challenge,
        }
    }

    /// It does nothing but give a challenge.
    pub fn asks_for_challenge(&self) -> bool {
        self.name == CHALLENGE
    }

    /// Whether arguments and terminal are what it takes.
    pub fn check(&self, args: &Map<String, Value>, terminal: Option<&str>) -> Result<(), String> {
        match (self.about, terminal) {
            (About::Gateway, Some(_)) => return Err("it is about no terminal".into()),
            (About::Terminal, None) => return Err("it must name a terminal".into()),
            _ => {}
        }
        (self.check)(args)
    }
}

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Spec> {
    COMMANDS.iter().find(|spec| spec.name == name)
}

pub const CHALLENGE: &str = "challenge";
pub const CANCEL: &str = "cancel";

const fn words(en: &'static str, zh: &'static str) -> Words {
    Words { en, zh }
}

/// Every command there is.
pub const COMMANDS: &[Spec] = &[
    Spec::new::<args::Nothing, results::Challenge>(
        CHALLENGE,
        Class::Read,
        words(
            "Gives 32 random bytes that prove, in the next minute and once, that an order was written after now.",
            "给出 32 个随机字节：一分钟内使用一次，证明命令确是此刻之后写的。",
        ),
    ),
    Spec::new::<args::Nothing, GatewayHealth>(
        "health",
        Class::Read,
        words(
            "The document of the topic health, as it is now.",
            "health 主题的文档，取当前状态。",
        ),
    ),
    Spec::new::<args::Page, results::Terminals>(
        "terminals",
        Class::Read,
        words("How each terminal stands.", "每台考勤机的状态。"),
    )
    .about(About::Either),
    Spec::new::<args::Nothing, results::Conditions>(
        "conditions",
        Class::Read,
        words("Everything that is wrong now, with its mend.", "当前所有异常及处理办法。"),
    )
    .about(About::Either),
    Spec::new::<args::Logs, results::Logs>(
        "logs",
        Class::Read,
        words(
            "The newest lines of the gateway's own log, INFO and above; no person's number is in them.",
            "网关自身日志的最新若干行（INFO 及以上），其中没有人员编号。",
        ),
    ),
    Spec::new::<args::Punches, results::Punches>(
        "punches",
        Class::Read,
        words(
            "Punches by id, person, terminal or time, newest first; persons under a pseudonym that only this gateway gives.",
            "按编号、人员、考勤机或时间查打卡，最新在前；人员以本网关独有的化名表示。",
        ),
    )
    .about(About::Either)
    .cancel(),
    Spec::new::<args::Why, results::Why>(
        "why",
        Class::Read,
        words(
            "Follows a punch from its terminal to the broker, or says where it is missing; without a person, whether a terminal's silence is usual.",
            "追踪一次打卡从考勤机到消息服务器的全程，或指出缺在何处；不写人员时，判断某台考勤机的安静是否正常。",
        ),
    )
    .about(About::Either)
    .cancel()
    .limit(120),
    Spec::new::<args::Nothing, results::Doctor>(
        "doctor",
        Class::Read,
        words(
            "Looks from the ground up for what is wrong, and says what to mend first.",
            "自下而上检查问题，并指出首先处理什么。",
        ),
    )
    .about(About::Either)
    .cancel()
    .limit(240),
    Spec::new::<args::Bundle, results::Bundle>(
        "bundle",
        Class::Read,
        words(
            "Makes one archive of all that support needs, without secrets, names and cards; its id is to be quoted.",
            "生成一个支持所需的全部资料包，不含密钥、姓名和卡号；请报其编号。",
        ),
    )
    .cancel()
    .limit(600),
    Spec::new::<args::Report, results::Report>(
        "report",
        Class::Read,
        words(
            "The health report of a period in few figures; the whole page, or all figures as JSON, is fetched in parts.",
            "某时段的健康报告要点；完整页面或全部数字（JSON）分段取回。",
        ),
    )
    .cancel()
    .limit(600),
    Spec::new::<args::BundlePart, results::BundlePart>(
        "bundle.read",
        Class::Read,
        words(
            "A part of the newest bundle or report; the gateway keeps it until the next one or its end.",
            "读取最新资料包或报告的一部分；网关保留到下一个或停止为止。",
        ),
    ),
    Spec::new::<args::Nothing, results::ConfigShown>(
        "config.show",
        Class::Read,
        words(
            "The config in force, secrets masked, with what was set from afar.",
            "当前配置（密钥已遮盖），并列出远程设置的项目。",
        ),
    ),
    Spec::new::<args::Nothing, results::Done>(
        "terminal.info",
        Class::Read,
        words("A terminal's identity, counts and clock.", "考勤机的型号、序列号、记录数与时钟。"),
    )
    .operation("info")
    .limit(60),
    Spec::new::<args::Nothing, results::Users>(
        "terminal.users",
        Class::Read,
        words("How many users a terminal has, and their numbers under a pseudonym.", "考勤机上的用户数，编号以化名表示。"),
    )
    .operation("users")
    .limit(120),
    Spec::new::<args::Period, results::Done>(
        "reconcile",
        Class::Reversible,
        words(
            "Compares a terminal's log with the ledger now, and reads what is missing.",
            "立即核对考勤机记录与账本，补读缺失部分。",
        ),
    )
    .operation("reconcile")
    .limit(900),
    Spec::new::<args::Range, results::Replayed>(
        "replay",
        Class::Reversible,
        words(
            "Sends punches of a ledger again, with the same ids and numbers; receivers drop what they have.",
            "重发账本中的一段打卡，编号与序号不变；接收方会丢弃已有的。",
        ),
    )
    .about(About::Terminal)
    .cancel()
    .limit(120),
    Spec::new::<args::Cancel, results::Cancelled>(
        CANCEL,
        Class::Reversible,
        words(
            "Ends an order that is under way, where that is possible; what it did until then stays done.",
            "终止正在执行的命令（可终止的那些）；此前已做的保持不变。",
        ),
    ),
    Spec::new::<args::Message, results::Done>(
        "terminal.message",
        Class::Reversible,
        words("Shows a text on a terminal's screen.", "在考勤机屏幕上显示一段文字。"),
    )
    .operation("message"),
    Spec::new::<args::Nothing, results::Done>(
        "terminal.time-set",
        Class::Reversible,
        words("Sets a terminal's clock to the gateway's, if that may be believed.", "把考勤机时钟对准网关（网关时钟可信时）。"),
    )
    .operation("time-set")
    .limit(60),
    Spec::new::<args::Nothing, results::Restarting>(
        "driver.restart",
        Class::Reversible,
        words(
            "Ends a terminal's connection and begins it anew; terminals of the same line share this.",
            "断开并重建考勤机的连接；同一线路上的考勤机一并重连。",
        ),
    )
    .about(About::Terminal),
    Spec::new::<args::Trace, results::Trace>(
        "trace",
        Class::Change,
        words(
            "Tells the frames between a driver and one terminal for at most 15 minutes, without anything that says who somebody is.",
            "记录驱动与一台考勤机之间的报文，最长 15 分钟，不含任何人员信息。",
        ),
    )
    .operation(driver_api::TRACE)
    .cancel()
    .limit(930),
    Spec::new::<args::Nothing, results::Done>(
        "terminal.restart",
        Class::Change,
        words("Restarts a terminal: nobody can punch there for a minute.", "重启考勤机：约一分钟内无法打卡。"),
    )
    .operation("restart")
    .limit(60),
    Spec::new::<args::ConfigSet, results::ConfigSet>(
        "config.set",
        Class::Change,
        words(
            "Sets one key of a terminal or driver for a trial. Without config.confirm in time it goes back by itself.",
            "试设某台考勤机或驱动的一个配置项；未在时限内 config.confirm 就自动还原。",
        ),
    ),
    Spec::new::<args::ConfigConfirm, results::ConfigSet>(
        "config.confirm",
        Class::Change,
        words("Keeps what a config.set has set, for ever.", "永久保留某次 config.set 的设置。"),
    ),
    Spec::new::<args::Nothing, results::Restarting>(
        "gateway.restart",
        Class::Change,
        words(
            "Ends the daemon in good order; its unit starts it again. Terminals keep what happens meanwhile.",
            "正常退出守护进程，由 systemd 重新启动；其间的打卡由考勤机保存。",
        ),
    ),
    Spec::new::<args::IncidentAcknowledge, Incident>(
        "incident.acknowledge",
        Class::Reversible,
        words(
            "Says that the signer looks after an open incident; its clock goes on.",
            "声明签名人已接手某个未解决的故障；计时不会停止。",
        ),
    ),
    // It can only take away what may be done: whoever sees a break-in should not wait for a challenge.
    Spec::new::<args::Nothing, results::Lockdown>(
        "lockdown",
        Class::Change,
        words(
            "From now on only read commands are taken. It ends by [commands] unlock in the config, on site.",
            "此后只接受只读命令；须在现场于配置 [commands] unlock 中解除。",
        ),
    )
    .by_clock(),
    Spec::new::<args::Unlock, results::Done>(
        "terminal.unlock",
        Class::Dangerous,
        words("Opens a door for some seconds.", "开门若干秒。"),
    )
    .operation("unlock")
    .limit(30),
    Spec::new::<args::UserPut, results::Done>(
        "user.put",
        Class::Dangerous,
        words(
            "Adds somebody who may punch at a terminal, or changes what it shows of him or his card.",
            "在考勤机上新增一名人员，或修改其显示名或卡号。",
        ),
    )
    .operation("user-put")
    .limit(120),
    Spec::new::<args::UserDelete, results::Done>(
        "user.delete",
        Class::Dangerous,
        words(
            "Takes somebody away from a terminal, with fingerprints, face and card.",
            "从考勤机删除一名人员，连同其指纹、人脸和卡。",
        ),
    )
    .operation("user-delete")
    .limit(120),
    Spec::new::<args::Nothing, results::Done>(
        "terminal.clear-log",
        Class::Dangerous,
        words(
            "Empties a terminal's log, if every record in it is in the ledger and was delivered, and its count stands; people are kept off meanwhile.",
            "清空考勤机记录：仅当其中每条都已入账并已送达、且记录数未变；其间不能打卡。",
        ),
    )
    .operation("clear-log")
    .limit(600),
];
