//! What can be got wrong, one method each.
//!
//! They are apart from the machinery for two reasons: a reader finds them in one place with the sentence each one
//! is, and a simulator can run the very same machinery with one of them broken, to prove that its checkers would
//! notice, and to measure what the mistake costs. Production runs [`Corrected`], which overrides nothing.

/// Chord's rules. The provided methods are Zave's and TON's; overriding one makes a known-bad variant, or the
/// original.
pub trait Rules {
    /// A node's pointers are taken from an answer of the one they lead to, never on another's word: in a ring that
    /// changes, the word may be of one who has died (Zave: StabilizeFromPredecessor queries first).
    fn hears_first() -> bool {
        true
    }

    /// Who joins copies the whole successor list of its predecessor-to-be before anybody hears of it. The original
    /// (§4.4, figure 7) knows one successor only, and is cut off when that one dies.
    fn joins_whole() -> bool {
        true
    }

    /// "Key k is assigned to the first node whose identifier is equal to or follows k" (§4.2): the successor. Many a
    /// textbook program answers with the node at which the search ended, the predecessor.
    fn owner_is_successor() -> bool {
        true
    }

    /// A lookup goes by fingers (§4.3), and so takes O(log N) steps; by successors alone it walks the ring.
    fn uses_fingers() -> bool {
        true
    }

    /// A lookup may also go by the successor list (TON §IV.E.3: "in the finger table and the successor list"). The
    /// figures of 2001 are of fingers alone.
    fn uses_successors() -> bool {
        true
    }

    /// A node answers for the keys it is responsible for itself, without asking. The paper's find_successor (figure 4)
    /// goes round the ring for them.
    fn knows_its_keys() -> bool {
        true
    }

    /// A lookup that meets a dead node tries the next best. In the experiment on churn it fails (§6.5: "the simulator
    /// does not retry queries").
    fn tries_others() -> bool {
        true
    }
}

/// The rules as they should be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Corrected;

impl Rules for Corrected {}
