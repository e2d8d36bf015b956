//! For tests inside this driver: one terminal behind a fake gateway, without a socket.

use std::sync::Arc;

use driver_api::{Link, Problems, Section, TerminalBlock, fake::FakeGateway};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    cursor::Cursor,
    settings::{self, Settings},
    terminal::Terminal,
};

/// 2026-11-18 11:06:40
pub(crate) const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

/// The settings of a listener of which nothing is told.
pub(crate) fn listener() -> Settings {
    settings::settings(section(""), &mut Problems::default())
}

/// The terminal `t` in UTC, serial number `K`, of which this is remembered.
pub(crate) async fn terminal(cursor: Cursor) -> (Terminal, FakeGateway) {
    let gateway = FakeGateway::default();
    let (link, _parts) = Link::new(Arc::new(gateway.clone()), &["t".into()]);
    let block = TerminalBlock { name: "t".into(), zone: TimeZone::UTC, section: section("serial = \"K\"") };
    let own = settings::terminals(vec![block], &mut Problems::default()).pop().unwrap();
    let store = link.terminal("t").unwrap().store("K");
    store.save_cursor(cursor.bytes()).await.unwrap();
    (Terminal::load(own, store, &listener()).await, gateway)
}

fn section(text: &str) -> Section {
    Section::new("", text.parse().unwrap(), std::path::Path::new("."))
}
