//! Holders of leases.
//!
//! A holder takes a lease, attaches a key to it, keeps it alive for a while, and then lets it end, or revokes
//! it. All along it reads the key: as long as less than the lease's time has passed between *asking* for the
//! last renewal that was granted and *hearing* of the key's absence, the key must be there, for the lease was
//! renewed after the asking and the read took place before the hearing (property LeaseNotEarly). After a
//! revocation that was answered the key must be gone.

use std::sync::Arc;
use std::time::Duration;

use quorate_api::proto::etcdserverpb as pb;
use quorate_checker::Violation;
use quorate_protocol::Random;
use tonic::codegen::tokio_stream;

use super::clients::{ANSWER, NoAnswer, ask};
use super::history::History;
use crate::raw::{self, Raw};

/// Begins the keys of leases.
pub const PREFIX: &str = "lease/";

/// One of the holders.
pub struct Holder {
    number: u64,
    members: Vec<Raw>,
    at: usize,
    random: Random,
    history: Arc<History>,
    made: u64,
}

/// A lease held: its number, its time, and when its last granted renewal was asked for.
struct Held {
    id: i64,
    ttl_s: u64,
    renewed_at: u64,
}

impl Holder {
    /// Holder `number`.
    pub fn new(number: u64, endpoints: &[String], random: Random, history: Arc<History>) -> Holder {
        let members = endpoints.iter().map(|endpoint| raw::at(endpoint)).collect();
        Holder { number, members, at: number as usize, random, history, made: 0 }
    }

    /// Holds one lease after the other until told to stop.
    pub async fn run(mut self) {
        while !self.history.over() {
            // Without an answer nothing is known of the lease: it is left to itself.
            if self.hold().await.is_err() {
                self.at += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn member(&self) -> Raw {
        self.members[self.at % self.members.len()].clone()
    }

    fn who(&self) -> String {
        format!("lease holder {}", self.number)
    }

    async fn hold(&mut self) -> Result<(), NoAnswer> {
        let mut held = self.grant().await?;
        for _ in 0..self.random.below(8) {
            tokio::time::sleep(Duration::from_millis(300 * held.ttl_s)).await;
            // A renewal without an answer changes nothing that is known.
            if self.keep_alive(&mut held).await.is_err() {
                self.at += 1;
            }
            if self.history.over() {
                break;
            }
            if self.look(&held).await.is_err() {
                self.at += 1;
            }
        }
        if self.random.percent(50) {
            return self.revoke(&held).await;
        }
        // Let it end, and look on.
        for _ in 0..4 * held.ttl_s {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if self.history.over() || !self.look(&held).await.unwrap_or(true) {
                break;
            }
        }
        Ok(())
    }

    async fn grant(&mut self) -> Result<Held, NoAnswer> {
        self.made += 1;
        let id = (self.number as i64 + 1) * 1_000_000 + self.made as i64;
        let ttl_s = self.random.between(2, 5);
        let mut member = self.member();
        let renewed_at = self.history.now();
        let grant = pb::LeaseGrantRequest { id, ttl: ttl_s as i64 };
        ask(&self.history, &self.who(), member.lease.lease_grant(grant)).await?;
        self.history.count_lease();
        let (key, value) = (format!("{PREFIX}{id}").into(), "held".into());
        let put = pb::PutRequest { key, value, lease: id, ..pb::PutRequest::default() };
        match tokio::time::timeout(ANSWER, member.kv.put(put)).await {
            Ok(Ok(_)) => Ok(Held { id, ttl_s, renewed_at }),
            Ok(Err(status)) => {
                // With answers this late the lease may well have ended before the put.
                let late = self.history.now() - renewed_at > ttl_s * 1_000_000_000;
                if status.code() == tonic::Code::NotFound && !late {
                    self.early(
                        &format!("a put is told that lease {id} does not exist: {status}"),
                        renewed_at,
                    );
                }
                Err(NoAnswer)
            }
            Err(_) => Err(NoAnswer),
        }
    }

    async fn keep_alive(&mut self, held: &mut Held) -> Result<(), NoAnswer> {
        let mut member = self.member();
        let asked = self.history.now();
        let once = tokio_stream::once(pb::LeaseKeepAliveRequest { id: held.id });
        let mut answers = ask(&self.history, &self.who(), member.lease.lease_keep_alive(once)).await?;
        let answer = match tokio::time::timeout(ANSWER, answers.message()).await {
            Ok(Ok(Some(answer))) => answer,
            _ => return Err(NoAnswer),
        };
        if answer.ttl > 0 {
            held.renewed_at = asked;
        } else if self.still(held) {
            self.early(&format!("a renewal is told that lease {} has ended", held.id), held.renewed_at);
        }
        Ok(())
    }

    /// Whether, by now, the lease cannot have ended lawfully.
    fn still(&self, held: &Held) -> bool {
        self.history.now() < held.renewed_at + held.ttl_s * 1_000_000_000
    }

    /// Reads the key; whether it is there.
    async fn look(&self, held: &Held) -> Result<bool, NoAnswer> {
        let mut member = self.member();
        let get = pb::RangeRequest { key: format!("{PREFIX}{}", held.id).into(), ..Default::default() };
        let there = !ask(&self.history, &self.who(), member.kv.range(get)).await?.kvs.is_empty();
        if !there && self.still(held) {
            self.early(&format!("the key of lease {} is gone", held.id), held.renewed_at);
        }
        Ok(there)
    }

    async fn revoke(&self, held: &Held) -> Result<(), NoAnswer> {
        let mut member = self.member();
        let revoke = pb::LeaseRevokeRequest { id: held.id };
        match tokio::time::timeout(ANSWER, member.lease.lease_revoke(revoke)).await {
            Ok(Ok(_)) => {}
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => {
                if self.still(held) {
                    self.early(
                        &format!("a revocation is told that lease {} has ended", held.id),
                        held.renewed_at,
                    );
                }
            }
            _ => return Err(NoAnswer),
        }
        let get = pb::RangeRequest { key: format!("{PREFIX}{}", held.id).into(), ..Default::default() };
        let asked = self.history.now();
        if !ask(&self.history, &self.who(), member.kv.range(get)).await?.kvs.is_empty() {
            let detail = format!("lease {} was revoked, its key is read at [{asked}..?]", held.id);
            self.history.broken(Violation::new("LeaseRevoked", detail));
        }
        Ok(())
    }

    fn early(&self, what: &str, renewed_at: u64) {
        let now = self.history.now();
        let detail = format!("{what}, although it was renewed at [{renewed_at}..{now}]");
        self.history.broken(Violation::new("LeaseNotEarly", detail));
    }
}
