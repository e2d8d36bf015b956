//! Simulated push terminals.
