//! Why there is no connection, sorted by what a person would do about it.

use std::{error::Error, fmt, io};

use rustls::{AlertDescription, CertificateError};

/// What is wrong. Its code never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The name has no address.
    NoSuchHost,
    /// Nobody listens there.
    ConnectionRefused,
    /// No way to that address.
    NoRoute,
    /// No answer in time.
    Silent,
    /// What was published was not acknowledged in time.
    NotAcknowledging,
    /// The broker or something on the way ended the connection.
    Closed,
    /// Another client came with our client id.
    TakenOver,
    /// The broker says that it cannot serve now.
    Busy,
    /// What came makes no sense.
    Garbled,
    /// Our own files (CA, certificate, key) cannot be used.
    Files,
    /// Its certificate comes from a CA that we do not trust.
    UnknownCa,
    /// Its certificate has ended or has not begun.
    Expired,
    /// Its certificate is for another name.
    WrongName,
    /// The broker did not like our certificate, or wants one.
    OurCertificate,
    /// Some other disagreement in TLS.
    Tls,
    BadPassword,
    NotAuthorised,
    /// It does not speak this version of MQTT, or lacks what we need of it.
    Version,
    /// It refused us for another reason.
    Refused,
}

impl FailureKind {
    pub fn code(self) -> &'static str {
        match self {
            Self::NoSuchHost => "no-such-host",
            Self::ConnectionRefused => "connection-refused",
            Self::NoRoute => "no-route",
            Self::Silent => "silent",
            Self::NotAcknowledging => "not-acknowledging",
            Self::Closed => "closed",
            Self::TakenOver => "taken-over",
            Self::Busy => "busy",
            Self::Garbled => "garbled",
            Self::Files => "files",
            Self::UnknownCa => "unknown-ca",
            Self::Expired => "expired",
            Self::WrongName => "wrong-name",
            Self::OurCertificate => "our-certificate",
            Self::Tls => "tls",
            Self::BadPassword => "bad-password",
            Self::NotAuthorised => "not-authorised",
            Self::Version => "version",
            Self::Refused => "refused",
        }
    }

    /// Whether a person must act: `broker-refuses`. Otherwise it may pass by itself: `broker-unreachable`.
    pub fn refuses(self) -> bool {
        match self {
            Self::NoSuchHost | Self::ConnectionRefused | Self::NoRoute | Self::Silent => false,
            Self::NotAcknowledging | Self::Closed | Self::Busy | Self::Garbled => false,
            Self::Files | Self::UnknownCa | Self::Expired | Self::WrongName | Self::OurCertificate | Self::Tls => true,
            Self::BadPassword | Self::NotAuthorised | Self::Version | Self::TakenOver | Self::Refused => true,
        }
    }

    /// What to do about it.
    pub fn mend(self) -> &'static str {
        match self {
            Self::NoSuchHost => "check the host in mqtt.url and this machine's name server",
            Self::ConnectionRefused => "check that the broker runs, and the port in mqtt.url",
            Self::NoRoute => "check cable, address, gateway and firewall of this machine",
            Self::Silent => "check the firewall on the way, and whether the broker hangs",
            Self::NotAcknowledging => "look at the broker: it accepts connections but does not acknowledge",
            Self::Closed => {
                "look at the broker's log: it may limit packet sizes, allow one connection per client id, or restart"
            }
            Self::TakenOver => "find the other gateway with the same gateway.id and tenant, and give it its own",
            Self::Busy => "look at the broker's load and limits",
            Self::Garbled => "check that an MQTT broker listens there, with TLS exactly where mqtt.url says so",
            Self::Files => "check mqtt.ca_file, mqtt.cert_file and mqtt.key_file, and who may read them",
            Self::UnknownCa => "put the CA that signed the broker's certificate into mqtt.ca_file",
            Self::Expired => "renew the broker's certificate, and check this machine's clock",
            Self::WrongName => "write in mqtt.url a name that stands in the broker's certificate",
            Self::OurCertificate => {
                "check mqtt.cert_file and mqtt.key_file: the broker must trust their CA, and they must not have ended"
            }
            Self::Tls => "check that the broker speaks TLS 1.2 or 1.3 on this port",
            Self::BadPassword => "check mqtt.username and mqtt.password_file",
            // Some brokers say this of a wrong password, so that nobody can guess.
            Self::NotAuthorised => {
                "check mqtt.username and mqtt.password_file, and the broker's access rules for this client id"
            }
            Self::Version => "set mqtt.version to what the broker speaks; it must allow QoS 1",
            Self::Refused => "look at the broker's log",
        }
    }

    /// The same in Chinese.
    pub fn mend_zh(self) -> &'static str {
        match self {
            Self::NoSuchHost => "请检查 mqtt.url 中的主机名及本机的域名服务器",
            Self::ConnectionRefused => "请确认消息服务器正在运行，并检查 mqtt.url 中的端口",
            Self::NoRoute => "请检查本机的网线、地址、网关和防火墙",
            Self::Silent => "请检查沿途防火墙，以及服务器是否已停止响应",
            Self::NotAcknowledging => "请检查服务器：它接受连接但不确认消息",
            Self::Closed => "请查看服务器日志：可能限制了报文大小、每个客户端只许一个连接，或正在重启",
            Self::TakenOver => "请找出使用相同 gateway.id 和 tenant 的另一台网关，并为其另取编号",
            Self::Busy => "请检查服务器的负载和限制",
            Self::Garbled => "请确认该端口上是 MQTT 服务器，且 TLS 与 mqtt.url 的写法一致",
            Self::Files => "请检查 mqtt.ca_file、mqtt.cert_file、mqtt.key_file 及其读取权限",
            Self::UnknownCa => "请把签发服务器证书的 CA 放入 mqtt.ca_file",
            Self::Expired => "请更换服务器证书，并检查本机时钟",
            Self::WrongName => "请在 mqtt.url 中写服务器证书里的名称",
            Self::OurCertificate => "请检查 mqtt.cert_file 和 mqtt.key_file：服务器须信任其 CA，且证书未过期",
            Self::Tls => "请确认服务器在此端口上使用 TLS 1.2 或 1.3",
            Self::BadPassword => "请检查 mqtt.username 和 mqtt.password_file",
            Self::NotAuthorised => "请检查 mqtt.username、mqtt.password_file 以及服务器对该客户端的访问规则",
            Self::Version => "请把 mqtt.version 设为服务器支持的版本；服务器须支持 QoS 1",
            Self::Refused => "请查看服务器日志",
        }
    }
}

