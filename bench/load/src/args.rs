//! Command-line options: `--name value`, each known by name, unknown ones refused.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use crate::reader::Kind;

const KNOWN: &[&str] = &[
    "--addr",
    "--connections",
    "--duration",
    "--warmup",
    "--size",
    "--path",
    "--body",
    "--file",
    "--pipeline",
    "--content-type",
    "--batch",
    "--form",
    "--rate",
    "--messages",
    "--passes",
    "--window",
    "--qos",
    "--kind",
    "--readers",
    "--publish",
    "--in-flight",
    "--topic",
    "--deadline",
];

/// Options as given; values are checked where they are asked for.
pub struct Args {
    given: HashMap<String, String>,
}

impl Args {
    /// Parses `--name value` and `--name=value`; `--json` is accepted and changes nothing (JSON is the output).
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut given = HashMap::new();
        while let Some(word) = words.next() {
            if word == "--json" {
                continue;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            if !KNOWN.contains(&name.as_str()) {
                return Err(format!("unknown option {name}"));
            }
            let value = value
                .or_else(|| words.next())
                .ok_or_else(|| format!("{name} needs a value"))?;
            given.insert(name, value);
        }
        Ok(Self { given })
    }

    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.given.get(name).map_or(default, String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    pub fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        match self.given.get(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| format!("{name}: {text} is not a number")),
        }
    }

    pub fn addr(&self) -> Result<SocketAddr, String> {
        let text = self.given.get("--addr").ok_or("--addr HOST:PORT is needed")?;
        let mut found = text
            .to_socket_addrs()
            .map_err(|e| format!("--addr {text}: {e}"))?;
        found.next().ok_or_else(|| format!("--addr {text}: no address"))
    }

    pub fn kind(&self, name: &str) -> Result<Kind, String> {
        let text = self.given.get(name).ok_or_else(|| format!("{name} is needed"))?;
        Kind::parse(text)
    }

    pub fn kind_or(&self, name: &str, default: Kind) -> Result<Kind, String> {
        if self.has(name) {
            self.kind(name)
        } else {
            Ok(default)
        }
    }
}
