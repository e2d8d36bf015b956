//! Fuzz targets for every decoder.

pub mod targets;
