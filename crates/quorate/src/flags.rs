//! The flags of `quorate serve`: etcd's names, etcd's syntax, one table.
//!
//! Source: etcd's command line (ETCD.md section 16), which follows Go's `flag` package: one or two dashes,
//! `--flag=value` or `--flag value`; a boolean is `--flag` or `--flag=false`, never `--flag false`; the last
//! of several wins. Every flag has an environment variable, `ETCD_` and its name in capitals with `_` for `-`,
//! which a flag on the command line beats; an empty variable counts as unset.
//!
//! What is not done yet is told apart from what is harmless to leave out ([`Effect`]): manifests written for
//! etcd carry many flags that tune what is not there to be tuned, and those are accepted with a warning. A
//! flag that promises something (secrecy, a place, another cluster) is refused, because a node that starts
//! without keeping the promise is worse than one that does not start. A flag set to its default promises
//! nothing new and is always accepted.
//!
//! Errors: what cannot be parsed ends with exit code 2 and the usage, as in etcd; what is parsed and refused,
//! with exit code 1.

use std::collections::BTreeMap;

mod resolve;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use resolve::{LogTarget, Serve};
pub(crate) use table::help;
use table::{ALIASES, Effect, FLAGS, Flag, Kind};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The help text.
    Help,
    /// The version.
    Version,
    /// A node with these settings.
    Values(Values),
}

/// The flags that were set, and what an operator should hear about them.
#[derive(Debug, Default)]
pub(crate) struct Values {
    set: BTreeMap<&'static str, String>,
    /// One line each, to be logged once there is a log.
    pub(crate) warnings: Vec<String>,
}

/// Why a node does not start with these flags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlagError {
    /// No such flag.
    #[error("flag provided but not defined: --{0}")]
    Unknown(String),
    /// A flag without its value.
    #[error("flag needs an argument: --{0}")]
    NoValue(String),
    /// `---flag`, `--=value`.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// A word that is no flag.
    #[error("\"{0}\" is not a flag: values follow their flag, and booleans are written --flag=false")]
    Positional(String),
    /// A value of the wrong kind.
    #[error("invalid value \"{value}\" for {flag}: {why}")]
    Value {
        /// The flag or variable, as written.
        flag: String,
        /// What was given.
        value: String,
        /// What is taken.
        why: String,
    },
    /// A promise that cannot be kept.
    #[error("{flag} is not supported: {why}")]
    Unsupported {
        /// The flag or variable, as written.
        flag: String,
        /// Why, and what to do.
        why: String,
    },
    /// The configuration as a whole is refused.
    #[error(transparent)]
    Config(#[from] quorate_server::config::ConfigError),
}

impl FlagError {
    /// 2 for what cannot be parsed, 1 for what is refused.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            FlagError::Unsupported { .. } | FlagError::Config(_) => 1,
            _ => 2,
        }
    }
}

impl Values {
    /// The value of a flag: as set, or the default.
    pub(crate) fn get(&self, name: &'static str) -> &str {
        let default = || find(name).map_or("", |flag| flag.default);
        self.set.get(name).map_or_else(default, String::as_str)
    }

    /// Whether somebody set it.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.set.contains_key(name)
    }
}

/// Reads a command line (without the program's name) and the environment.
pub(crate) fn parse(
    line: &[String],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Parsed, FlagError> {
    let mut values = Values::default();
    let mut rest = line.iter();
    while let Some(word) = rest.next() {
        let (name, inline) = split(word)?;
        match name {
            "h" | "help" => return Ok(Parsed::Help),
            "version" => return Ok(Parsed::Version),
            _ => {}
        }
        let flag = canonical(name, &mut values.warnings).ok_or_else(|| FlagError::Unknown(name.into()))?;
        let value = match (inline, flag.kind) {
            (Some(value), _) => value.to_owned(),
            (None, Kind::Bool) => "true".into(),
            (None, _) => rest.next().ok_or_else(|| FlagError::NoValue(name.into()))?.clone(),
        };
        values.set_flag(flag, &format!("--{name}"), value)?;
    }
    values.read_environment(environment)?;
    values.judge()?;
    Ok(Parsed::Values(values))
}

/// A word into name and inline value.
fn split(word: &str) -> Result<(&str, Option<&str>), FlagError> {
    let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
    // As in Go, a lone dash is no flag. A lone `--` ends the flags, after which there is nothing to say.
    let body = body.filter(|body| !body.is_empty()).ok_or_else(|| FlagError::Positional(word.into()))?;
    if body.starts_with(['-', '=']) {
        return Err(FlagError::Syntax(word.into()));
    }
    Ok(match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    })
}

fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// The flag of this name, today's or an old one.
fn canonical(name: &str, warnings: &mut Vec<String>) -> Option<&'static Flag> {
    if let Some(flag) = find(name) {
        return Some(flag);
    }
    let today = ALIASES.iter().find(|old| name.strip_prefix("experimental-") == Some(**old))?;
    warnings.push(format!("--{name} is an old name: write --{today}"));
    find(today)
}

impl Values {
    fn set_flag(&mut self, flag: &'static Flag, written: &str, value: String) -> Result<(), FlagError> {
        flag.kind.check(&value).map_err(|why| FlagError::Value {
            flag: written.into(),
            value: value.clone(),
            why,
        })?;
        self.set.insert(flag.name, value);
        Ok(())
    }

    /// Takes what the command line left open from the environment.
    fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), FlagError> {
        let on_line = self.set.clone();
        let sorted: BTreeMap<String, String> = environment.into_iter().collect();
        for (variable, value) in sorted {
            let Some(name) = variable.strip_prefix("ETCD_") else { continue };
            if value.is_empty() {
                continue;
            }
            let name = name.to_ascii_lowercase().replace('_', "-");
            let mut warnings = Vec::new();
            match canonical(&name, &mut warnings) {
                None => {
                    self.warnings.push(format!("{variable} is set and means nothing here: it is ignored"))
                }
                Some(flag) if on_line.contains_key(flag.name) => {
                    self.warnings
                        .push(format!("{variable} is ignored: --{} on the command line wins", flag.name));
                }
                // The name of today wins over an old one.
                Some(flag) if self.set.contains_key(flag.name) && flag.name != name => {}
                Some(flag) => {
                    self.warnings.append(&mut warnings);
                    self.set_flag(flag, &variable, value)?;
                }
            }
        }
        Ok(())
    }

    /// Refuses what promises too much, and notes what does nothing.
    fn judge(&mut self) -> Result<(), FlagError> {
        for (name, value) in &self.set {
            let Some(flag) = find(name) else { continue };
            if flag.kind.same(value, flag.default) {
                continue;
            }
            match flag.effect {
                Effect::Honoured => {}
                Effect::None => {
                    self.warnings.push(format!("--{name}={value} is accepted and has no effect yet"));
                }
                Effect::Refused(why) => {
                    return Err(FlagError::Unsupported {
                        flag: format!("--{name}={value}"),
                        why: why.into(),
                    });
                }
            }
        }
        Ok(())
    }
}
