//! JSON as bytes: what publishers send, and strings for the answers.
//!
//! In: request bodies. Out: borrowed messages, or a [`crate::problem::Problem`] that points at the member at
//! fault. No tree of values is built; nested values that we keep are bounded in depth, those that we drop are
//! skipped without recursion. Source: RFC 8259, RFC 6901 (pointers), RFC 4648 (base64).

pub mod base64;
pub mod publish;
mod scan;
mod write;

pub use write::write_string;
