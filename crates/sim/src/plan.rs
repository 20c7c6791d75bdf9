//! What a run is told besides its seed: fewer faults, other numbers, other dice, only some deeds of the nemesis.
//!
//! A seed draws a run's character and then decides everything that happens. A [`Plan`] changes the character before
//! the run begins, and names the deeds that are done at all. It is written as flags of `quorate sim`, and read back
//! from them, so that a run that was made smaller is repeated by one command like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::classes::Allowed;
use crate::deeds::DeedId;
use crate::knobs::{self, KNOBS};
use crate::swarm::Swarm;

/// See the module's text. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The classes of faults that are allowed; all, if not given.
    pub faults: Option<Allowed>,
    /// Numbers of the run's character, by name.
    set: BTreeMap<&'static str, u64>,
    /// Other dice for what happens in the run; its character stays.
    pub roll: u64,
    /// The deeds of the nemesis that are done; all, if not given.
    pub deeds: Option<BTreeSet<DeedId>>,
    /// Give up, without a verdict, after so many events: for whoever looks for a shorter run. Not written.
    pub(crate) most_events: Option<u64>,
}

/// The name in `--set` for [`Plan::roll`].
const ROLL: &str = "roll";

/// Why a plan cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// Not a class of faults.
    Fault(String),
    /// Not of the form name=number.
    Form(String),
    /// Not the name of a number.
    Name(String),
    /// Outside of what makes sense.
    Bounds {
        /// Which number.
        name: &'static str,
        /// The least and the greatest.
        bounds: (u64, u64),
    },
    /// Not a deed's name.
    Deed(String),
}

impl std::error::Error for PlanError {}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::Fault(word) => {
                write!(f, "no class of faults is called {word:?}: see quorate sim --faults list")
            }
            PlanError::Form(word) => {
                write!(f, "{word:?} sets nothing: write name=number, as in --set load.clients=1")
            }
            PlanError::Name(word) => write!(f, "no number is called {word:?}: see quorate sim --set list"),
            PlanError::Bounds { name, bounds: (least, most) } => {
                write!(f, "{name} cannot be that: choose a number from {least} to {most}")
            }
            PlanError::Deed(word) => {
                write!(f, "{word:?} is no deed of the nemesis: write a3 or s12, a range as a1-9, or none")
            }
        }
    }
}

impl Plan {
    /// Allow these classes of faults only, as `--faults` names them.
    pub fn allow(&mut self, list: &str) -> Result<(), PlanError> {
        self.faults = Some(Allowed::parse(list).map_err(PlanError::Fault)?);
        Ok(())
    }

    /// Set numbers, as `--set` names them.
    pub fn set(&mut self, list: &str) -> Result<(), PlanError> {
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let form = || PlanError::Form(word.into());
            let (name, value) = word.split_once('=').ok_or_else(form)?;
            let value = value.parse().map_err(|_| form())?;
            self.put(name, value)?;
        }
        Ok(())
    }

    /// Set one number.
    pub fn put(&mut self, name: &str, value: u64) -> Result<(), PlanError> {
        if name == ROLL {
            self.roll = value;
            return Ok(());
        }
        let knob = knobs::named(name).ok_or_else(|| PlanError::Name(name.into()))?;
        if value < knob.bounds.0 || value > knob.bounds.1 {
            return Err(PlanError::Bounds { name: knob.name, bounds: knob.bounds });
        }
        self.set.insert(knob.name, value);
        Ok(())
    }

    /// Do only these deeds, as `--deeds` names them.
    pub fn only(&mut self, list: &str) -> Result<(), PlanError> {
        let mut deeds = BTreeSet::new();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "none") {
            let wrong = || PlanError::Deed(word.into());
            let (first, last) = match word.split_once('-') {
                Some((first, last)) => (first, Some(last.parse::<u64>().map_err(|_| wrong())?)),
                None => (word, None),
            };
            let first: DeedId = first.parse().map_err(|()| wrong())?;
            let (from, kind): (u64, fn(u64) -> DeedId) = match first {
                DeedId::Act(number) => (number, DeedId::Act),
                DeedId::Strike(number) => (number, DeedId::Strike),
            };
            let upto = last.unwrap_or(from);
            // More deeds than that no run has.
            if upto < from || upto - from > 1_000_000 {
                return Err(wrong());
            }
            deeds.extend((from..=upto).map(kind));
        }
        self.deeds = Some(deeds);
        Ok(())
    }

    /// Change a run's character.
    pub fn apply(&self, swarm: &mut Swarm) {
        if let Some(allowed) = &self.faults {
            allowed.apply(swarm);
        }
        for knob in KNOBS {
            if let Some(value) = self.set.get(knob.name) {
                (knob.set)(swarm, *value);
            }
        }
    }

    /// The seed for the dice, where the run's would be `seed`.
    pub fn dice_seed(&self, seed: u64) -> u64 {
        seed.wrapping_add(self.roll.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }
}

