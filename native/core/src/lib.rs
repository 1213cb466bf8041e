//! The compiled half of a Sprawl node as pure state machines.
//!
//! In: bytes and integers (time is a parameter, so is randomness). Out: bytes and events. There is no Python, clock,
//! thread or I/O in this crate, and no `unsafe` outside `arena`. Read in this order: `ids`, `envelope`, `batch`
//! (the formats), `ring` and `log` (where messages lie), `disk` (how they
//! lie in files), `segment` (how they lie in the cloud), `slots`, `route`, `hashring`, `trie` (who holds what),
//! `http` and `json` (what clients send), `edge` (a connection: bytes in, answers out).
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod arena;
pub mod batch;
pub mod cursor;
pub mod disk;
pub mod edge;
pub mod envelope;
pub mod hashring;
pub mod http;
pub mod ids;
pub mod json;
pub mod limits;
pub mod log;
pub mod problem;
pub mod ring;
pub mod route;
pub mod segment;
pub mod slots;
pub mod trie;
