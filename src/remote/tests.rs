//! The task with a real store, a real log and acts that count.
