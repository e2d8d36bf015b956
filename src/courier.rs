//! The courier: spool -> broker. (Being built.)

/// How punches travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierSettings {
    pub tenant: String,
    pub gateway: String,
    /// Segments on their way at once.
    pub window: usize,
}
