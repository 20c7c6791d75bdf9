//! What can be got wrong, one method each.
//!
//! Each is a sentence on which safety rests, with its source. Production runs [`Paper`], which overrides nothing; a
//! simulator breaks one at a time, to prove that its checkers would notice and to measure what the mistake costs.

/// The rules of atomic commit. The provided methods are the sources'.
pub trait Rules {
    /// "A participant must record its Yes before it sends it" (Bernstein, Hadzilacos and Goodman §7.4, DT log rule 2).
    /// Otherwise it forgets, when it fails, that it may not decide alone any more.
    fn records_its_yes() -> bool {
        true
    }

    /// Who is asked about a transaction it does not know answers Abort by presumption (Mohan, Lindsay and Obermarck
    /// §3.1); here only once an abort is durable in its place, since another of the site's replicas may be about to
    /// commit.
    fn fences_before_answering() -> bool {
        true
    }

    /// "The coordinator writes a commit record in the log before it sends COMMIT" (Gray 1978 §5.8.3.3; BHG §7.4, DT log
    /// rule 3).
    fn decides_before_telling() -> bool {
        true
    }

    /// The coordinator decides Commit only if all have voted Yes (BHG §7.3, AC3).
    fn needs_all_votes() -> bool {
        true
    }

    /// "A process cannot reverse its decision after it has reached one" (BHG §7.3, AC2): what is applied first stays.
    fn decision_is_final() -> bool {
        true
    }

    /// After Yes a participant is uncertain, and may not decide alone (BHG §7.3).
    fn asks_when_in_doubt() -> bool {
        true
    }

    /// Ranges are locked as keys are, or a range read would not notice what is inserted (Gray 1978 §5.7.2).
    fn locks_ranges() -> bool {
        true
    }

    /// Locks are held until the transaction is decided: "two-phase", and strict (BHG §7.1).
    fn holds_until_decided() -> bool {
        true
    }

    /// An older one waits, a younger one dies (Rosenkrantz, Stearns and Lewis §3): so nobody waits for an older one, and
    /// there is no circle.
    fn younger_dies() -> bool {
        true
    }

    /// A transaction prepares above what is closed, and above all that was committed here: what is read as of a closed
    /// moment never changes.
    fn prepares_above_closed() -> bool {
        true
    }

    /// A transaction commits at the latest of the moments at which it prepared, so that it is below none of them.
    fn commits_at_latest() -> bool {
        true
    }

    /// A name from an epoch below the floor is refused: what became of it may be forgotten.
    fn refuses_below_floor() -> bool {
        true
    }

    /// In parallel: the client is told once it is durable that the transaction is under way, not only the votes; else a
    /// driver that has not heard of it may fence it.
    fn tells_once_staged() -> bool {
        true
    }

    /// In parallel: once that is durable, it is aborted only if a participant has refused for good; that votes are late
    /// does not say that they are not durable.
    fn staged_waits_for_a_no() -> bool {
        true
    }

    /// Three phases: the third round is *commit*. The coordinator that has asked to pre-commit commits, also when some do
    /// not answer (Skeen 1981 §5: they will learn it). Textbooks have a rollback there.
    fn third_round_commits() -> bool {
        true
    }

    /// Quorum termination: an attempt is joined only if it is later than all joined before (Keidar and Dolev §4).
    fn joins_later_attempts_only() -> bool {
        true
    }

    /// Quorum termination: an attempt takes up what the latest of the attempts it hears of was for; only if it hears of
    /// none does it abort (Keidar and Dolev §4, the decision rule).
    fn takes_up_latest_attempt() -> bool {
        true
    }
}

/// The rules as they should be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paper;

impl Rules for Paper {}
