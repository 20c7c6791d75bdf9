//! `quorate put`: one key, one value.

use std::ffi::OsString;
use std::io::Read;

use bytes::Bytes;
use quorate_api::proto::etcdserverpb::PutRequest;

use super::{bytes_of, print, request};
use crate::client::{self, ClientError, Cluster};

/// Set a key to a value
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Put {
    /// The key
    key: OsString,
    /// The value; - reads it from standard input
    value: OsString,
    #[command(flatten)]
    cluster: Cluster,
    /// Attach the key to this lease (hexadecimal, as etcdctl prints leases)
    #[arg(long, value_parser = lease)]
    lease: Option<i64>,
}

fn lease(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match i64::from_str_radix(digits, 16) {
        Ok(id) if id > 0 => Ok(id),
        _ => Err("not a lease: write its id in hexadecimal, such as 694d7a1b2c3d4e5f".into()),
    }
}

impl Put {
    pub(crate) async fn run(self) -> Result<(), ClientError> {
        let value = match self.value.to_str() {
            Some("-") => standard_input()?,
            _ => bytes_of(&self.value),
        };
        let message = PutRequest {
            key: bytes_of(&self.key),
            value,
            lease: self.lease.unwrap_or(0),
            ..PutRequest::default()
        };
        let connection = client::connect(&self.cluster.endpoints).await?;
        let answer = connection.kv().put(request(message)).await;
        answer.map_err(|status| connection.refused(&status))?;
        print(b"OK\n")
    }
}

fn standard_input() -> Result<Bytes, ClientError> {
    let mut value = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut value);
    read.map_err(|error| ClientError::Io { what: "reading the value from standard input", error })?;
    Ok(value.into())
}

#[cfg(test)]
mod tests {
    use super::lease;

    #[test]
    fn leases_are_hexadecimal() {
        assert_eq!(lease("1f"), Ok(31));
        assert_eq!(lease("0x1F"), Ok(31));
        for text in ["", "0", "-1", "xyz", "ffffffffffffffff"] {
            assert!(lease(text).is_err(), "{text}");
        }
    }
}