/// Deeds in ranges.
fn ranges(deeds: &BTreeSet<DeedId>) -> String {
    let mut words: Vec<(DeedId, u64)> = Vec::new();
    for deed in deeds {
        match (words.last_mut(), deed) {
            (Some((DeedId::Act(_), last)), DeedId::Act(number))
            | (Some((DeedId::Strike(_), last)), DeedId::Strike(number))
                if *last + 1 == *number =>
            {
                *last = *number;
            }
            (_, DeedId::Act(number) | DeedId::Strike(number)) => words.push((*deed, *number)),
        }
    }
    let word = |(first, last): &(DeedId, u64)| match first {
        DeedId::Act(number) | DeedId::Strike(number) if number == last => first.to_string(),
        _ => format!("{first}-{last}"),
    };
    if words.is_empty() { "none".into() } else { words.iter().map(word).collect::<Vec<_>>().join(",") }
}

/// As flags, each with a space before it.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(faults) = &self.faults {
            write!(f, " --faults {faults}")?;
        }
        let roll = (self.roll > 0).then(|| format!("{ROLL}={}", self.roll));
        let set: Vec<String> =
            self.set.iter().map(|(name, value)| format!("{name}={value}")).chain(roll).collect();
        if !set.is_empty() {
            write!(f, " --set {}", set.join(","))?;
        }
        match &self.deeds {
            Some(deeds) => write!(f, " --deeds {}", ranges(deeds)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan from its flags.
    fn read(flags: &str) -> Result<Plan, PlanError> {
        let mut plan = Plan::default();
        let words: Vec<&str> = flags.split_ascii_whitespace().collect();
        for pair in words.chunks(2) {
            match pair[0] {
                "--faults" => plan.allow(pair[1])?,
                "--set" => plan.set(pair[1])?,
                "--deeds" => plan.only(pair[1])?,
                other => panic!("{other}"),
            }
        }
        Ok(plan)
    }

    #[test]
    fn a_plan_is_read_as_it_is_written() {
        assert_eq!(Plan::default().to_string(), "");
        let flags = " --faults loss,skew --set load.clients=1,pace.fifo=0,roll=7 --deeds a1,a3-9,s2";
        let plan = read(flags).expect("a plan");
        assert_eq!(plan.to_string(), flags);
        assert_eq!(read(" --deeds none").expect("a plan").to_string(), " --deeds none");
        assert_eq!(read("--deeds s4,s3,a2,s2").expect("a plan").to_string(), " --deeds a2,s2-4");
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |flags: &str| read(flags).expect_err(flags).to_string();
        assert!(refused("--faults loss,gremlins").starts_with("no class of faults is called \"gremlins\""));
        assert!(refused("--set load.clients").contains("name=number"));
        assert!(refused("--set load.clients=few").contains("name=number"));
        assert!(refused("--set load.clerks=1").starts_with("no number is called \"load.clerks\""));
        assert_eq!(refused("--set load.keys=0"), "load.keys cannot be that: choose a number from 1 to 1000");
        for deeds in ["x1", "a", "a3-1", "a1-x", "a1-99999999999"] {
            assert!(refused(&format!("--deeds {deeds}")).contains("is no deed"), "{deeds}");
        }
    }

    #[test]
    fn a_plan_changes_what_it_names_and_nothing_else() {
        let drawn = Swarm::draw(quorate_protocol::Random::new(3), None);
        let mut swarm = drawn.clone();
        Plan::default().apply(&mut swarm);
        assert_eq!(format!("{swarm:?}"), format!("{drawn:?}"));
        read("--faults none --set load.clients=1,faults.loss=9").expect("a plan").apply(&mut swarm);
        assert_eq!((swarm.load.clients, swarm.faults.loss, swarm.faults.duplicates), (1, 9, 0));
        assert_eq!(swarm.chaos_us, drawn.chaos_us);
    }
}
