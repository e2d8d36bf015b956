//! The registry of conditions: every code there is, with its severity and its words.

use std::time::Duration;

/// How bad it is for the people who want to punch. Ordered: worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Punches are refused or may be lost.
    High,
    /// Punches are safe but late, or one terminal is not served.
    Medium,
    /// Somebody should look at it some day.
    Low,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// The same words in both languages of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    pub en: &'static str,
    pub zh: &'static str,
}

/// What a code means.
#[derive(Debug, PartialEq, Eq)]
pub struct ConditionKind {
    /// As it stands in topics, logs and docs; never changes its meaning.
    pub code: &'static str,
    pub severity: Severity,
    pub title: Words,
    /// What it means for the people.
    pub text: Words,
    /// What to do.
    pub mend: Words,
    /// How long it must last to be shown.
    pub shown_after: Duration,
    /// How long it must be well to be over. Zero is for what ends by a fact, at once; what does not may come and go, and is held
    /// the longer the oftener it came back.
    pub clears_after: Duration,
    /// While one of these is raised (for the same subject or the gateway), this is only its consequence and is not shown.
    pub explained_by: &'static [Code],
}

/// Declares the codes: one block a condition, and nothing about a condition anywhere else.
macro_rules! conditions {
    ($($name:ident = $code:literal, $severity:ident, after $seconds:literal s, clears after $calm:literal s, explained by [$($by:ident),*] {
        title: $title_en:literal / $title_zh:literal,
        text: $text_en:literal / $text_zh:literal,
        mend: $mend_en:literal / $mend_zh:literal,
    })*) => {
        /// Every condition there is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($name),* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What it means.
            pub fn kind(self) -> &'static ConditionKind {
                match self {
                    $(Self::$name => {
                        const KIND: ConditionKind = ConditionKind {
                            code: $code,
                            severity: Severity::$severity,
                            title: Words { en: $title_en, zh: $title_zh },
                            text: Words { en: $text_en, zh: $text_zh },
                            mend: Words { en: $mend_en, zh: $mend_zh },
                            shown_after: Duration::from_secs($seconds),
                            clears_after: Duration::from_secs($calm),
                            explained_by: &[$(Code::$by),*],
                        };
                        &KIND
                    })*
                }
            }
        }
    };
}

impl Code {
    /// Those that say why a terminal is not served; at most one of them holds for a terminal.
    pub const UNSERVED: &'static [Self] =
        &[Self::TerminalOffline, Self::TerminalBusy, Self::TerminalRefuses, Self::TerminalGarbled, Self::DriverFailed];
}

