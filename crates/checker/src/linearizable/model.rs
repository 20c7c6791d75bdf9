//! One key's register, with revisions known only within bounds.
//!
//! Invariants of [`State`]: the store's revision is at least `floor`, and was exactly the header's after an
//! answered operation; `modified.hi` is [`OPEN`] only while the newest write is an ambiguous one that no answer
//! has bounded yet; `create + version - 1 <= modified` in every concrete state described.

/// The upper end of a revision nothing has bounded.
pub(super) const OPEN: u64 = u64::MAX;

/// Stands for every value that no read ever showed.
pub(super) const UNSEEN: usize = 0;

/// A revision between two bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub lo: u64,
    pub hi: u64,
}

impl Span {
    pub fn exactly(revision: u64) -> Self {
        Self { lo: revision, hi: revision }
    }

    pub fn contains(self, revision: u64) -> bool {
        self.lo <= revision && revision <= self.hi
    }

    fn at_most(self, bound: u64) -> Option<Self> {
        let hi = self.hi.min(bound);
        (self.lo <= hi).then_some(Self { lo: self.lo, hi })
    }
}

/// A live record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Live {
    pub value: usize,
    pub create: Span,
    pub modified: Span,
    pub version: u64,
}

/// A record as read, with its value numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shown {
    pub value: usize,
    pub create: u64,
    pub modified: u64,
    pub version: u64,
}

/// What an operation does to the register, or says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Put { value: usize },
    Delete,
    Swap { expect: u64, value: usize },
    ShowsNothing,
    Shows(Shown),
}

impl Action {
    pub fn writes(self) -> bool {
        matches!(self, Self::Put { .. } | Self::Delete | Self::Swap { .. })
    }
}

/// The register and the least the store's revision can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    pub floor: u64,
    pub live: Option<Live>,
}

impl State {
    /// The empty store is at revision 1.
    pub const EMPTY: Self = Self { floor: 1, live: None };

    /// The state right after an answer at header revision `revision` showed the record, or its absence.
    pub fn shown(action: Action, revision: u64) -> Self {
        let Action::Shows(shown) = action else { return Self { floor: revision, live: None } };
        let (create, modified) = (Span::exactly(shown.create), Span::exactly(shown.modified));
        let live = Live { value: shown.value, create, modified, version: shown.version };
        Self { floor: revision, live: Some(live) }
    }

    /// The state after an answered action at header revision `revision`; none if it cannot be answered so.
    pub fn answered(self, action: Action, revision: u64) -> Option<Self> {
        if revision < self.floor || (action.writes() && revision == self.floor) {
            return None;
        }
        let live = match action {
            Action::Put { value } => Some(self.put(value, Span::exactly(revision))?),
            Action::Delete => {
                self.live?;
                None
            }
            Action::Swap { expect, value } => {
                let pinned = self.pin(expect)?;
                if pinned.floor >= revision {
                    return None;
                }
                Some(pinned.put(value, Span::exactly(revision))?)
            }
            Action::ShowsNothing if self.live.is_some() => return None,
            Action::ShowsNothing => None,
            Action::Shows(shown) => Some(self.shows(shown, revision)?),
        };
        Some(Self { floor: revision, live })
    }

    /// The state after an ambiguous write took effect, at some revision above the floor; none if it would have
    /// had no effect, which is the same as its not having happened.
    pub fn took_effect(self, action: Action) -> Option<Self> {
        match action {
            Action::Put { value } => {
                let at = Span { lo: self.floor.saturating_add(1), hi: OPEN };
                Some(Self { floor: at.lo, live: Some(self.put(value, at)?) })
            }
            Action::Delete => self.live.map(|_| Self { floor: self.floor.saturating_add(1), live: None }),
            Action::Swap { expect, value } => self.pin(expect)?.took_effect(Action::Put { value }),
            Action::ShowsNothing | Action::Shows(_) => None,
        }
    }

    fn put(self, value: usize, at: Span) -> Option<Live> {
        let Some(old) = self.live else {
            return Some(Live { value, create: at, modified: at, version: 1 });
        };
        // The old record's own puts lie between its creation and this one.
        let create =
            if at.hi == OPEN { old.create } else { old.create.at_most(at.hi.checked_sub(old.version)?)? };
        Some(Live { value, create, modified: at, version: old.version.saturating_add(1) })
    }

    /// The state, given that the key's mod_revision is `expect` (0: there is no key).
    fn pin(self, expect: u64) -> Option<Self> {
        let Some(live) = self.live else { return (expect == 0).then_some(self) };
        if expect == 0 || !live.modified.contains(expect) {
            return None;
        }
        let create = if live.version == 1 {
            live.create.contains(expect).then_some(Span::exactly(expect))?
        } else {
            live.create.at_most(expect.saturating_add(1).checked_sub(live.version)?)?
        };
        let live = Live { create, modified: Span::exactly(expect), ..live };
        Some(Self { floor: self.floor.max(expect), live: Some(live) })
    }

    fn shows(self, shown: Shown, revision: u64) -> Option<Live> {
        let live = self.live?;
        let consistent = live.value == shown.value
            && live.version == shown.version
            && live.create.contains(shown.create)
            && live.modified.contains(shown.modified)
            && shown.modified <= revision
            && shown.modified.checked_sub(shown.create)? >= shown.version.checked_sub(1)?
            && (shown.version == 1) == (shown.create == shown.modified);
        consistent.then(|| Live {
            create: Span::exactly(shown.create),
            modified: Span::exactly(shown.modified),
            ..live
        })
    }
}
