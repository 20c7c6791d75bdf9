//! The classes of faults that a run can have, by name, as `--faults` takes them.
//!
//! A class that is allowed is as the seed draws it: on or off, mild or fierce. One that is not allowed is off.

use std::collections::BTreeSet;
use std::fmt;

use crate::faults::Choice;
use crate::swarm::Swarm;

/// What a class of faults befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Messages and links.
    Network,
    /// Nodes going down or standing still.
    Process,
    /// What a node finds again on its disk, and how long its disk takes.
    Disk,
    /// Clocks.
    Time,
    /// What somebody does to a cluster on purpose.
    Operator,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 5] = [Group::Network, Group::Process, Group::Disk, Group::Time, Group::Operator];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Group::Network => "network",
            Group::Process => "process",
            Group::Disk => "disk",
            Group::Time => "time",
            Group::Operator => "operator",
        }
    }
}

/// A class of faults.
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// What it befalls.
    pub group: Group,
    /// What happens then.
    pub means: &'static str,
    /// The nemesis' choice that it is, if it is one.
    choice: Option<Choice>,
    /// Turns it off.
    off: fn(&mut Swarm),
    /// Whether a run has it.
    on: fn(&Swarm) -> bool,
}

impl Class {
    /// Whether it is a choice of the nemesis, and this number is its weight.
    #[cfg(test)]
    pub fn is_choice(&self, knob: &str) -> bool {
        self.choice.is_some() && knob.strip_prefix("faults.") == Some(self.name)
    }
}

macro_rules! class {
    ($group:ident $name:literal $means:literal: choice $choice:ident) => {
        Class {
            name: $name,
            group: Group::$group,
            means: $means,
            choice: Some(Choice::$choice),
            off: |swarm| swarm.faults.weights.set(Choice::$choice, 0),
            on: |swarm| swarm.faults.weights.of(Choice::$choice) > 0,
        }
    };
    ($group:ident $name:literal $means:literal: $($field:tt).+ = $off:literal) => {
        Class {
            name: $name,
            group: Group::$group,
            means: $means,
            choice: None,
            off: |swarm| swarm.$($field).+ = $off,
            on: |swarm| swarm.$($field).+ != $off,
        }
    };
}

/// All of them.
#[rustfmt::skip]
pub static CLASSES: &[Class] = &[
    class!(Network "loss" "messages are lost": faults.loss = 0),
    class!(Network "duplicates" "messages arrive twice": faults.duplicates = 0),
    class!(Network "corrupt" "messages are damaged on their way": faults.corrupt = 0),
    class!(Network "slow" "some messages take far longer than others": pace.tail_percent = 0),
    class!(Network "reorder" "messages overtake each other": pace.fifo = true),
    class!(Network "partition" "the nodes fall into two groups": choice Partition),
    class!(Network "isolate" "the leader is cut off": choice Isolate),
    class!(Network "oneway" "links fail in one direction": choice OneWay),
    class!(Network "reset" "connections are lost": choice Reset),
    class!(Network "flap" "links come and go": choice Flap),
    class!(Network "slow-link" "a link is slow for a while": choice SlowLink),
    class!(Network "answers" "answers to clients are lost": faults.lost_answers = 0),
    class!(Process "crash" "a node goes down": choice Crash),
    class!(Process "blackout" "all nodes lose power, and what was not synced": choice Blackout),
    class!(Process "pause" "a node stands still": choice Pause),
    class!(Process "slow-node" "a node runs by fits and starts": choice SlowNode),
    class!(Process "crash-loop" "a node crashes each time soon after its start": choice CrashLoop),
    class!(Process "strike" "new leaders crash, are cut off or stand still": faults.strike_leaders = 0),
    class!(Process "usurp" "a leader is cut off while a voter that it counts on restarts": choice Usurp),
    class!(Process "crash-after-sync" "nodes go down after a send that waited for the disk": faults.crash_after_sync = 0),
    class!(Process "crash-after-promise" "nodes go down after they made a promise": faults.crash_after_promise = 0),
    class!(Process "crash-after-question" "nodes go down soon after they asked where to read": faults.crash_after_question = 0),
    class!(Process "crash-in-install" "nodes go down while they install an image": faults.crash_in_install = 0),
    class!(Process "crash-in-recovery" "nodes go down while they recover": faults.crash_in_recovery = 0),
    class!(Process "mixed" "the nodes' limits differ, as between versions": mixed = false),
    class!(Process "stranger" "a node says something that only a later version knows": choice Stranger),
    class!(Disk "power" "a node that goes down may lose or tear what was not synced": faults.power_percent = 0),
    class!(Disk "write-error" "a write fails": choice WriteError),
    class!(Disk "fsync-error" "an fsync fails": choice FsyncError),
    class!(Disk "read-error" "a node cannot read its disk when it starts": choice ReadError),
    class!(Disk "disk-full" "a disk is full for a while": choice DiskFull),
    class!(Disk "slow-disk" "a disk is slow for a while": choice SlowDisk),
    class!(Disk "lost-write" "a disk loses a write that it acknowledged": choice LostWrite),
    class!(Disk "misdirected" "a disk puts a write in the wrong place": choice Misdirected),
    class!(Disk "bit-flip" "a bit of what a disk keeps is flipped": choice BitFlip),
    class!(Disk "wipe" "a disk is lost with all that was on it": choice Wipe),
    class!(Disk "state-loss" "a node's checkpoint is lost; its log is not": choice StateLoss),
    class!(Disk "disk-crash" "the power fails at a certain operation of a disk": choice DiskCrash),
    class!(Time "skew" "clocks run at different rates": skew = false),
    class!(Time "rate" "a clock changes its rate": choice Skew),
    class!(Time "jump" "a clock jumps forward": choice Jump),
    class!(Time "freeze" "a clock stands still": choice Freeze),
    class!(Operator "change" "the operator changes the membership": choice Change),
    class!(Operator "transfer" "the operator hands the leadership over": choice Transfer),
];

