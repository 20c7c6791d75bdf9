//! Who a member is: ids derived from what the operator wrote, the same on every member without a message.
//!
//! Source: etcd's derivation (ETCD.md section 10.1). A member's id is the first eight bytes, big-endian, of the
//! SHA-1 of its sorted peer URLs run together, followed by the cluster token, and, for a member added to a
//! running cluster, by the decimal unix seconds of that moment. The cluster's id is the same of all initial
//! member ids, sorted, eight bytes each; and of the write quorum, if one was asked for (which etcd has not), so that
//! members that were told of different quorums do not found a cluster together. SHA-1 serves as a name here, not as a defence.
//!
//! Invariants: an id is never 0 (0 means "nobody" on the wire); two members with one peer URL in common are
//! refused before this is reached ([`crate::config`]), so ids within a cluster differ.

use sha1::{Digest, Sha1};

use crate::config::{Config, Url};

/// The id of a member of the initial cluster, or of one added at `added_at` (unix seconds).
pub fn member_id(peer_urls: &[Url], cluster_token: &str, added_at: Option<u64>) -> u64 {
    let mut texts: Vec<String> = peer_urls.iter().map(Url::to_string).collect();
    texts.sort();
    let mut hash = Sha1::new();
    for text in &texts {
        hash.update(text.as_bytes());
    }
    hash.update(cluster_token.as_bytes());
    if let Some(seconds) = added_at {
        hash.update(seconds.to_string().as_bytes());
    }
    first_eight(hash)
}

/// The id of the cluster that starts with these members, in any order, and this many to accept a write (0: a majority).
pub fn cluster_id(members: &[u64], write_quorum: u32) -> u64 {
    let mut sorted = members.to_vec();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    for id in &sorted {
        hash.update(id.to_be_bytes());
    }
    if write_quorum > 0 {
        hash.update(write_quorum.to_be_bytes());
    }
    first_eight(hash)
}

/// A member of the initial cluster, as every member computes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialMember {
    /// Its id.
    pub id: u64,
    /// Its name in `--initial-cluster`.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<Url>,
}

/// Who a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: u64,
    /// This node's id.
    pub member: u64,
}

/// A cluster that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// Who this node is in it.
    pub identity: Identity,
    /// All initial members, in ascending order of id.
    pub members: Vec<InitialMember>,
    /// How many of them accept a write; 0 for a majority.
    pub write_quorum: u32,
}

impl Founding {
    /// The cluster that `config` implies, or `None` when its own name is not in the initial cluster, which
    /// [`Config::validate`] refuses.
    pub fn of(config: &Config) -> Option<Founding> {
        let token = &config.initial_cluster_token;
        let mut members: Vec<InitialMember> = config
            .initial_cluster
            .iter()
            .map(|(name, urls)| InitialMember {
                id: member_id(urls, token, None),
                name: name.clone(),
                peer_urls: urls.clone(),
            })
            .collect();
        members.sort_by_key(|member| member.id);
        let member = members.iter().find(|member| member.name == config.name)?.id;
        let ids: Vec<u64> = members.iter().map(|member| member.id).collect();
        let write_quorum = config.write_quorum.unwrap_or(0);
        let identity = Identity { cluster: cluster_id(&ids, write_quorum), member };
        Some(Founding { identity, members, write_quorum })
    }
}

/// The first eight bytes of a digest; 0 is moved aside because it means "nobody".
fn first_eight(hash: Sha1) -> u64 {
    let digest = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(bytes).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(text: &str) -> Vec<Url> {
        Url::parse_list(text).expect(text)
    }

    /// What a genuine etcd 3.5.1 reports with its default flags.
    #[test]
    fn a_lone_default_member_has_etcds_ids() {
        let id = member_id(&urls("http://localhost:2380"), "etcd-cluster", None);
        assert_eq!(id, 0x8e9e_05c5_2164_694d);
        assert_eq!(cluster_id(&[id], 0), 0xcdf8_1819_4e3a_8c32);
    }

    /// What a genuine etcd 3.5.1 reports for a cluster of three.
    #[test]
    fn three_members_have_etcds_ids() {
        let ids: Vec<u64> = ["http://127.0.0.1:12380", "http://127.0.0.1:22380", "http://127.0.0.1:32380"]
            .iter()
            .map(|url| member_id(&urls(url), "etcd-cluster-1", None))
            .collect();
        assert_eq!(ids, [0x8211_f1d0_f64f_3269, 0x91bc_3c39_8fb3_c146, 0xfd42_2379_fda5_0e48]);
        assert_eq!(cluster_id(&ids, 0), 0xef37_ad9d_c622_a7c4);
        assert_eq!(cluster_id(&[ids[2], ids[0], ids[1]], 0), 0xef37_ad9d_c622_a7c4);
    }

    #[test]
    fn the_order_of_urls_is_no_matter_but_token_and_time_are() {
        let id = member_id(&urls("http://a:1,http://b:2"), "t", None);
        assert_eq!(id, member_id(&urls("http://b:2,http://a:1"), "t", None));
        assert_ne!(id, member_id(&urls("http://b:2,http://a:1"), "u", None));
        assert_ne!(id, member_id(&urls("http://b:2,http://a:1"), "t", Some(1)));
    }

    #[test]
    fn every_member_computes_the_same_cluster() {
        let mut config = Config {
            initial_cluster: vec![("a".into(), urls("http://a:1")), ("b".into(), urls("http://b:1"))],
            ..Config::default()
        };
        config.name = "a".into();
        let a = Founding::of(&config).expect("a");
        config.name = "b".into();
        config.initial_cluster.reverse();
        let b = Founding::of(&config).expect("b");
        assert_eq!((a.identity.cluster, &a.members), (b.identity.cluster, &b.members));
        assert_ne!(a.identity.member, b.identity.member);
        config.write_quorum = Some(1);
        let other = Founding::of(&config).expect("b");
        assert_ne!(other.identity.cluster, b.identity.cluster, "other quorums are another cluster");
        assert_eq!(other.identity.member, b.identity.member);
        config.name = "c".into();
        assert_eq!(Founding::of(&config), None);
    }
}
