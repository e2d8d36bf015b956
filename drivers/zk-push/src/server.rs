//! One request: who asks, whether it may, and the answer.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use driver_api::{Link, Way};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue, TRANSFER_ENCODING},
};
use jiff::{Timestamp, tz::TimeZone};
use tokio::sync::Semaphore;
use tracing::{Instrument, debug, info_span, warn};

use crate::{
    body::{Ended, Upload},
    commands::{self, Outcome},
    crowd::{Crowd, Place},
    handshake,
    lines::number,
    options,
    settings::{Dialect, Settings},
    strangers::Strangers,
    tap,
    target::{self, BadSerial, Endpoint, Query},
    terminal::Terminal,
    uploads::{KEPT, Receiving, Refused, SHORT},
    when,
    whereabouts::Admission,
    wire::Surplus,
};

/// What all connections share.
pub(crate) struct Server {
    pub settings: Settings,
    pub terminals: HashMap<String, Terminal>,
    pub strangers: Mutex<Strangers>,
    pub crowd: Arc<Crowd>,
    /// How much may be parsed and on its way to the disk at a time: see [`uploads::WORK`](crate::uploads::WORK).
    pub work: Semaphore,
    pub link: Link,
}

/// The request did not happen: no answer, and the connection goes.
#[derive(Debug)]
pub(crate) struct NoAnswer;

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request did not arrive whole")
    }
}

impl std::error::Error for NoAnswer {}

struct Reply {
    status: StatusCode,
    text: String,
}

impl Reply {
    fn ok(text: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, text: text.into() }
    }

    /// An error; its text never starts with `OK`, which some firmwares take for "delivered".
    fn no(status: StatusCode, why: &str) -> Self {
        Self { status, text: format!("ERR {why}\n") }
    }
}