/// Why a connection did not come about, or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// What happened, for people.
    pub words: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Error for Failure {}

impl Failure {
    pub fn new(kind: FailureKind, words: impl Into<String>) -> Self {
        Self { kind, words: words.into() }
    }

    pub(super) fn closed() -> Self {
        Self::new(FailureKind::Closed, "the broker closed the connection")
    }

    /// Sorts an error of the socket or of what runs over it.
    pub(super) fn of_io(error: &io::Error) -> Self {
        if let Some(tls) = tls_inside(error) {
            return Self::of_tls(tls);
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                Self::new(FailureKind::ConnectionRefused, "nobody listens at the broker's address")
            }
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                Self::new(FailureKind::NoRoute, "there is no way to the broker's address")
            }
            io::ErrorKind::TimedOut => Self::new(FailureKind::Silent, "the broker's address does not answer"),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::closed(),
            _ => Self::new(FailureKind::Closed, format!("the connection failed: {error}")),
        }
    }

    pub(super) fn of_tls(error: &rustls::Error) -> Self {
        let kind = match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => FailureKind::UnknownCa,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => FailureKind::Expired,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    FailureKind::WrongName
                }
                _ => FailureKind::Tls,
            },
            rustls::Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::AccessDenied,
            ) => FailureKind::OurCertificate,
            rustls::Error::InvalidMessage(_) => FailureKind::Garbled,
            _ => FailureKind::Tls,
        };
        let words = match kind {
            FailureKind::UnknownCa => "the broker's certificate comes from a CA that is not in ca_file".into(),
            FailureKind::Expired => format!("the broker's certificate is not valid now: {error}"),
            FailureKind::WrongName => format!("the broker's certificate is for another name: {error}"),
            FailureKind::OurCertificate => format!("the broker does not accept our certificate: {error}"),
            FailureKind::Garbled => "what answers there does not speak TLS".into(),
            _ => format!("TLS failed: {error}"),
        };
        Self::new(kind, words)
    }
}

/// The TLS error that an I/O error carries, however deep.
fn tls_inside(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<rustls::Error>() {
        Some(tls) => Some(tls),
        None => tls_inside(inner.downcast_ref::<io::Error>()?),
    }
}
