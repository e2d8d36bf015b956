//! The readers that ship.

/// Name and file of each.
pub const READERS: &[(&str, &str)] = &[
    ("rdm6300", include_str!("../readers/rdm6300.toml")),
    ("id-12", include_str!("../readers/id-12.toml")),
    ("digits", include_str!("../readers/digits.toml")),
    ("hex-uid", include_str!("../readers/hex-uid.toml")),
    ("scanner", include_str!("../readers/scanner.toml")),
    ("reader-card-direction", include_str!("../readers/reader-card-direction.toml")),
    ("csv-collector", include_str!("../readers/csv-collector.toml")),
    ("polled-ascii", include_str!("../readers/polled-ascii.toml")),
    ("punch-sentence", include_str!("../readers/punch-sentence.toml")),
    ("wiegand-text", include_str!("../readers/wiegand-text.toml")),
    ("wiegand-hex", include_str!("../readers/wiegand-hex.toml")),
    ("ack-line", include_str!("../readers/ack-line.toml")),
];

/// The file of that name.
pub fn find(name: &str) -> Option<&'static str> {
    READERS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// All names, for messages.
pub fn names() -> String {
    READERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
