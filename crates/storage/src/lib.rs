//! Where the revisions of the state machine live on disk
