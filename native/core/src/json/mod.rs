//! JSON as bytes: what publishers send, and strings for the answers.
//!
//! In: request bodies. Out: borrowed messages, or a [`crate::problem::Problem`] that points at the member at fault. No
//! tree of values is built. Source: RFC 8259, RFC 6901 (pointers).

mod write;

pub use write::write_string;
