//! The rules, broken one by one.

use quorate_chord::Rules;

macro_rules! variant {
    ($(#[$doc:meta])* $name:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name;

        impl Rules for $name {
            fn $rule() -> bool {
                false
            }
        }
    };
}

variant!(
    /// Adopts a nearer successor on another's word.
    Unheard,
    hears_first
);
variant!(
    /// Joins as in the paper of 2001.
    OriginalJoin,
    joins_whole
);
variant!(
    /// Takes the predecessor for the owner.
    PredecessorOwns,
    owner_is_successor
);
variant!(
    /// Looks up along the ring.
    WalksTheRing,
    uses_fingers
);
