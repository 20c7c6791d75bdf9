//! What we call ourselves to clients of etcd.
//!
//! These are not our own version (that is the package's, shown beside them): they say which etcd we behave
//! like, and clients decide by them what they may ask.
//!
//! - They are exactly three plain integers. Patroni splits `/version`'s `etcdserver` and `etcdcluster` at the
//!   dots and parses each part as a number: any suffix crashes it.
//! - Kubernetes and Cilium parse `Status.version` to decide whether progress requests on watches can be
//!   relied upon (from 3.4.31 and 3.5.13 on); etcd3gw picks its URL prefix by `/version`.
//! - 3.7, because its rules are the ones implemented: unknown sort options are refused, a member that is not
//!   ready answers `FailedPrecondition`, `KV.RangeStream` exists in the service.

/// `Status.version`, `/version`'s `etcdserver`, and the first line of `--version`.
pub const VERSION: &str = "3.7.0";

/// `/version`'s `etcdcluster`: what all members agree upon. Its patch number is always 0, as in etcd.
pub const CLUSTER_VERSION: &str = "3.7.0";

/// `Status.storageVersion` and `/version`'s `storage`: which release's data this could be. Our files are our
/// own; the field says what an operator may compare, and in etcd it follows the cluster's version.
pub const STORAGE_VERSION: &str = "3.7.0";

#[cfg(test)]
mod tests {
    use super::*;

    /// Patroni's reading: each dot-separated part is an integer, and there are three.
    #[test]
    fn three_plain_integers() {
        for version in [VERSION, CLUSTER_VERSION, STORAGE_VERSION] {
            let parts: Vec<u64> = version.split('.').map(|part| part.parse().expect(version)).collect();
            assert_eq!(parts.len(), 3, "{version}");
            assert_eq!(parts[..2], [3, 7], "{version}");
        }
    }

    /// The cluster's version is the release's, with a patch number of zero.
    #[test]
    fn the_cluster_has_no_patch_number() {
        let minor = |version: &'static str| version.rsplit_once('.').unwrap_or_default().0;
        assert_eq!(minor(VERSION), minor(CLUSTER_VERSION));
        assert!(CLUSTER_VERSION.ends_with(".0") && STORAGE_VERSION.ends_with(".0"));
    }
}
