//! The config that lies there already: its answers are what is proposed, and whatever else it says stays as it is.

use std::{fs, io, path::Path};

use toml_edit::DocumentMut;

use super::{Stores, try_out};
use crate::config::{EXAMPLE, Rejected};

/// What lies where the config goes.
#[derive(Debug)]
pub enum Existing {
    Nothing,
    /// The example, as the package puts it there.
    Example,
    /// A config that works.
    Valid(Box<DocumentMut>),
    /// Something with problems: nobody is to guess what of it holds.
    Bad(Rejected),
}

/// Looks at it. An error: it may be there, and this user may not read it.
pub fn existing(path: &Path, stores: &Stores) -> io::Result<Existing> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Existing::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::from("\u{fffd}"),
        Err(error) => return Err(error),
    };
    if text == EXAMPLE || text.trim().is_empty() {
        return Ok(Existing::Example);
    }
    Ok(match try_out(&text, path, stores) {
        Err(rejected) => Existing::Bad(rejected),
        // Who reads TOML for the daemon reads it for us.
        Ok(_) => text.parse::<DocumentMut>().map_or(Existing::Nothing, |document| Existing::Valid(Box::new(document))),
    })
}