conditions! {
    DiskFull = "disk-full", High, after 0 s, clears after 0 s, explained by [] {
        title: "Disk full" / "磁盘已满",
        text: "New punches are refused: terminals keep them in their own logs, and readers without a log lose them."
            / "新的打卡被拒绝接收：考勤机会保留在自身记录中，没有记录功能的读卡器会丢失打卡。",
        mend: "Make room on the disk that holds state_dir; the gateway goes on by itself."
            / "请清理 state_dir 所在磁盘的空间；网关会自动恢复。",
    }
    DiskFailed = "disk-failed", High, after 0 s, clears after 0 s, explained by [] {
        title: "Disk does not take punches" / "磁盘无法写入打卡",
        text: "Writing or syncing the journal failed, so nothing is acknowledged: terminals keep their punches."
            / "日志写入或同步失败，因此不会确认任何打卡：考勤机会保留打卡记录。",
        mend: "Look at the kernel log for the disk (journalctl -k); replace the disk if errors go on."
            / "请查看内核日志中的磁盘错误（journalctl -k）；若持续出错请更换磁盘。",
    }
    DiskNearlyFull = "disk-nearly-full", Medium, after 10 s, clears after 60 s, explained by [DiskFull] {
        title: "Disk nearly full" / "磁盘即将写满",
        text: "When the disk is full, new punches are refused." / "磁盘写满后，新的打卡将被拒绝接收。",
        mend: "Make room on the disk that holds state_dir, or shorten spool.retention."
            / "请清理 state_dir 所在磁盘，或缩短 spool.retention。",
    }
    DiskSlow = "disk-slow", Low, after 60 s, clears after 300 s, explained by [DiskFull, DiskFailed] {
        title: "Disk slow" / "磁盘写入缓慢",
        text: "It takes long until a punch is safe on the disk, so terminals wait longer for their answer."
            / "打卡写入磁盘耗时过长，考勤机等待应答的时间变长。",
        mend: "See what else writes to this disk; a worn or failing SD card or eMMC gets slow like this."
            / "请查看还有哪些程序在写此磁盘；磨损或即将损坏的 SD 卡、eMMC 会出现此现象。",
    }
    DiskWorn = "disk-worn", Medium, after 0 s, clears after 0 s, explained by [] {
        title: "Disk nearly worn out" / "磁盘寿命将尽",
        text: "The flash memory says that most of the writes it was made for are used up: it may fail soon."
            / "闪存报告其设计写入次数即将用尽，可能很快损坏。",
        mend: "Plan a new disk; copy state_dir with the gateway stopped." / "请安排更换磁盘；停止网关后复制 state_dir。",
    }
    MemoryLow = "gateway-memory-low", Medium, after 60 s, clears after 60 s, explained by [] {
        title: "Memory nearly used up" / "内存即将用尽",
        text: "When there is none left, the system ends programs, this gateway too; it starts again and loses nothing."
            / "内存耗尽时系统会终止程序，包括本网关；网关会自动重启且不丢失打卡。",
        mend: "See which program uses it (ps aux --sort=-rss | head) and end or move it."
            / "请查看占用内存的程序（ps aux --sort=-rss | head）并停止或移走。",
    }
    GatewayHot = "gateway-hot", Medium, after 60 s, clears after 60 s, explained by [] {
        title: "Gateway too hot" / "网关温度过高",
        text: "The box gets so hot that it slows down and ages; beyond that it switches itself off."
            / "设备温度过高会降速并加速老化；继续升温将自动关机。",
        mend: "Give it air: clean it, move it away from heat, look at its fan." / "请改善散热：清理灰尘、远离热源、检查风扇。",
    }
    NetworkDown = "gateway-network-down", Medium, after 5 s, clears after 5 s, explained by [] {
        title: "No network cable or link" / "网络未连接",
        text: "None of the gateway's network ports has a link: it reaches neither broker nor terminals. Punches stay where they are, safe."
            / "网关所有网口均无连接：既无法访问消息服务器，也无法访问考勤机。打卡保留在原处，不会丢失。",
        mend: "Check the gateway's cable and the switch it is plugged into." / "请检查网关的网线及其连接的交换机。",
    }
    IncidentsNotKept = "incidents-not-kept", Medium, after 10 s, clears after 0 s, explained by [DiskFailed] {
        title: "Incidents cannot be kept" / "故障无法记录",
        text: "The disk does not let the list of incidents be read or written: conditions are told, but have no number and no clock."
            / "磁盘上的故障列表无法读写：状况仍会报告，但没有编号和计时。",
        mend: "Look at state_dir/incidents: whether it is a folder that the gateway may write; it is tried again by itself."
            / "请检查 state_dir/incidents 是否为网关可写的目录；网关会自动重试。",
    }
    AuditNotWritten = "audit-not-written", Medium, after 10 s, clears after 0 s, explained by [DiskFull, DiskFailed] {
        title: "Audit log cannot be written" / "审计日志无法写入",
        text: "The disk does not take lines of the audit log: from afar nothing is done that it would have to tell of, only what looks. Punches are not touched by it."
            / "磁盘无法写入审计日志：远程只能执行查看类命令，需要留痕的一律不执行。打卡不受影响。",
        mend: "Look at state_dir/audit: whether it is a folder that the gateway may write and has room; it is tried again by itself, and a line tells how many are missing."
            / "请检查 state_dir/audit 是否为网关可写且有空间的目录；网关会自动重试，并用一行记录写明缺失的行数。",
    }
    MetricsNotServed = "metrics-not-served", Low, after 10 s, clears after 0 s, explained by [] {
        title: "Nobody can ask for numbers" / "无法提供数值查询",
        text: "The port or socket of [metrics] could not be opened, so graphs stay empty. Punches are not touched by it."
            / "[metrics] 的端口或套接字无法打开，图表将无数据。打卡不受影响。",
        mend: "See the cause; end what uses the port, or choose another. It is tried again by itself."
            / "详见原因；请停止占用端口的程序或更换端口。网关会自动重试。",
    }
    BackupTooOld = "backup-too-old", Medium, after 0 s, clears after 0 s, explained by [] {
        title: "Backup too old" / "备份已过期",
        text: "Were this disk to fail now, what was not delivered and not in the backup would be lost."
            / "若此磁盘现在损坏，尚未送达且不在备份中的内容将丢失。",
        mend: "Run the backup and look why it did not run; the cause names the file that it should touch."
            / "请执行备份并查明未执行的原因；原因中给出了备份应更新的文件。",
    }
    JournalDamaged = "journal-damaged", High, after 0 s, clears after 0 s, explained by [] {
        title: "Journal damaged" / "日志损坏",
        text: "Records on the disk do not match their checksums. They are kept, and set aside before anything takes their place; everything around them is in use."
            / "磁盘上的部分记录校验不符，均予保留，被替换之前先隔离保存；其余记录正常使用。",
        mend: "Run punchgate journal verify to see what is missing. It is over when the gateway was stopped, punchgate journal repair was run, which keeps every good record, and the gateway runs again; terminals with a log bring what is missing: punchgate reconcile."
            / "运行 punchgate journal verify 查看缺失内容。停止网关、运行 punchgate journal repair（保留所有完好的记录）并重新启动后即告结束；有记录功能的考勤机可重新读取缺失内容：punchgate reconcile。",
    }
    PunchesLost = "punches-lost", High, after 0 s, clears after 0 s, explained by [] {
        title: "Punches lost from the journal" / "日志中有打卡丢失",
        text: "Damage took punches from this gateway's disk. Their numbers stay missing; whoever has received them already has them."
            / "损坏导致网关磁盘上的打卡丢失，其编号将一直空缺；已接收过的一方不受影响。",
        mend: "Terminals with a log bring them again under new numbers: punchgate reconcile. If they are gone, look with punchgate journal verify and say so with punchgate journal acknowledge."
            / "有记录功能的考勤机会以新编号补传：punchgate reconcile。若确已丢失，请用 punchgate journal verify 查看，并用 punchgate journal acknowledge 确认知悉。",
    }
    IndexRebuilt = "index-rebuilt", Low, after 0 s, clears after 0 s, explained by [] {
        title: "Index rebuilt" / "索引已重建",
        text: "The index did not match the journal and was made anew from it. No punch is lost; some may be sent twice."
            / "索引与日志不一致，已根据日志重建。打卡不会丢失，个别打卡可能重复发送。",
        mend: "Nothing to do once, and it is over after a day; if it comes back, check the disk and the power supply."
            / "偶发无需处理，一天后自行结束；若反复出现，请检查磁盘和供电。",
    }
    StoreRestored = "store-restored", Medium, after 0 s, clears after 0 s, explained by [] {
        title: "Store copied or restored" / "数据目录被复制或恢复",
        text: "The state folder is not the one that was left: each terminal begins a new ledger, since numbers may have been used since the copy was made. Punches stored after it and not yet sent are only in the terminals' own logs."
            / "数据目录不是原来的那一个：由于副本之后的编号可能已被使用，每台考勤机都从新的账本开始。副本之后存储且尚未发送的打卡只存在于考勤机自身的记录中。",
        mend: "See that no other gateway runs on the original; terminals with a log bring what is missing: punchgate reconcile. It is told for a week, or until somebody says that it is known: punchgate journal acknowledge --all."
            / "请确认没有其他网关在使用原目录；有记录功能的考勤机可重新读取缺失内容：punchgate reconcile。此状况显示一周，或直到有人确认知悉：punchgate journal acknowledge --all。",
    }
    BrokerUnreachable = "broker-unreachable", Medium, after 10 s, clears after 5 s, explained by [NetworkDown] {
        title: "Broker unreachable" / "无法连接消息服务器",
        text: "Punches are safe on this gateway's disk and are sent when the broker is back."
            / "打卡已安全保存在网关磁盘上，服务器恢复后自动发送。",
        mend: "Check the network and the broker; the cause says how far we came." / "请检查网络和服务器；原因中说明了连接到哪一步。",
    }
    BrokerRefuses = "broker-refuses", Medium, after 0 s, clears after 5 s, explained by [] {
        title: "Broker refuses us" / "消息服务器拒绝连接",
        text: "Punches are safe on this gateway's disk, but the broker does not take them."
            / "打卡已安全保存在网关磁盘上，但服务器不接收。",
        mend: "Check certificate, password and the broker's access rules; the cause gives its answer."
            / "请检查证书、密码和服务器的访问规则；原因中有服务器的答复。",
    }
    PunchUnsendable = "punch-unsendable", High, after 0 s, clears after 0 s, explained by [] {
        title: "Punch cannot be sent" / "有打卡无法发送",
        text: "A punch is larger than the broker allows. It stays on this gateway's disk; the others are sent."
            / "某条打卡超过服务器允许的大小，保留在网关磁盘上；其余打卡正常发送。",
        mend: "Raise the broker's maximum packet size." / "请调大服务器的最大报文长度。",
    }
    TrustListEnds = "trust-list-ends", Low, after 60 s, clears after 0 s, explained by [] {
        title: "No trust list, or one that ends" / "没有操作人员名单，或名单即将到期",
        text: "Who may order something from afar stands in a list that the roots of this config sign. Without one nobody may; when it ends, only what reads or can be undone is taken. Punches are not concerned."
            / "谁可以远程下命令，写在由本配置中的根密钥签名的名单里。没有名单则谁也不能；到期后只接受只读和可恢复的命令。打卡不受影响。",
        mend: "Let the holders of the roots make, sign and send a newer list: punchgate remote trust, docs/remote-support.md."
            / "请根密钥持有人制作、签名并发送更新的名单：punchgate remote trust，见 docs/zh/remote-support.md。",
    }
    CertificateExpires = "certificate-expires", Low, after 0 s, clears after 0 s, explained by [CertificateExpiresSoon, CertificateEnds] {
        title: "Certificate about to end" / "证书即将到期",
        text: "When it has ended, the broker will not let this gateway in." / "证书到期后，服务器将拒绝本网关连接。",
        mend: "Put a new certificate in place; it is read at the next connection." / "请更换证书；下次连接时自动读取。",
    }
    CertificateExpiresSoon = "certificate-expires-soon", Medium, after 0 s, clears after 0 s, explained by [CertificateEnds] {
        title: "Certificate ends within a week" / "证书一周内到期",
        text: "When it has ended, the broker will not let this gateway in, or the gateway will not trust the broker."
            / "证书到期后，服务器将拒绝本网关，或网关不再信任服务器。",
        mend: "Put a new certificate in place this week; it is read at the next connection."
            / "请在本周内更换证书；下次连接时自动读取。",
    }
    CertificateEnds = "certificate-ends", High, after 0 s, clears after 0 s, explained by [] {
        title: "Certificate ends within a day, or has ended" / "证书一天内到期或已到期",
        text: "Without a valid certificate no punch leaves this gateway; they stay safe on its disk."
            / "没有有效证书，打卡无法离开网关；打卡安全保存在网关磁盘上。",
        mend: "Put a new certificate in place now; the cause says whose it is." / "请立即更换证书；原因中说明是哪一方的证书。",
    }
    ConfigRejected = "config-rejected", Medium, after 0 s, clears after 0 s, explained by [] {
        title: "New config not used" / "新配置未生效",
        text: "The config file was changed but has problems: the gateway goes on with the former one."
            / "配置文件已修改但存在问题：网关继续使用原配置。",
        mend: "Run punchgate check, mend what it says, and reload." / "运行 punchgate check，按提示修改后重新加载。",
    }
    ClockNotTrusted = "gateway-clock-not-trusted", Medium, after 0 s, clears after 5 s, explained by [] {
        title: "Gateway clock not to be believed" / "网关时钟不可信",
        text: "The gateway's clock is before the time of its own records: no terminal is set by it. Those that push keep their punches until it is right."
            / "网关时钟早于自身已有记录的时间：不会用它校准考勤机。推送型考勤机将保留打卡，直到网关时钟恢复正确。",
        mend: "Let the gateway reach a time server (timedatectl), or replace its clock battery. If its records lie in the future, a time server that keeps the clock ends it too; without one, set the clock right by hand while the gateway runs: ten minutes later it is believed."
            / "请让网关连接时间服务器（timedatectl），或更换时钟电池。若是已有记录处于未来时间，由时间服务器校时同样会解除；没有时间服务器时，请在网关运行期间手动校准时钟：十分钟后即被信任。",
    }
    ClockStepped = "gateway-clock-stepped", Medium, after 0 s, clears after 60 s, explained by [ClockNotTrusted] {
        title: "Gateway clock was moved" / "网关时钟被调动",
        text: "The gateway's clock was moved while it ran, and no time server keeps it: terminals are measured by it, so all of them may seem to be off by that step."
            / "网关运行期间其时钟被调动，且没有时间服务器校时：考勤机的偏差以它为准，因此所有考勤机看起来都可能偏差同样的时间。",
        mend: "Compare it with a clock that is right (timedatectl), and set it right or let it reach a time server. Set no terminal's clock before. Told for a day, or until it is put back or a time server keeps it."
            / "请与准确的时钟核对（timedatectl），校准它，或让它连接时间服务器；在此之前不要校准任何考勤机。显示一天，或到时钟被调回、由时间服务器校时为止。",
    }
    TerminalsCutOff = "terminals-cut-off", Medium, after 15 s, clears after 5 s, explained by [NetworkDown] {
        title: "Terminals cut off together" / "多台考勤机同时断开",
        text: "Most terminals of one part of the network went away together: a switch, a cable or a power strip, not the terminals. People can punch; their punches arrive later."
            / "同一网段的多数考勤机同时断开：多为交换机、网线或电源插排问题，而非考勤机本身。员工仍可打卡，打卡稍后补传。",
        mend: "Go to the switch or serial server that they share; the cause names them." / "请检查它们共用的交换机或串口服务器；原因中列出了这些考勤机。",
    }
    TerminalNotRun = "terminal-not-run", High, after 30 s, clears after 0 s, explained by [] {
        title: "Terminal configured but not served" / "考勤机已配置但未运行",
        text: "It stands in the config, and nothing in the gateway looks after it: its punches are not read."
            / "配置中有该考勤机，但网关中没有任务为其服务：其打卡不会被读取。",
        mend: "Restart the gateway and send the cause to support: it is a fault of the gateway."
            / "请重启网关，并将原因发给技术支持：这是网关的缺陷。",
    }
    TerminalNeverHeard = "terminal-never-heard", Medium, after 300 s, clears after 0 s, explained by [TerminalOffline, TerminalBusy, TerminalRefuses, TerminalGarbled, DriverFailed, TerminalNotRun] {
        title: "Terminal has not reported since the start" / "考勤机自启动后从未连接",
        text: "The gateway waits for it, and it has not come once since the start: its punches stay in its log."
            / "网关一直在等待，但自启动以来该考勤机从未连接：打卡保留在其记录中。",
        mend: "Look at the server address and port in the terminal's menu, and at its serial number in the config."
            / "请核对考勤机菜单中的服务器地址和端口，以及配置中的序列号。",
    }
    TerminalSilent = "terminal-silent", Medium, after 0 s, clears after 0 s, explained by [AllSilent, TerminalOffline, TerminalBusy, TerminalRefuses, TerminalGarbled, DriverFailed, TerminalNeverHeard, TerminalNotRun] {
        title: "Terminal unusually silent" / "考勤机异常安静",
        text: "It is connected, but nobody has punched in hours in which somebody did in most weeks before."
            / "考勤机已连接，但在往周多数有人打卡的时段内无人打卡。",
        mend: "Ask on site whether it can be used: screen, sensor, door. A holiday looks the same; punchgate why --silent shows the weeks."
            / "请现场确认其能否使用：屏幕、传感器、门。节假日也会如此；punchgate why --silent 可查看往周情况。",
    }
    AllSilent = "terminals-all-silent", Low, after 0 s, clears after 0 s, explained by [] {
        title: "Nobody punches anywhere" / "全部考勤机无人打卡",
        text: "All terminals that are usually busy in these hours are silent together: most likely a holiday."
            / "此时段通常有人打卡的考勤机全部无人打卡：很可能是节假日。",
        mend: "If it is no holiday, ask on site." / "若非节假日，请现场确认。",
    }
    TerminalFirmwareFlawed = "terminal-firmware-flawed", Low, after 0 s, clears after 0 s, explained by [] {
        title: "Terminal firmware with known flaws" / "考勤机固件存在已知漏洞",
        text: "Flaws of this firmware are published: who reaches the terminal over the network may take it over."
            / "该固件的漏洞已公开：能通过网络访问该考勤机的人可能将其控制。",
        mend: "Ask the vendor for newer firmware; until then keep it on a network of its own. The cause names the source."
            / "请向厂商索取新固件；在此之前将其置于独立网络。原因中给出了来源。",
    }
    TerminalOffline = "terminal-offline", Medium, after 20 s, clears after 5 s, explained by [TerminalsCutOff, NetworkDown, TerminalNotRun] {
        title: "Terminal offline" / "考勤机离线",
        text: "People can punch; their punches arrive when the terminal is back, as far as it keeps a log."
            / "员工仍可打卡；考勤机恢复后，其保存的打卡会补传。",
        mend: "Check its power, its cable and its address." / "请检查其电源、网线和地址。",
    }
    TerminalBusy = "terminal-busy", Medium, after 20 s, clears after 5 s, explained by [] {
        title: "Terminal busy with another client" / "考勤机被其他程序占用",
        text: "Most terminals serve one program at a time: punches arrive when it is free."
            / "多数考勤机一次只能服务一个程序：空闲后打卡会补传。",
        mend: "Close the other attendance software that is connected to it." / "请关闭连接该考勤机的其他考勤软件。",
    }
    TerminalRefuses = "terminal-refuses", Medium, after 0 s, clears after 5 s, explained by [] {
        title: "Terminal refuses us" / "考勤机拒绝连接",
        text: "It was reached but does not let us in: its punches stay in its log." / "已连接但不允许访问：打卡保留在其记录中。",
        mend: "Compare its communication key with comm_key_file; see the cause." / "请核对其通讯密码与 comm_key_file；详见原因。",
    }
    TerminalGarbled = "terminal-garbled", Medium, after 20 s, clears after 5 s, explained by [] {
        title: "Terminal does not speak its protocol" / "考勤机通讯异常",
        text: "Its answers make no sense: nothing of them is used, its punches stay in its log."
            / "其应答无法识别：不予采用，打卡保留在其记录中。",
        mend: "Check address, port and driver; a bad line or a wrong device answers like this."
            / "请检查地址、端口和驱动；线路不良或设备不对会出现此情况。",
    }
    DriverFailed = "driver-failed", High, after 0 s, clears after 5 s, explained by [] {
        title: "Driver failed" / "驱动程序故障",
        text: "The driver of this terminal stopped with a fault of its own and is started again."
            / "该考勤机的驱动程序发生内部故障，正在重新启动。",
        mend: "Send the cause to support: it is a fault of the gateway." / "请将原因发给技术支持：这是网关的缺陷。",
    }
    TerminalWrongSerial = "terminal-wrong-serial", High, after 0 s, clears after 0 s, explained by [] {
        title: "Another terminal at this address" / "此地址是另一台考勤机",
        text: "The serial number is not the configured one, or it told one before and tells none now: its punches are not taken."
            / "序列号与配置不符，或此前报告过序列号而现在不再报告：不接收其打卡。",
        mend: "Correct the address, or the serial in the config if the terminal was replaced. If it is the same one and tells none any more, write the serial that the cause names into its block."
            / "请更正地址；若已更换考勤机，请修改配置中的序列号。若仍是同一台而不再报告序列号，请将原因中的序列号写入其配置块。",
    }
    TerminalClockOff = "terminal-clock-off", Medium, after 0 s, clears after 5 s, explained by [TerminalClockUnset, ClockNotTrusted, ClockStepped] {
        title: "Terminal clock off" / "考勤机时钟不准",
        text: "Its punches carry wrong times; the measured difference travels with each of them."
            / "其打卡时间不准；每条打卡都附带测得的偏差。",
        mend: "Set its clock, or allow set_clock = true." / "请校准其时钟，或设置 set_clock = true。",
    }
    TerminalClockUnset = "terminal-clock-unset", High, after 0 s, clears after 0 s, explained by [] {
        title: "Terminal clock never set" / "考勤机时钟未设置",
        text: "Its date is that of a factory or an empty battery: its punches carry useless times."
            / "其日期为出厂值或电池耗尽：打卡时间无效。",
        mend: "Set its clock; replace its battery." / "请设置其时钟并更换电池。",
    }
    TerminalClockJumped = "terminal-clock-jumped", Medium, after 0 s, clears after 0 s, explained by [TerminalClockUnset, ClockStepped] {
        title: "Terminal clock jumped" / "考勤机时钟跳变",
        text: "Its clock moved by more than a minute between two looks, and nobody set it right: punches on both sides of the jump carry times that do not fit together."
            / "两次核对之间其时钟跳变超过一分钟，且并非校准：跳变前后的打卡时间互不一致。",
        mend: "Ask who set its clock, or replace its battery; it ends when the clock has been steady for ten minutes."
            / "请确认是谁修改了时钟，或更换电池；时钟稳定十分钟后自动解除。",
    }
    TerminalLogNearlyFull = "terminal-log-nearly-full", Medium, after 0 s, clears after 0 s, explained by [] {
        title: "Terminal log nearly full" / "考勤机记录即将存满",
        text: "When it is full, it stops recording or overwrites its oldest punches."
            / "存满后将停止记录或覆盖最早的打卡。",
        mend: "Make sure that everything is delivered, then clear its log at the terminal."
            / "确认全部打卡已送达后，在考勤机上清除记录。",
    }
    TerminalLogShrank = "terminal-log-shrank", Medium, after 0 s, clears after 0 s, explained by [TerminalLogCleared] {
        title: "Terminal log shrank" / "考勤机记录减少",
        text: "Some of the records that were read before are gone from it; what was read is safe here."
            / "此前读取过的部分记录已不在考勤机中；已读取的打卡在此安全保存。",
        mend: "Ask who deleted records at the terminal; it ends with the next comparison that finds its log grown."
            / "请确认是谁在考勤机上删除了记录；下次核对发现记录正常增长后自动解除。",
    }
    TerminalLogCleared = "terminal-log-cleared", Medium, after 0 s, clears after 0 s, explained by [] {
        title: "Terminal log cleared" / "考勤机记录被清空",
        text: "None of the records that were read before is in it: it was cleared, reset or replaced. What was read is safe here; what was not read before is lost."
            / "此前读取过的记录均已不在考勤机中：可能被清空、复位或更换。已读取的打卡在此安全保存；清空前未读取的打卡已丢失。",
        mend: "Ask who cleared it and when; compare with its last punch here: punchgate punches --terminal."
            / "请确认何人何时清空，并与此处最后一条打卡核对：punchgate punches --terminal。",
    }
    TerminalLogOverrun = "terminal-log-overrun", High, after 0 s, clears after 0 s, explained by [] {
        title: "Terminal log overran" / "考勤机记录被覆盖",
        text: "Its log is full and overwrote its oldest records before they were read: punches are lost."
            / "其记录已满，最旧的记录在读取前被覆盖：部分打卡已丢失。",
        mend: "Keep it connected more often than its log fills; clear its log when everything is delivered."
            / "请保证其连接间隔短于记录存满的时间；确认全部送达后清除其记录。",
    }
    TerminalLogUnreadable = "terminal-log-unreadable", High, after 0 s, clears after 0 s, explained by [] {
        title: "Terminal log cannot be read" / "无法读取考勤机记录",
        text: "It is connected but does not give its log, or only part of it: of the rest at most live punches arrive." / "已连接但不提供记录，或只提供一部分：其余最多只能收到实时打卡。",
        mend: "Look at its device type setting (time attendance, not access control); see the cause."
            / "请查看其设备类型设置（考勤而非门禁）；详见原因。",
    }
    TerminalRecordsSetAside = "terminal-records-set-aside", Low, after 0 s, clears after 0 s, explained by [] {
        title: "Records set aside" / "有记录被搁置",
        text: "Some of its records make no punch (no date, no person). They are kept raw with their reason."
            / "部分记录不能构成打卡（无日期或人员），已按原样保存并注明原因。",
        mend: "Look at them with punchgate journal export --set-aside." / "用 punchgate journal export --set-aside 查看。",
    }
    TerminalUnsafeKey = "terminal-unsafe-key", Low, after 0 s, clears after 0 s, explained by [] {
        title: "Terminal has no key" / "考勤机未设密码",
        text: "Anybody on its network can read and change it." / "同一网络中的任何人都可读取和修改它。",
        mend: "Set a key at the terminal and in its block: comm_key_file, key_file."
            / "请在考勤机上设置密钥，并在其配置中填写 comm_key_file 或 key_file。",
    }
    TerminalLineNoisy = "terminal-line-noisy", Low, after 0 s, clears after 60 s, explained by [] {
        title: "Bad line to the terminal" / "考勤机线路不良",
        text: "Checksums fail; what fails is not used, and is asked again where the terminal keeps it."
            / "校验失败的数据不予采用；若考勤机保留数据则重新读取。",
        mend: "Check cable, plugs and termination." / "请检查线缆、接头和终端电阻。",
    }
    TerminalNoLiveEvents = "terminal-no-live-events", Low, after 0 s, clears after 30 s, explained by [] {
        title: "No live punches from the terminal" / "考勤机不上报实时打卡",
        text: "Punches arrive late, with each comparison of its log." / "打卡会延迟，在每次核对记录时到达。",
        mend: "Close other software connected to it; shorten reconcile." / "请关闭连接它的其他软件；缩短 reconcile 间隔。",
    }
    TerminalUnknown = "terminal-unknown", Medium, after 0 s, clears after 0 s, explained by [] {
        title: "Unknown terminal asks to be served" / "未知考勤机请求接入",
        text: "Its serial number is not in the config: its punches stay in its log." / "其序列号不在配置中：打卡保留在其记录中。",
        mend: "If it is yours, add the block given in the cause and reload." / "若属于您，请添加原因中给出的配置并重新加载。",
    }
    TerminalEventsLost = "terminal-events-lost", High, after 0 s, clears after 0 s, explained by [] {
        title: "Terminal lost events" / "考勤机丢失事件",
        text: "Its memory was full, or its numbers jumped, before the gateway could read: those punches are gone for ever."
            / "网关读取之前，其内存已满或事件编号出现跳跃：这些打卡已永久丢失。",
        mend: "Find out why it was not read in time (the cause says when); ask the people of that time, and enter what is missing by hand."
            / "请查明未能及时读取的原因（原因中有时间）；向当时的员工核实，并手工补录缺失的打卡。",
    }
    TerminalAddressChanged = "terminal-address-changed", Medium, after 0 s, clears after 0 s, explained by [] {
        title: "Terminal speaks from another address" / "考勤机地址变化",
        text: "The same serial number comes from a new address: a moved terminal, or a false one."
            / "同一序列号来自新地址：可能已移动，也可能是冒充。",
        mend: "Find out which; then change its address in the config." / "请核实后修改配置中的地址。",
    }
    TerminalOtherReader = "terminal-other-reader", Medium, after 0 s, clears after 0 s, explained by [] {
        title: "Another program reads the terminal" / "有其他程序在读取考勤机",
        text: "Something else marks its punches as read. The whole log is read for that, so nothing is lost, but late."
            / "有其他程序将其打卡标记为已读。为此会读取全部记录，打卡不会丢失，但会延迟。",
        mend: "Close the vendor's software (CrossChex and the like) that is connected to it."
            / "请关闭连接该考勤机的厂商软件（如 CrossChex）。",
    }
    TerminalEpochSuspect = "terminal-epoch-suspect", High, after 0 s, clears after 0 s, explained by [] {
        title: "Dates of the terminal do not fit" / "考勤机日期不符",
        text: "A punch that just happened lies about a day from the terminal's own clock: it counts dates from another day."
            / "刚发生的打卡与考勤机自身时钟相差约一天：其日期起算日与设置不同。",
        mend: "Compare a punch with the terminal's display and correct epoch in its block."
            / "请将一条打卡与考勤机显示的时间核对，并修改其配置中的 epoch。",
    }
    TerminalTampered = "terminal-tampered", High, after 0 s, clears after 0 s, explained by [] {
        title: "Reader tampered with" / "读卡器被拆动",
        text: "The reader says that its housing is open or that it was taken off the wall: somebody may be at its wires."
            / "读卡器报告外壳被打开或已从墙上拆下：可能有人正在接触其线路。",
        mend: "Send somebody to look; it goes when the reader is closed." / "请派人查看；读卡器复位后此状态自动消除。",
    }
    TerminalPowerFailing = "terminal-power-failing", Medium, after 5 s, clears after 5 s, explained by [] {
        title: "Power of the reader fails" / "读卡器供电异常",
        text: "The reader says that its power supply fails; without power nobody can punch there."
            / "读卡器报告供电异常；断电后将无法在此打卡。",
        mend: "Check its power supply and battery." / "请检查其电源和电池。",
    }
    TerminalChannelUnsafe = "terminal-channel-unsafe", High, after 10 s, clears after 0 s, explained by [] {
        title: "No secure channel to the reader" / "无法与读卡器建立安全通道",
        text: "The reader answers, but does not prove that it has our key: nothing that it tells is taken for a punch."
            / "读卡器有应答，但无法证明持有我们的密钥：其上报的内容一概不作为打卡。",
        mend: "Compare its key with key_file; a new reader is given the key with pair_until. If it worked before, look at the wires."
            / "请核对其密钥与 key_file；新读卡器可用 pair_until 写入密钥。若此前正常，请检查线路。",
    }
}
