//! The reference of commands, in both languages, is made from the table in the code: `UPDATE_DOCS=1` rewrites it.

use std::{env, fmt::Write, fs};

use punchgate::command::{About, COMMANDS, Class, Spec, Trust};
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

struct Texts {
    file: &'static str,
    head: &'static str,
    classes: [(&'static str, &'static str); 4],
    columns: &'static str,
    challenge: [&'static str; 2],
    about: [&'static str; 3],
    takes: &'static str,
    nothing: &'static str,
    answers: &'static str,
    limit: &'static str,
    cancel: &'static str,
    optional: &'static str,
    english: bool,
}

const ENGLISH: Texts = Texts {
    file: "docs/commands.md",
    head: "# Commands\n\nWhat can be ordered from afar, made from the table in `src/command/table.rs`. How to make keys and send orders: \
           [remote-support.md](remote-support.md). JSON Schema of all arguments and results: \
           [schema/commands.json](schema/commands.json).\n\nEvery order is signed by an `[[operator]]` of the gateway's config, names \
           its gateway, and is done once at most. The answers `accepted`, `executing` and then one of `successful`, `failed`, \
           `rejected`, `unknown` are signed by the gateway. `unknown` means that it may or may not have happened: look, \
           before you order it again.\n",
    classes: [
        ("read", "One viewer. An order lives for an hour at most."),
        ("reversible", "One support, with a reason. An order lives for ten minutes at most."),
        ("change", "One admin, with a reason and a challenge of this gateway. Ten minutes."),
        (
            "dangerous",
            "Off until `[commands] allow` names it. Two different persons, one of them an admin, unless `[commands] approvals` says \
             otherwise; a challenge; one minute; each door three times a minute.",
        ),
    ],
    columns: "| command | about | needs a challenge | what it does |\n|---|---|---|---|\n",
    challenge: ["when the gateway's clock is in doubt", "always"],
    about: ["the gateway", "the gateway or a terminal", "a terminal"],
    takes: "Takes",
    nothing: "no arguments",
    answers: "Answers",
    limit: "Given up after",
    cancel: "It can be cancelled.",
    optional: "may be left out",
    english: true,
};

const CHINESE: Texts = Texts {
    file: "docs/zh/commands.md",
    head: "# 命令\n\n可远程下达的命令，由 `src/command/table.rs` 中的表生成。如何生成密钥、发送命令：[remote-support.md](remote-support.md)。\
           全部参数与结果的 JSON Schema：[../schema/commands.json](../schema/commands.json)。\n\n每条命令由网关配置中的 `[[operator]]` 签名，\
           写明发给哪台网关，最多执行一次。应答 `accepted`、`executing`，然后是 `successful`、`failed`、`rejected`、`unknown` \
           之一，均由网关签名。`unknown` 表示可能已执行也可能没有：再次下达之前先查看。\n",
    classes: [
        ("read", "一名 viewer。命令最长有效一小时。"),
        ("reversible", "一名 support，须写明原因。最长十分钟。"),
        ("change", "一名 admin，须写明原因，并带本网关给出的 challenge。最长十分钟。"),
        (
            "dangerous",
            "`[commands] allow` 未列出则关闭。须两名不同的人签名，其中一名是 admin（`[commands] approvals` 另有规定除外）；\
             须带 challenge；一分钟内有效；每扇门每分钟最多三次。",
        ),
    ],
    columns: "| 命令 | 对象 | 是否需要 challenge | 作用 |\n|---|---|---|---|\n",
    challenge: ["网关时钟存疑时", "总是"],
    about: ["网关", "网关或一台考勤机", "一台考勤机"],
    takes: "参数",
    nothing: "无",
    answers: "结果",
    limit: "超时",
    cancel: "可终止（cancel）。",
    optional: "可省略",
    english: false,
};

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator()
}

fn args(spec: &Spec) -> Schema {
    (spec.args)(&mut generator())
}

fn result(spec: &Spec) -> Schema {
    (spec.result)(&mut generator())
}

fn reference(texts: &Texts) -> String {
    let mut doc = texts.head.to_owned();
    for (class, (name, who)) in Class::ALL.iter().zip(texts.classes) {
        assert_eq!(class.name(), name);
        write!(doc, "\n## {name}\n\n{who}\n\n{}", texts.columns).unwrap();
        let of_class = || COMMANDS.iter().filter(|spec| spec.class == *class);
        for spec in of_class() {
            let challenge = texts.challenge[usize::from(spec.trust() == Trust::Challenge)];
            let about = match spec.about {
                About::Gateway => texts.about[0],
                About::Either => texts.about[1],
                About::Terminal => texts.about[2],
            };
            let words = if texts.english { spec.words.en } else { spec.words.zh };
            writeln!(doc, "| `{}` | {about} | {challenge} | {words} |", spec.name).unwrap();
        }
        for spec in of_class() {
            let limit = spec.limit.as_secs();
            let (takes, answers) = (arguments(spec, texts), members(&result(spec)));
            writeln!(doc, "\n### `{}`\n\n{}: {takes}\n", spec.name, texts.takes).unwrap();
            let cancel = if spec.cancel { format!(" {}", texts.cancel) } else { String::new() };
            writeln!(doc, "{}: {answers}. {} {limit} s.{cancel}", texts.answers, texts.limit).unwrap();
        }
    }
    doc
}

fn arguments(spec: &Spec, texts: &Texts) -> String {
    let schema = args(spec);
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let one = |(name, property): (&String, &Value)| {
        let optional = if required.contains(&json!(name)) { String::new() } else { format!(" ({})", texts.optional) };
        // What the types say in English; the names speak for themselves in both.
        let words = property.get("description").and_then(Value::as_str).filter(|_| texts.english);
        format!("\n- `{name}`{optional}{}", words.map(|words| format!(": {words}")).unwrap_or_default())
    };
    match properties.is_empty() {
        true => texts.nothing.to_owned(),
        false => properties.iter().map(one).collect(),
    }
}

fn members(schema: &Schema) -> String {
    match schema.get("properties").and_then(Value::as_object) {
        Some(properties) => properties.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        None => "{}".into(),
    }
}

fn held(file: &str, text: &str) {
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, text).unwrap();
    }
    assert_eq!(fs::read_to_string(file).unwrap_or_default(), text, "{file} is old: UPDATE_DOCS=1 cargo test");
}

#[test]
fn the_references_say_what_the_table_says() {
    for texts in [&ENGLISH, &CHINESE] {
        held(texts.file, &reference(texts));
    }
}

#[test]
fn the_schemas_are_those_of_the_code() {
    let all: Map<String, Value> = COMMANDS
        .iter()
        .map(|spec| {
            (spec.name.to_owned(), json!({ "class": spec.class.name(), "args": args(spec), "result": result(spec) }))
        })
        .collect();
    held("docs/schema/commands.json", &(serde_json::to_string_pretty(&json!({ "commands": all })).unwrap() + "\n"));
}
