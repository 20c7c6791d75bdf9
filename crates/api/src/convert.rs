//! Messages to commands, and outcomes to messages.
//!
//! Requests come in through `From` and `TryFrom` ([`request`]), because a request alone says what is asked.
//! Responses go out through functions ([`response`]), because a response also says who answers and as of
//! which revision: see [`Answering`]. [`watch`] and [`lease`] hold the rules of those two services.
//!
//! What is checked here is only what cannot be said in the commands: enum numbers nobody knows. Everything
//! else (empty keys, duplicate keys, leases that do not exist) the state machine checks, which is where its
//! rules are.
//!
//! Caveat: a transaction that is wrong in several ways, one of them a sort option nobody knows, is refused
//! for the sort option; etcd names whichever comes first.

pub mod lease;
pub mod request;
pub mod response;
pub mod watch;

pub use response::Answering;

#[cfg(test)]
mod tests;
