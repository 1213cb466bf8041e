//! Query strings and percent-encoding (RFC 3986, and `+` for a blank in queries as HTML forms write it).
//!
//! In: text that passed [`super::head::parse`]. Out: decoded pairs, borrowed where nothing was escaped.

use std::borrow::Cow;

use super::hex_value;
use crate::problem::{Code, Problem};

/// The `name=value` pairs of a query string, in order; empty pairs (`a=1&&b=2`) are skipped.
#[must_use]
pub const fn pairs(query: &str) -> Pairs<'_> {
    Pairs { rest: query }
}

/// Iterator over the decoded pairs of a query string. A name without `=` has the empty value.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(Cow<'a, str>, Cow<'a, str>), Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (pair, rest) = self.rest.split_once('&').unwrap_or((self.rest, ""));
            self.rest = rest;
            if !pair.is_empty() {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                return Some(decode_pair(name, value));
            }
        }
        None
    }
}

fn decode_pair<'a>(name: &'a str, value: &'a str) -> Result<(Cow<'a, str>, Cow<'a, str>), Problem> {
    let name = decode(name, true).ok_or_else(|| malformed("name of a query parameter", name))?;
    match decode(value, true) {
        Some(value) => Ok((name, value)),
        None => Err(malformed(&format!("query parameter {name}"), value)),
    }
}

fn malformed(what: &str, text: &str) -> Problem {
    let shown: String = text.chars().take(64).collect();
    Problem::new(Code::InvalidParameter, format!("{what} is not percent-encoded UTF-8: {shown}"))
}

/// Decodes one segment of a path; `+` stays a plus.
///
/// # Errors
/// `InvalidParameter` when an escape is malformed or the decoded bytes are not UTF-8.
pub fn percent_decode_path(segment: &str) -> Result<Cow<'_, str>, Problem> {
    decode(segment, false).ok_or_else(|| malformed("path segment", segment))
}

fn decode(text: &str, plus_is_blank: bool) -> Option<Cow<'_, str>> {
    let is_special = |byte: u8| byte == b'%' || (plus_is_blank && byte == b'+');
    let Some(first) = text.bytes().position(is_special) else { return Some(Cow::Borrowed(text)) };
    let mut decoded = Vec::with_capacity(text.len());
    decoded.extend_from_slice(&text.as_bytes()[..first]);
    let mut rest = &text.as_bytes()[first..];
    loop {
        rest = match *rest {
            [] => break,
            [b'%', high, low, ref rest @ ..] => {
                decoded.push(hex_value(high)? << 4 | hex_value(low)?);
                rest
            }
            [b'%', ..] => return None,
            [b'+', ref rest @ ..] if plus_is_blank => {
                decoded.push(b' ');
                rest
            }
            [byte, ref rest @ ..] => {
                decoded.push(byte);
                rest
            }
        };
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(query: &str) -> Vec<(String, String)> {
        pairs(query)
            .map(|pair| pair.map(|(name, value)| (name.into_owned(), value.into_owned())).unwrap())
            .collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn pairs_are_split_and_decoded() {
        assert_eq!(decoded(""), owned(&[]));
        assert_eq!(
            decoded("from=offset%3A12&&key=a+b%2B&flag&=x&a=b=c"),
            owned(&[("from", "offset:12"), ("key", "a b+"), ("flag", ""), ("", "x"), ("a", "b=c")])
        );
    }

    #[test]
    fn plain_pairs_are_borrowed() {
        let (name, value) = pairs("limit=10").next().unwrap().unwrap();
        assert!(matches!((name, value), (Cow::Borrowed("limit"), Cow::Borrowed("10"))));
    }

    #[test]
    fn malformed_escapes_are_invalid_parameters() {
        for query in ["a=%", "a=%4", "a=%g0", "%zz=1", "a=%ff", "a=%c0%af", "a=%ed%a0%80"] {
            let problem = pairs(query).next().unwrap().unwrap_err();
            assert_eq!(problem.code, Code::InvalidParameter, "{query}");
        }
        assert!(pairs("key=%ff").next().unwrap().unwrap_err().detail.contains("key"));
    }

    #[test]
    fn plus_is_a_plus_in_a_path() {
        assert_eq!(percent_decode_path("a+b%20%e2%82%ac").unwrap(), "a+b €");
        assert_eq!(percent_decode_path("%").unwrap_err().code, Code::InvalidParameter);
    }
}