impl Server {
    /// Answers one request of one connection.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        place: &Place,
        surplus: &Surplus,
    ) -> Result<Response<Full<Bytes>>, NoAnswer> {
        let (head, body) = request.into_parts();
        let mut upload = Upload::new(body, self.settings.body_limit, place);
        let query = Query(head.uri.query().unwrap_or(""));
        let traced = query.serial().ok().and_then(|serial| self.terminals.get(&*serial));
        let reply = match query.serial() {
            _ if surplus.two_ends() => Reply::no(StatusCode::BAD_REQUEST, "a length and chunks"),
            Err(bad) => {
                debug!(%peer, ?bad, "a request without a serial number that could be one");
                upload.refuse().await;
                let why = if bad == BadSerial::Missing { "no serial number" } else { "bad serial number" };
                Reply::no(StatusCode::BAD_REQUEST, why)
            }
            Ok(serial) => match self.terminals.get(&*serial) {
                None => self.refuse_stranger(&serial, head.uri.path(), peer, &mut upload).await,
                Some(terminal) => {
                    let span = info_span!("terminal", terminal = terminal.settings.name);
                    let measured =
                        [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| head.headers.contains_key(name));
                    let path = head.uri.path();
                    let asked = Asked { method: &head.method, path, measured, query, peer, place, surplus };
                    self.serve(terminal, asked, &mut upload).instrument(span).await?
                }
            },
        };
        if let Some(terminal) = traced {
            let handle = terminal.store.terminal();
            let asked = || tap::asked(&head.method, head.uri.path(), query, upload.total());
            handle.frame(Way::FromTerminal, upload.total(), asked);
            handle.frame(Way::ToTerminal, reply.text.len() as u64, || tap::answered(reply.status, &reply.text));
        }
        Ok(self.response(reply, surplus))
    }

    fn response(&self, reply: Reply, surplus: &Surplus) -> Response<Full<Bytes>> {
        let close = surplus.seen() || reply.status != StatusCode::OK;
        let mut response = Response::new(Full::new(Bytes::from(reply.text)));
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // Terminals set their clocks by this, so a clock that is not known to be right is not shown.
        if self.link.clock_trusted()
            && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()))
        {
            headers.insert(DATE, date);
        }
        response
    }

    async fn refuse_stranger(&self, serial: &str, path: &str, peer: IpAddr, upload: &mut Upload) -> Reply {
        let news = self.strangers.lock().expect("nobody panics while holding this").note(serial, peer, Instant::now());
        if let Some(stranger) = news {
            warn!(%peer, serial, times = stranger.times, "a terminal that is not in the config was refused");
            self.link.stranger(stranger);
        }
        upload.refuse().await;
        let registry = target::endpoint(path) == Some(Endpoint::Registry);
        Reply::no(if registry { StatusCode::NOT_ACCEPTABLE } else { StatusCode::FORBIDDEN }, "not accepted")
    }

    async fn serve(&self, terminal: &Terminal, asked: Asked<'_>, upload: &mut Upload) -> Result<Reply, NoAnswer> {
        let admission = terminal.admit(asked.peer, Instant::now());
        if admission == Admission::Refused {
            upload.refuse().await;
            return Ok(Reply::no(StatusCode::FORBIDDEN, "not accepted"));
        }
        let _requesting = terminal.request();
        let Some(endpoint) = target::endpoint(asked.path) else {
            upload.refuse().await;
            return Ok(Reply::no(StatusCode::NOT_FOUND, "no such address"));
        };
        if !self.link.clock_trusted() {
            terminal.inner().presence.heard(Instant::now());
            upload.refuse().await;
            return Ok(Reply::no(StatusCode::SERVICE_UNAVAILABLE, "our clock is not set"));
        }
        terminal.seen(Instant::now());
        // What else there is in HTTP no terminal says; taken for a GET it would be answered `OK`, and its body be lost.
        if !matches!(*asked.method, Method::GET | Method::POST) {
            upload.refuse().await;
            return Ok(Reply::no(StatusCode::METHOD_NOT_ALLOWED, "GET and POST alone"));
        }
        if asked.method == Method::GET && endpoint.carries_records() && !upload.is_empty() {
            upload.refuse().await;
            return Ok(Reply::no(StatusCode::BAD_REQUEST, "a GET with a body"));
        }
        if asked.method == Method::POST && endpoint.carries_records() && !asked.measured {
            // A body whose end nobody knows is not read, and must not be taken for an empty one that is acknowledged.
            return Ok(Reply::no(StatusCode::LENGTH_REQUIRED, "no length"));
        }
        let done = self.endpoint(terminal, endpoint, &asked, admission, upload).await;
        let reply = match done {
            Ok(reply) => {
                if asked.method == Method::POST && endpoint.carries_records() {
                    terminal.too_long(asked.query.table(), None);
                }
                reply
            }
            Err(Refused::Body(Ended::Cut)) => {
                debug!("a request ended before it was whole");
                return Err(NoAnswer);
            }
            Err(Refused::Body(Ended::TooLong)) => {
                let table = asked.query.get("table").unwrap_or_default();
                warn!(bytes = upload.total(), ?table, "a body over the limit was refused");
                let mib = self.settings.body_limit >> 20;
                let bytes = upload.total();
                let why =
                    format!("it sends {bytes} bytes or more at once, and body_limit_mib = {mib}: set that higher");
                terminal.report(driver_api::Report::FailedRead { why: why.clone() });
                terminal.too_long(asked.query.table(), Some(why));
                Reply::no(StatusCode::PAYLOAD_TOO_LARGE, "too long")
            }
            Err(Refused::NotKept) => {
                let table = asked.query.get("table").unwrap_or_default();
                warn!(bytes = upload.total(), ?table, "a body that nobody can read was too long to be kept");
                let (bytes, kib) = (upload.total(), KEPT >> 10);
                let why =
                    format!("it sends {bytes} bytes that nobody here can read, and no more than {kib} KiB are kept");
                terminal.report(driver_api::Report::FailedRead { why: why.clone() });
                terminal.too_long(asked.query.table(), Some(why));
                Reply::no(StatusCode::PAYLOAD_TOO_LARGE, "too long")
            }
            Err(Refused::Body(Ended::NoRoom)) => {
                upload.refuse().await;
                Reply::no(StatusCode::SERVICE_UNAVAILABLE, "busy")
            }
            Err(Refused::NotStored(error)) => {
                warn!(%error, "an upload was not stored");
                upload.refuse().await;
                Reply::no(StatusCode::SERVICE_UNAVAILABLE, "not stored")
            }
        };
        terminal.inner().presence.answered(Instant::now());
        terminal.save().await;
        asked.place.waited_for();
        Ok(reply)
    }

    async fn endpoint(
        &self,
        terminal: &Terminal,
        endpoint: Endpoint,
        asked: &Asked<'_>,
        admission: Admission,
        upload: &mut Upload,
    ) -> Result<Reply, Refused> {
        let (query, now) = (asked.query, Timestamp::now());
        let Asked { place, surplus, .. } = *asked;
        let receiving = Receiving { terminal, query, place, surplus, now, work: &self.work };
        let post = asked.method == Method::POST;
        let at_home = admission == Admission::Served;
        Ok(match endpoint {
            Endpoint::Cdata if post => {
                let _uploading = terminal.upload(asked.peer, Instant::now());
                let events = query.get("table").is_some_and(|table| table.eq_ignore_ascii_case("rtlog"));
                if events && at_home && !upload.is_empty() {
                    terminal.shows(Dialect::Security);
                }
                Reply::ok(receiving.cdata(upload).await?)
            }
            // Photos. Should somebody post punches there, they are punches.
            Endpoint::Fdata if query.get("table").is_none_or(|table| table.eq_ignore_ascii_case("attphoto")) => {
                Reply::ok(receiving.dropped("attphoto", upload).await?)
            }
            Endpoint::Fdata => Reply::ok(receiving.cdata(upload).await?),
            Endpoint::QueryData => Reply::ok(receiving.querydata(upload).await?),
            Endpoint::Cdata => Reply::ok(self.start(terminal, query, admission, now)),
            Endpoint::Registry => {
                let body = upload.first(SHORT).await?;
                if at_home {
                    terminal.shows(Dialect::Security);
                }
                terminal.about(&options::about(&body, terminal.encoding()));
                Reply::ok(format!("RegistryCode={}\n", handshake::registry_code(&terminal.settings.serial)))
            }
            Endpoint::Push => {
                upload.first(0).await?;
                if at_home {
                    terminal.shows(Dialect::Security);
                }
                Reply::ok(terminal.offer(&self.settings, now, |offer| handshake::security(offer, false)))
            }
            Endpoint::GetRequest => {
                upload.first(0).await?;
                if let Some(info) = query.get("INFO") {
                    terminal.about(&options::info(&info));
                }
                let commands = terminal.poll(at_home, now);
                Reply::ok(if commands.is_empty() { "OK".to_owned() } else { commands })
            }
            Endpoint::DeviceCmd => {
                let body = upload.first(SHORT).await?;
                if at_home {
                    results(terminal, &body, query, now);
                }
                Reply::ok("OK")
            }
            Endpoint::Ping => {
                upload.first(0).await?;
                Reply::ok("OK")
            }
            Endpoint::RtData => {
                upload.first(0).await?;
                let utc = when::to_vendor_seconds(TimeZone::UTC.to_datetime(now)).unwrap_or(0);
                let zone = when::iso_offset(terminal.zone().to_offset(now), "");
                Reply::ok(format!("DateTime={utc},ServerTZ={zone}\n"))
            }
            Endpoint::Exchange => {
                upload.first(0).await?;
                terminal.inner().cursor.exchange_tried = true;
                Reply::no(StatusCode::NOT_FOUND, "no exchange of keys")
            }
        })
    }

    /// `GET cdata`: a start, a question for the time, or one of the odd ones.
    fn start(&self, terminal: &Terminal, query: Query<'_>, admission: Admission, now: Timestamp) -> String {
        if query.get("type").is_some_and(|kind| kind.eq_ignore_ascii_case("time")) {
            let offset = terminal.zone().to_offset(now);
            let wall = terminal.wall(now).strftime("%Y-%m-%dT%H:%M:%S").to_string();
            return format!("Time={wall}{}\n", when::iso_offset(offset, ":"));
        }
        if query.get("options").is_none() && (query.get("table").is_some() || query.get("type").is_some()) {
            return "OK".to_owned();
        }
        terminal.handshake(query, admission, &self.settings, now)
    }
}

/// Results of commands; some documents show them in the query.
fn results(terminal: &Terminal, body: &[u8], query: Query<'_>, now: Timestamp) {
    let outcomes = commands::outcomes(body);
    if outcomes.is_empty() {
        let told = |key| query.get(key).and_then(|text| number(text.as_bytes()));
        if let (Some(id), Some(code)) = (told("ID"), told("Return")) {
            let id = u64::try_from(id).unwrap_or(0);
            terminal.outcome(&Outcome { id, code, sum: None, more: body }, now);
        }
    }
    for outcome in outcomes {
        terminal.outcome(&outcome, now);
    }
}

/// One request's head and its connection.
#[derive(Clone, Copy)]
struct Asked<'a> {
    method: &'a Method,
    path: &'a str,
    /// It says how long its body is.
    measured: bool,
    query: Query<'a>,
    peer: IpAddr,
    place: &'a Place,
    surplus: &'a Surplus,
}
