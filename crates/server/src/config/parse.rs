//! The three little languages inside flag values: clusters, durations, retentions.
//!
//! Source: etcd's flag descriptions, and for durations Go's `time.ParseDuration`: a sequence of decimal
//! numbers each with a unit, such as `1h30m`, `1.5s`, `100ms`.

use std::time::Duration;

use super::{AutoCompaction, ConfigError, Url};

/// Parses `name=url,name=url,...`. A name may repeat to give a member more URLs; members keep the order of
/// their first mention.
pub fn parse_cluster(text: &str) -> Result<Vec<(String, Vec<Url>)>, ConfigError> {
    let mut members: Vec<(String, Vec<Url>)> = Vec::new();
    for item in text.split(',').map(str::trim) {
        let refuse = |why: String| ConfigError::ClusterItem { item: item.into(), why };
        let (name, url) = item.split_once('=').ok_or_else(|| refuse("there is no = in it".into()))?;
        if name.is_empty() {
            return Err(refuse("the name is missing".into()));
        }
        let url: Url = url.parse().map_err(|error: super::UrlError| refuse(error.to_string()))?;
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, urls)) => urls.push(url),
            None => members.push((name.to_owned(), vec![url])),
        }
    }
    Ok(members)
}

/// Parses a duration as Go writes it, or `None`. Negative durations are none: no flag takes one.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let (nanos, after) = unit(after)?;
        total = total.checked_add(scaled(number, nanos)?)?;
        rest = after;
    }
    Some(total)
}

/// The unit at the front, in nanoseconds, and what follows it.
fn unit(text: &str) -> Option<(u64, &str)> {
    const UNITS: [(&str, u64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("\u{b5}s", 1_000),
        ("\u{3bc}s", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    UNITS.iter().find_map(|(name, nanos)| text.strip_prefix(name).map(|after| (*nanos, after)))
}

/// `number` (digits with at most one point) times `nanos`, exactly, cut off below a nanosecond.
fn scaled(number: &str, nanos: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Fifteen decimals of an hour are well below a nanosecond.
    let fraction = &fraction[..fraction.len().min(15)];
    let mut part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    part = part * u128::from(nanos) / 10u128.pow(fraction.len() as u32);
    let total = u128::from(whole).checked_mul(u128::from(nanos))?.checked_add(part)?;
    u64::try_from(total).ok().map(Duration::from_nanos)
}

/// Reads `--auto-compaction-mode` and `--auto-compaction-retention` together. A bare number is hours in
/// periodic mode and revisions in revision mode; 0 turns compaction off in both.
pub fn parse_compaction(mode: &str, retention: &str) -> Result<AutoCompaction, ConfigError> {
    let refuse = || ConfigError::Retention { mode: mode.into(), text: retention.into() };
    match mode {
        "periodic" => {
            let age = match retention.parse::<u64>() {
                Ok(hours) => Duration::from_secs(hours.checked_mul(3600).ok_or_else(refuse)?),
                Err(_) => parse_duration(retention).ok_or_else(refuse)?,
            };
            Ok(if age.is_zero() { AutoCompaction::Off } else { AutoCompaction::Periodic(age) })
        }
        "revision" => match retention.parse::<i64>() {
            Ok(0) => Ok(AutoCompaction::Off),
            Ok(kept) if kept > 0 => Ok(AutoCompaction::Revision(kept)),
            _ => Err(refuse()),
        },
        _ => Err(ConfigError::CompactionMode(mode.into())),
    }
}