/// The name of a choice of the nemesis.
pub fn name(choice: Choice) -> &'static str {
    CLASSES.iter().find(|class| class.choice == Some(choice)).map_or("something else", |class| class.name)
}

/// The classes that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed(BTreeSet<&'static str>);

impl Allowed {
    /// Reads a list of classes and groups, `all` or `none`. If a word is neither, answers it.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut allowed = BTreeSet::new();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "none") {
            let named = |class: &&Class| word == "all" || class.name == word || class.group.name() == word;
            let mut found = CLASSES.iter().filter(named).map(|class| class.name).peekable();
            if found.peek().is_none() {
                return Err(word.into());
            }
            allowed.extend(found);
        }
        Ok(Allowed(allowed))
    }

    /// The classes that a run has.
    pub fn of(swarm: &Swarm) -> Self {
        Allowed(CLASSES.iter().filter(|class| (class.on)(swarm)).map(|class| class.name).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The same without a class.
    pub fn without(&self, class: &str) -> Self {
        Allowed(self.0.iter().copied().filter(|name| *name != class).collect())
    }

    /// The same without a group.
    pub fn without_group(&self, group: Group) -> Self {
        let left = CLASSES.iter().filter(|class| class.group != group && self.0.contains(class.name));
        Allowed(left.map(|class| class.name).collect())
    }

    /// No class at all.
    pub fn none() -> Self {
        Allowed(BTreeSet::new())
    }

    /// Its classes.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    /// Turn the others off.
    pub fn apply(&self, swarm: &mut Swarm) {
        CLASSES.iter().filter(|class| !self.0.contains(class.name)).for_each(|class| (class.off)(swarm));
    }
}

/// As [`Allowed::parse`] reads it.
impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.0.iter().copied().collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_protocol::Random;

    #[test]
    fn a_list_is_read_as_it_is_written() {
        let parse = |list: &str| Allowed::parse(list).expect(list);
        assert_eq!(parse("none").to_string(), "none");
        assert_eq!(parse("skew,loss").to_string(), "loss,skew");
        assert_eq!(parse("all").count(), CLASSES.len());
        assert_eq!(parse("network,process,disk,time,operator"), parse("all"));
        assert_eq!(parse(&parse("network").to_string()), parse("network"));
        assert_eq!(Allowed::parse("loss,gremlins"), Err("gremlins".into()));
    }

    #[test]
    fn every_choice_of_the_nemesis_is_a_class() {
        let names: BTreeSet<&str> = Choice::ALL.into_iter().map(name).collect();
        assert_eq!(names.len(), Choice::ALL.len());
        assert!(!names.contains("something else"));
    }

    #[test]
    fn what_is_not_allowed_is_off_and_the_rest_is_as_it_was_drawn() {
        let mut met = BTreeSet::new();
        for seed in 0..200 {
            let drawn = Swarm::draw(Random::new(seed), None);
            let had = Allowed::of(&drawn);
            met.extend(had.names());
            let mut swarm = drawn.clone();
            Allowed::parse("loss,skew").expect("classes").apply(&mut swarm);
            assert_eq!(swarm.faults.loss, drawn.faults.loss);
            let left: Vec<_> = had.names().filter(|name| ["loss", "skew"].contains(name)).collect();
            assert_eq!(Allowed::of(&swarm).names().collect::<Vec<_>>(), left);
        }
        assert_eq!(met.len(), CLASSES.len(), "{met:?}");
    }
}
