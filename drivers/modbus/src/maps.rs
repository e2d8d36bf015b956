//! The maps that ship, within the program. A file of the same name beside the config goes before them.

/// Name and text of each.
pub const SHIPPED: &[(&str, &str)] = &[
    ("duali-qde950", include_str!("../maps/duali-qde950.toml")),
    ("event-fifo", include_str!("../maps/event-fifo.toml")),
    ("inveo-rfid-ind", include_str!("../maps/inveo-rfid-ind.toml")),
    ("passage-counter", include_str!("../maps/passage-counter.toml")),
    ("rfideas", include_str!("../maps/rfideas.toml")),
];

/// The text of a map, with or without `.toml` in its name.
pub fn find(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".toml").unwrap_or(name);
    SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

pub(crate) fn names() -> String {
    SHIPPED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
