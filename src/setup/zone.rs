//! The zone of this machine.

use std::{fs, path::Path};

/// As /etc/localtime or /etc/timezone names it.
pub fn own_zone() -> Option<String> {
    zone_below(Path::new("/etc"))
}

fn zone_below(etc: &Path) -> Option<String> {
    let link = fs::read_link(etc.join("localtime")).ok();
    let linked = link.and_then(|to| Some(to.to_str()?.rsplit_once("zoneinfo/")?.1.to_owned()));
    let named = || fs::read_to_string(etc.join("timezone")).ok().map(|text| text.trim().to_owned());
    linked.or_else(named).filter(|zone| !zone.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_read_where_the_machine_keeps_it() {
        let etc = tempfile::tempdir().unwrap();
        assert_eq!(zone_below(etc.path()), None);
        fs::write(etc.path().join("timezone"), "Asia/Urumqi\n").unwrap();
        assert_eq!(zone_below(etc.path()).as_deref(), Some("Asia/Urumqi"));
        std::os::unix::fs::symlink("../usr/share/zoneinfo/Asia/Shanghai", etc.path().join("localtime")).unwrap();
        assert_eq!(zone_below(etc.path()).as_deref(), Some("Asia/Shanghai"));
    }
}
