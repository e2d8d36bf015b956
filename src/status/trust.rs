//! Whether a fleet's list of operators is there, and for how long.

use crate::command::Policy;

/// Whether a list of operators is wanted, and missing or near its end.
pub(super) fn trust_list_ends(policy: &Policy, now: i64) -> Option<String> {
    const SOON: i64 = 14;
    policy.trust.as_ref()?;
    match policy.expires.map(|end| (end - now) / 86_400) {
        None => Some("the config names roots, and no list of theirs was taken".into()),
        Some(days) if policy.expires.is_some_and(|end| end <= now) => Some(format!("it ended {} days ago", -days)),
        Some(days) if days <= SOON => Some(format!("{days} days left")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{PrivateKey, Roots};

    #[test]
    fn a_trust_list_is_missed_before_nobody_may_do_anything() {
        let roots = Roots { keys: vec![PrivateKey::generate().public()], threshold: 1 };
        let day = 86_400;
        let told =
            |trust: Option<Roots>, expires| trust_list_ends(&Policy { trust, expires, ..Policy::default() }, 100 * day);
        assert_eq!(told(None, None), None, "blocks need no list");
        assert!(told(Some(roots.clone()), None).is_some());
        assert_eq!(told(Some(roots.clone()), Some(115 * day)), None);
        assert_eq!(told(Some(roots.clone()), Some(103 * day)).as_deref(), Some("3 days left"));
        assert_eq!(told(Some(roots), Some(95 * day)).as_deref(), Some("it ended 5 days ago"));
    }
}
