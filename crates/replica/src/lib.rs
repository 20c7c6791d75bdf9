//! One consensus core and one state machine, still pure
