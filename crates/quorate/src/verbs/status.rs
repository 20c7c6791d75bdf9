//! `quorate status`: one row per endpoint.

use std::time::Duration;

use quorate_api::proto::etcdserverpb::{StatusRequest, StatusResponse};

use super::{print, request};
use crate::client::{ClientError, Cluster, Connection, Endpoint};

/// Show the state of every endpoint
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    cluster: Cluster,
}

const COLUMNS: [&str; 9] =
    ["ENDPOINT", "ID", "VERSION", "DB SIZE", "LEADER", "TERM", "INDEX", "APPLIED", "ERRORS"];

impl Status {
    pub(crate) async fn run(self) -> Result<(), ClientError> {
        let mut rows = vec![COLUMNS.map(String::from)];
        let mut silent = Vec::new();
        for endpoint in &self.cluster.endpoints {
            match ask(endpoint).await {
                Ok(status) => rows.push(row(endpoint, &status)?),
                Err(refusal) => silent.push(refusal),
            }
        }
        if rows.len() == 1 {
            return Err(ClientError::Unreachable(silent));
        }
        print(table(&rows).as_bytes())?;
        if silent.is_empty() {
            return Ok(());
        }
        Err(ClientError::Input(format!(
            "{} of the endpoints do not answer:\n  {}",
            silent.len(),
            silent.join("\n  ")
        )))
    }
}

async fn ask(endpoint: &Endpoint) -> Result<StatusResponse, String> {
    let call = async {
        let connection = Connection::open(endpoint).await?;
        let status = connection.maintenance().status(request(StatusRequest {})).await;
        status.map(tonic::Response::into_inner).map_err(|status| connection.refused(&status).to_string())
    };
    let limit = Duration::from_secs(5);
    tokio::time::timeout(limit, call)
        .await
        .unwrap_or_else(|_| Err(format!("{endpoint}: no answer within 5 s")))
}

fn row(endpoint: &Endpoint, status: &StatusResponse) -> Result<[String; 9], ClientError> {
    let header = status.header.as_ref().ok_or_else(|| super::incomplete("header"))?;
    Ok([
        endpoint.0.clone(),
        format!("{:x}", header.member_id),
        status.version.clone(),
        size(status.db_size),
        if status.leader == header.member_id { "yes" } else { "" }.to_owned(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.errors.join("; "),
    ])
}

/// Bytes as people read them.
fn size(bytes: i64) -> String {
    match bytes {
        ..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// Columns as wide as their widest cell.
fn table(rows: &[[String; 9]]) -> String {
    let mut out = String::new();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cell: &str| std::array::from_fn(|at| if at == 0 { cell.to_owned() } else { "x".into() });
        let text = table(&[COLUMNS.map(String::from), row("127.0.0.1:2379")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("ID"), lines[1].find('x'));
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!([size(0), size(20_480), size(25_000_000)], ["0 B", "20 kB", "25 MB"]);
    }
}
