//! The words of a report in both languages.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    En,
    Zh,
}

macro_rules! words {
    ($($name:ident = $en:literal / $zh:literal;)*) => {
        /// Every label of the page.
        pub(super) struct Labels { $(pub(super) $name: &'static str),* }

        pub(super) const EN: Labels = Labels { $($name: $en),* };
        pub(super) const ZH: Labels = Labels { $($name: $zh),* };
    };
}

words! {
    lang = "en" / "zh";
    title = "Health report" / "健康报告";
    made = "Made" / "生成时间";
    up = "Gateway up" / "网关运行";
    broker = "Broker connected" / "服务器连接";
    punches = "Punches" / "打卡";
    later = "of them read later" / "其中补读";
    waiting = "not delivered" / "未送达";
    incidents = "Incidents" / "故障";
    breached = "past their target" / "超时";
    days_left = "Disk lasts" / "磁盘可用";
    days = "days" / "天";
    unknown = "not known" / "未知";
    by_day = "Punches a day" / "每日打卡";
    terminals = "Terminals" / "考勤机";
    terminal = "Terminal" / "考勤机";
    serial = "Serial" / "序列号";
    firmware = "Firmware" / "固件";
    online = "Online" / "在线率";
    away = "Away" / "离线";
    longest = "Longest" / "最长";
    clock = "Clock off, median / worst" / "时钟偏差，中位 / 最大";
    aside = "Set aside" / "搁置";
    lost = "Lost" / "丢失";
    last = "Last punch" / "最后打卡";
    delays = "How soon" / "时效";
    stored = "From the punch to this disk" / "从打卡到写入磁盘";
    delivered = "From this disk to the broker" / "从磁盘到消息服务器";
    half = "half within" / "半数在";
    most = "99 of 100 within" / "99% 在";
    queue = "Punches waiting, most in each hour" / "等待发送的打卡（每小时最多）";
    online_hours = "Terminals online, fewest in each hour" / "在线考勤机（每小时最少）";
    commit = "Until 99 of 100 commits were on disk, slowest in each hour, ms" / "99% 写盘耗时（每小时最慢，毫秒）";
    free = "Room on the disk, GiB" / "磁盘剩余空间（GiB）";
    number = "No." / "编号";
    what = "What" / "状况";
    opened = "Opened" / "开始";
    lasted = "Open for" / "持续";
    target = "Target" / "目标";
    taken = "Taken by" / "接手人";
    result = "Result" / "结果";
    kept = "kept" / "达标";
    late = "late" / "超时";
    still = "still open" / "未解决";
    renew = "What to renew" / "需要更新";
    nothing = "Nothing." / "无。";
    no_data = "No numbers are kept of this period." / "该时段没有保存的数值。";
    unreadable = "Some places of the journal could not be read: figures may be too low." / "日志中有部分内容无法读取：数字可能偏低。";
    recompute = "Every figure can be recomputed: punches and delays from the journal (punchgate journal export), availability and capacity from metrics.ring, incidents from incidents/log.jsonl; docs/health.md says how." / "所有数字均可重新计算：打卡与时效来自日志（punchgate journal export），可用率与容量来自 metrics.ring，故障来自 incidents/log.jsonl；方法见 docs/health.md。";
    not_looked_up = "Flaws in the gateway's own parts were not looked up, because there is no list of advisories (docs/health.md says where one is put)." / "未查询网关自身组件的漏洞：没有漏洞公告清单（放置位置见 docs/zh/health.md）。";
    parts = "Advisories about the gateway's own parts" / "涉及网关自身组件的漏洞公告";
    list = "Looked up in a list of advisories for Rust" / "查询所用的 Rust 公告清单条数";
    as_of = "as of" / "截至";
    unread = "files that could not be read" / "无法读取的文件";
}
