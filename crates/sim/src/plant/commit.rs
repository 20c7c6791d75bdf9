//! Atomic commit with one rule broken.
//!
//! A rule that no bug breaks is the paper's, so the worlds of atomic commit always run these.

use quorate_commit::{Paper, Rules};

/// The rules as published, but for one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Broken;

macro_rules! broken {
    ($(fn $rule:ident { $bug:ident })*) => {
        impl Rules for Broken {
            $(
                fn $rule() -> bool {
                    Paper::$rule() && !super::is_in(crate::Plant::$bug)
                }
            )*
        }
    };
}

broken! {
    fn records_its_yes { YesForgotten }
    fn fences_before_answering { EnquiryUnfenced }
    fn decides_before_telling { CommitBeforeRecord }
    fn needs_all_votes { VotesMissing }
    fn decision_is_final { DecisionReversed }
    fn asks_when_in_doubt { AbortInDoubt }
    fn locks_ranges { RangeUnlocked }
    fn holds_until_decided { LocksReleasedEarly }
    fn prepares_above_closed { BelowClosed }
    fn commits_at_latest { CommitsEarlier }
    fn third_round_commits { ThirdRoundRollsBack }
    fn joins_later_attempts_only { AttemptJoinedLate }
    fn takes_up_latest_attempt { AttemptForgets }
}
