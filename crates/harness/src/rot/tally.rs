//! What became of each flip, and the table of all.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::ExitStatus;

use super::bits::Flip;

/// What an end must name.
const REMEDY: &str = "--replace-lost-disk";

/// What became of a member with a flipped bit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Whole again; it had nothing to say about it.
    Unharmed,
    /// Whole again, with a word about damage in its log.
    Repaired,
    /// It ended, naming the remedy.
    Refused,
    /// It ended without naming the remedy.
    Unhelpful(String),
    /// It panicked, or was ended by a signal.
    Crashed(String),
    /// It served what the history denies.
    Wrong(String),
    /// It was not whole again in time.
    Stuck(String),
}

impl Verdict {
    /// Whether that will do.
    pub fn good(&self) -> bool {
        matches!(self, Verdict::Unharmed | Verdict::Repaired | Verdict::Refused)
    }

    /// Whether the member is of one state with the others.
    pub(super) fn whole(&self) -> bool {
        matches!(self, Verdict::Unharmed | Verdict::Repaired)
    }

    fn name(&self) -> &'static str {
        match self {
            Verdict::Unharmed => "unharmed",
            Verdict::Repaired => "repaired",
            Verdict::Refused => "refused",
            Verdict::Unhelpful(_) => "UNHELPFUL",
            Verdict::Crashed(_) => "CRASHED",
            Verdict::Wrong(_) => "WRONG",
            Verdict::Stuck(_) => "STUCK",
        }
    }
}

/// All flips and what became of them.
#[derive(Clone, Debug, Default)]
pub struct Rot {
    /// Counts by kind of file and verdict.
    pub tally: BTreeMap<(String, &'static str), u64>,
    /// What will not do.
    pub bad: Vec<(Flip, Verdict)>,
    /// An example of each text that a member ended with.
    pub texts: BTreeMap<String, (u64, Flip)>,
    /// Flips so far.
    pub flips: u64,
    /// Members that did not become whole again with the bit flipped back.
    pub abandoned: u64,
}

impl Rot {
    pub(super) fn count(&mut self, flip: Flip, verdict: Verdict, text: Option<String>) {
        self.flips += 1;
        *self.tally.entry((kind(&flip.file), verdict.name())).or_default() += 1;
        if let Some(text) = text {
            self.texts.entry(text).or_insert((0, flip.clone())).0 += 1;
        }
        if !verdict.good() {
            self.bad.push((flip, verdict));
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: Rot) {
        for (key, count) in other.tally {
            *self.tally.entry(key).or_default() += count;
        }
        for (text, (count, flip)) in other.texts {
            self.texts.entry(text).or_insert((0, flip)).0 += count;
        }
        self.bad.extend(other.bad);
        self.flips += other.flips;
        self.abandoned += other.abandoned;
    }
}

impl fmt::Display for Rot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} flips; {} times the member was not whole with the bit flipped back",
            self.flips, self.abandoned
        )?;
        for ((file, verdict), count) in &self.tally {
            writeln!(f, "  {file:<24}{verdict:<12}{count:>6}")?;
        }
        for (text, (count, flip)) in &self.texts {
            writeln!(f, "  {count} times, e.g. {flip}:\n    {text}")?;
        }
        let mut alike: BTreeMap<String, Vec<&(Flip, Verdict)>> = BTreeMap::new();
        for bad in &self.bad {
            alike.entry(plain(&format!("{:?}", bad.1))).or_default().push(bad);
        }
        for bad in alike.values() {
            let (flip, verdict) = bad[0];
            writeln!(f, "BAD, {} times, e.g. {flip}:\n    {verdict:?}", bad.len())?;
        }
        Ok(())
    }
}

/// Files of a kind share a row.
fn kind(file: &Path) -> String {
    let text = file.display().to_string();
    let digits = text.replace(|c: char| c.is_ascii_digit(), "");
    match text.contains("wal-") {
        true => "wal segments".into(),
        false => digits,
    }
}

/// A member that has ended.
pub(super) fn ended(status: ExitStatus, everything: &str) -> Verdict {
    if status.code().is_none() || everything.contains("panicked at") {
        return Verdict::Crashed(format!("{status}: {}", tail(everything)));
    }
    match everything.contains(REMEDY) {
        true => Verdict::Refused,
        false => Verdict::Unhelpful(format!("{status}: {}", tail(everything))),
    }
}

pub(super) fn spoke_of_damage(said: &str) -> bool {
    said.lines().any(|line| line.contains("damage") || line.contains("checksum") || line.contains("repair"))
}

pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}

/// A line without its time, places and numbers.
pub(super) fn plain(line: &str) -> String {
    let words = line
        .split_whitespace()
        .map(|word| if word.contains(|c: char| c.is_ascii_digit()) { "…" } else { word });
    let mut words: Vec<&str> = words.collect();
    words.dedup();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn an_end_must_name_the_remedy() {
        let code = |code: i32| ExitStatus::from_raw(code << 8);
        assert_eq!(ended(code(1), "damaged: start again with --replace-lost-disk"), Verdict::Refused);
        assert!(matches!(ended(code(1), "damaged"), Verdict::Unhelpful(_)));
        let panicked = "thread 'x' panicked at y: use --replace-lost-disk";
        assert!(matches!(ended(code(101), panicked), Verdict::Crashed(_)));
        assert!(matches!(ended(ExitStatus::from_raw(11), "--replace-lost-disk"), Verdict::Crashed(_)));
    }

    #[test]
    fn texts_are_alike_without_their_numbers() {
        assert_eq!(
            plain("2026Z wal-1.log is damaged at byte 7 (frame 9): bad"),
            "… is damaged at byte … (frame …): bad".replace("(frame …):", "(frame …")
        );
    }
}
