//! ZKTeco terminals that speak the standalone protocol, TCP or UDP port 4370.
pub mod command;
pub mod commkey;
pub mod event;
pub mod form;
pub mod frame;
pub mod record;
pub mod sizes;
pub mod time;
pub mod user;
