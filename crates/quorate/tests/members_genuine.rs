//! The Cluster API beside a genuine etcd's: the same requests, the same answers and refusals, code and text.
//!
//! A genuine etcd is looked for in `$ETCD_BIN` and on PATH; without one the test says so and passes. Ids differ, as they
//! are made of URLs and the time; they are named by what they stand for.
//!
//! Known and deliberate differences, kept out of the requests: etcd stores peer URLs given to an update without looking
//! at them, forgets at an update that a member is a learner (3.5.1), and never answers a change that comes while it is
//! not done with the one before.

mod common;
#[path = "members/lab.rs"]
#[allow(dead_code)]
mod lab;

use std::time::Duration;

use lab::Lab;
use quorate_api::proto::etcdserverpb as pb;
use quorate_harness::etcd::{self, Etcd};
use quorate_harness::raw::{self, Raw};
use tonic::Status;

/// What is asked, with members by number: 0 is the one there is, others in the order they were added.
#[derive(Clone, Debug)]
enum Ask {
    List { linearizable: bool },
    Learner(&'static [&'static str]),
    Voter(&'static [&'static str]),
    Remove(Who),
    Update(Who, &'static [&'static str]),
    Promote(Who),
    Lead(Who),
}

#[derive(Clone, Copy, Debug)]
enum Who {
    Own,
    Added(usize),
    Nobody,
}

struct Side {
    raw: Raw,
    own: u64,
    added: Vec<u64>,
}

impl Side {
    async fn new(endpoint: &str) -> Side {
        let mut raw = raw::at(endpoint);
        let list = pb::MemberListRequest { linearizable: true };
        let members = raw.cluster.member_list(list).await.expect("a list").into_inner().members;
        Side { raw, own: members[0].id, added: Vec::new() }
    }

    fn id(&self, who: Who) -> u64 {
        match who {
            Who::Own => self.own,
            Who::Added(at) => self.added[at],
            Who::Nobody => 0x1234,
        }
    }

    /// The answer, with names instead of ids, and nothing that depends on where it runs.
    async fn ask(&mut self, ask: &Ask) -> Result<String, String> {
        // etcd drops a change that comes while it is not done with the one before, and never answers it.
        tokio::time::sleep(Duration::from_millis(150)).await;
        let answer = tokio::time::timeout(Duration::from_secs(10), self.carry_out(ask)).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {ask:?}"));
        answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))
    }

    async fn carry_out(&mut self, ask: &Ask) -> Result<String, Status> {
        let texts = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        let (header, members) = match ask {
            Ask::List { linearizable } => {
                let request = pb::MemberListRequest { linearizable: *linearizable };
                let answer = self.raw.cluster.member_list(request).await?.into_inner();
                (answer.header, answer.members)
            }
            Ask::Learner(urls) | Ask::Voter(urls) => {
                let is_learner = matches!(ask, Ask::Learner(_));
                let request = pb::MemberAddRequest { peer_ur_ls: texts(urls), is_learner };
                let answer = self.raw.cluster.member_add(request).await?.into_inner();
                self.added.push(answer.member.as_ref().expect("a member").id);
                (answer.header, answer.members)
            }
            Ask::Remove(who) => {
                let request = pb::MemberRemoveRequest { id: self.id(*who) };
                let answer = self.raw.cluster.member_remove(request).await?.into_inner();
                (answer.header, answer.members)
            }
            Ask::Update(who, urls) => {
                let request = pb::MemberUpdateRequest { id: self.id(*who), peer_ur_ls: texts(urls) };
                let answer = self.raw.cluster.member_update(request).await?.into_inner();
                (answer.header, answer.members)
            }
            Ask::Promote(who) => {
                let request = pb::MemberPromoteRequest { id: self.id(*who) };
                let answer = self.raw.cluster.member_promote(request).await?.into_inner();
                (answer.header, answer.members)
            }
            Ask::Lead(who) => {
                let request = pb::MoveLeaderRequest { target_id: self.id(*who) };
                let answer = self.raw.maintenance.move_leader(request).await?.into_inner();
                return Ok(format!("moved, with a header: {}", answer.header.is_some()));
            }
        };
        let header = header.expect("a header");
        assert_eq!((header.revision, header.member_id), (0, self.own), "{ask:?}");
        let mut rows: Vec<String> = members.iter().map(|member| self.row(member)).collect();
        rows.sort();
        Ok(rows.join("; "))
    }

    fn row(&self, member: &pb::Member) -> String {
        let added = || self.added.iter().position(|&id| id == member.id);
        match member.id == self.own {
            true => format!("own {} learner {}", member.client_ur_ls.len(), member.is_learner),
            false => format!(
                "added {:?} {:?} {:?} {:?} learner {}",
                added(),
                member.name,
                member.peer_ur_ls,
                member.client_ur_ls,
                member.is_learner
            ),
        }
    }
}

/// In an order that leaves the one member there is with its quorum until the end.
const ASKED: &[Ask] = &[
    Ask::List { linearizable: true },
    Ask::List { linearizable: false },
    Ask::Remove(Who::Nobody),
    Ask::Promote(Who::Nobody),
    Ask::Update(Who::Nobody, &["http://127.0.0.1:1"]),
    Ask::Remove(Who::Own),
    Ask::Promote(Who::Own),
    Ask::Lead(Who::Nobody),
    Ask::Lead(Who::Own),
    Ask::Learner(&[]),
    Ask::Learner(&["bad"]),
    Ask::Voter(&["127.0.0.1:1"]),
    Ask::Learner(&["http://127.0.0.1:1", "http://127.0.0.1:2"]),
    Ask::Learner(&["http://127.0.0.1:3"]),
    Ask::Learner(&["http://127.0.0.1:2"]),
    Ask::Voter(&["http://127.0.0.1:2"]),
    Ask::Promote(Who::Added(0)),
    Ask::Lead(Who::Added(0)),
    Ask::Remove(Who::Added(0)),
    Ask::Remove(Who::Added(0)),
    Ask::Promote(Who::Added(0)),
    Ask::Update(Who::Added(0), &["http://127.0.0.1:4"]),
    Ask::Voter(&["http://127.0.0.1:4"]),
    Ask::List { linearizable: false },
];

#[tokio::test(flavor = "multi_thread")]
async fn members_are_changed_and_refused_as_by_genuine_etcd() {
    let genuine = etcd::find();
    if genuine.is_empty() {
        println!("SKIPPED: no genuine etcd on PATH and none named in ETCD_BIN, nothing was compared");
        return;
    }
    for binary in genuine {
        let etcd = tokio::task::block_in_place(|| Etcd::start(&binary));
        let ours = tokio::task::block_in_place(|| Lab::founded(1, 1, &[]));
        let (mut left, mut right) = (Side::new(&etcd.endpoint()).await, Side::new(&ours.endpoint(0)).await);
        for ask in ASKED {
            let (due, got) = (left.ask(ask).await, right.ask(ask).await);
            println!("{ask:?}: {got:?}");
            assert_eq!(due, got, "{ask:?}: etcd {} and ours", etcd.version);
        }
    }
}
