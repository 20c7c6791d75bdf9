//! The client verbs, for people without etcdctl: `get`, `put`, `del`, `watch`, `status`, `member`,
//! `move-leader`.
//!
//! Output goes to standard output as bare bytes, one item a line, so that it can be piped; everything said
//! about it goes to standard error. Exit codes: 0 for an answer (an empty one too), 1 for a refusal or a
//! cluster that cannot be reached, 2 for a command line that cannot be read.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use tonic::Request;

use crate::client::ClientError;

mod del;
mod get;
mod member;
mod put;
mod status;
mod watch;

pub(crate) use del::Del;
pub(crate) use get::Get;
pub(crate) use member::{Members, MoveLeader};
pub(crate) use put::Put;
pub(crate) use status::Status;
pub(crate) use watch::Watch;

/// Longer than the seven seconds after which a server gives up by itself.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Which keys a verb is about.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Keys {
    /// The key
    key: OsString,
    /// All keys that begin with KEY (with an empty KEY: all keys)
    #[arg(long)]
    prefix: bool,
}

impl Keys {
    /// The key, and the end of the range; empty for one key.
    fn interval(&self) -> (Bytes, Bytes) {
        let key = bytes_of(&self.key);
        match (self.prefix, key.is_empty()) {
            (false, _) => (key, Bytes::new()),
            // A key of one zero byte is the first there can be; as an end it means that there is none.
            (true, true) => (Bytes::from_static(&[0]), Bytes::from_static(&[0])),
            (true, false) => {
                let end = end_of_prefix(&key);
                (key, end)
            }
        }
    }
}

fn bytes_of(text: &OsString) -> Bytes {
    Bytes::copy_from_slice(text.as_encoded_bytes())
}

/// The first key after all that begin with `prefix`.
fn end_of_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(&[0])
}

/// A call that is given up after a while.
fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(REQUEST_TIMEOUT);
    request
}

/// Runs a verb to its end; the exit code. A reader that goes away (`| head`) ends it quietly.
pub(crate) fn run(name: &str, verb: impl Future<Output = Result<(), ClientError>>) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("quorate {name}: cannot start: {error}");
            return 1;
        }
    };
    match runtime.block_on(verb) {
        Ok(()) => 0,
        Err(ClientError::Io { error, .. }) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            eprintln!("quorate {name}: {error}");
            1
        }
    }
}

/// Writes to standard output and flushes it.
fn print(bytes: &[u8]) -> Result<(), ClientError> {
    let mut out = io::stdout().lock();
    let result = out.write_all(bytes).and_then(|()| out.flush());
    result.map_err(|error| ClientError::Io { what: "writing to standard output", error })
}

/// The error of an answer without the part that every answer has.
fn incomplete(what: &str) -> ClientError {
    ClientError::Input(format!("the server's answer has no {what}; is this etcd?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(key: &str, prefix: bool) -> (Bytes, Bytes) {
        Keys { key: key.into(), prefix }.interval()
    }

    #[test]
    fn intervals_of_keys_and_prefixes() {
        assert_eq!(interval("a", false), ("a".into(), Bytes::new()));
        assert_eq!(interval("a", true), ("a".into(), "b".into()));
        assert_eq!(interval("a/", true), ("a/".into(), "a0".into()));
        assert_eq!(interval("", false), (Bytes::new(), Bytes::new()));
        assert_eq!(interval("", true), (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")));
        assert_eq!(end_of_prefix(&[1, 0xff, 0xff]), Bytes::from_static(&[2]));
        assert_eq!(end_of_prefix(&[0xff, 0xff]), Bytes::from_static(&[0]));
    }
}
