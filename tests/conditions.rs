//! The pages of conditions in `docs/` are what the registry says. `UPDATE_DOCS=1` rewrites them. And each has its test: `causes`.

#[path = "conditions/causes.rs"]
mod causes;
mod support;

use std::{env, fmt::Write as _, fs, time::Duration};

use punchgate::health::{Code, ConditionKind, Severity, Words};

/// One language of the page.
struct Language {
    path: &'static str,
    head: &'static str,
    of: fn(Words) -> &'static str,
    severity: fn(Severity) -> &'static str,
    mend: &'static str,
    shown_after: fn(Duration) -> Option<String>,
    clears_after: fn(Duration) -> Option<String>,
    consequence: fn(&str) -> String,
}

const ENGLISH: Language = Language {
    path: "docs/conditions.md",
    head: "\
# Conditions

A condition is a named thing that is wrong now; absent is well. They stand in `health` and `health/{terminal}` on the broker
([mqtt.md](mqtt.md)) and in `punchgate status` and `punchgate conditions` at the gateway, worst first, each with its cause
in the words of whoever saw it.

* **high**: punches are refused or may be lost.
* **medium**: punches are safe but late, or one terminal is not served.
* **low**: somebody should look at it some day.

How it is decided what is shown, and what incidents are: [health.md](health.md). Codes never change their meaning. Made from `src/health/registry.rs` by `UPDATE_DOCS=1 cargo test --test conditions`; do not
edit it by hand.
",
    of: |words| words.en,
    severity: Severity::name,
    mend: "What to do:",
    shown_after: |after| (!after.is_zero()).then(|| format!("Shown when it has lasted {} s.", after.as_secs())),
    clears_after: |after| {
        let held = "held longer each time that it comes back";
        (!after.is_zero()).then(|| format!("Over when it has been well for {} s; {held}.", after.as_secs()))
    },
    consequence: |codes| format!("Not shown while it is only the consequence of {codes}."),
};

const CHINESE: Language = Language {
    path: "docs/zh/conditions.md",
    head: "\
# 状况一览

“状况”是当前存在的、有名称的问题；没有状况即为正常。状况出现在消息服务器的 `health` 与 `health/{terminal}` 主题中
（见 [mqtt.md](mqtt.md)），也可在网关上用 `punchgate status` 和 `punchgate conditions` 查看；最严重的排在最前，并附有原因。

* **high（高）**：打卡被拒收或可能丢失。
* **medium（中）**：打卡安全但延迟，或某台考勤机未被服务。
* **low（低）**：有空时应查看。

如何判断以及什么是故障，见 [health.md](health.md)。代码的含义永不改变。本页由 `UPDATE_DOCS=1 cargo test --test conditions` 根据 `src/health/registry.rs` 生成，请勿手工修改。
",
    of: |words| words.zh,
    severity: |severity| match severity {
        Severity::High => "high（高）",
        Severity::Medium => "medium（中）",
        Severity::Low => "low（低）",
    },
    mend: "处理方法：",
    shown_after: |after| (!after.is_zero()).then(|| format!("持续 {} 秒后显示。", after.as_secs())),
    clears_after: |after| {
        (!after.is_zero()).then(|| format!("恢复正常 {} 秒后解除；反复出现时保持时间逐次延长。", after.as_secs()))
    },
    consequence: |codes| format!("若只是 {codes} 的后果，则不显示。"),
};

impl Language {
    fn page(&self) -> String {
        let mut page = self.head.to_owned();
        for code in Code::ALL {
            self.describe(code.kind(), &mut page);
        }
        page
    }

    fn describe(&self, kind: &ConditionKind, page: &mut String) {
        let of = self.of;
        let (title, text, mend, severity) =
            (of(kind.title), of(kind.text), of(kind.mend), (self.severity)(kind.severity));
        write!(page, "\n## `{}`\n\n**{title}** · {severity}\n\n{text}\n\n{} {mend}\n", kind.code, self.mend).unwrap();
        let explaining: Vec<_> = kind.explained_by.iter().map(|code| format!("`{}`", code.kind().code)).collect();
        let consequence = (!explaining.is_empty()).then(|| (self.consequence)(&explaining.join(", ")));
        let (shown, over) = ((self.shown_after)(kind.shown_after), (self.clears_after)(kind.clears_after));
        for line in [shown, over, consequence].into_iter().flatten() {
            write!(page, "\n{line}\n").unwrap();
        }
    }
}

#[test]
fn the_pages_of_conditions_are_what_the_registry_says() {
    for language in [ENGLISH, CHINESE] {
        let page = language.page();
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(language.path, &page).unwrap();
        }
        let there = fs::read_to_string(language.path).unwrap_or_default();
        assert!(there == page, "{} has drifted: run UPDATE_DOCS=1 cargo test --test conditions", language.path);
    }
}
