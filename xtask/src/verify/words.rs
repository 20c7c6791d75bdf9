//! Nothing in the tree names the machine it was written on, or a host that is not ours to name.
//!
//! A path below somebody's home means nothing elsewhere. A link is worth keeping only if its host will be there
//! in years; so hosts are listed here, one by one. Hosts that cannot be real (loopback, `example.org`, names
//! without a dot, addresses) are free: tests and examples need them.

use crate::finding::Finding;
use crate::tree::Tree;

/// Beginnings of paths that exist on one machine only. Taken apart, so that this file has none.
const PLACES: [&str; 5] = [
    concat!("/wor", "k/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/tmp/ora", "cle"),
    concat!("/Us", "ers/"),
];

/// Hosts that may be linked to.
// The last one is in every SVG file, as the name of its namespace.
const HOSTS: [&str; 4] = ["github.com", "docs.rs", "www.apache.org", "www.w3.org"];

/// Ends of names that are reserved for examples (RFC 2606).
const RESERVED: [&str; 4] = ["example.org", "example.com", "example.net", ".invalid"];

/// Phrases that credit a tool with the work.
const CREDITS: [&str; 2] = [concat!("co-authored", "-by"), concat!("generated", " with")];

/// The findings of all texts.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        for (at, line) in text.lines().enumerate() {
            let mut found =
                |what: String, remedy: &str| findings.push(Finding::new(path, at + 1, what, remedy));
            for place in PLACES.iter().filter(|place| names_place(line, place)) {
                found(format!("{place} is a place on one machine"), "name a path relative to the checkout");
            }
            for host in hosts(line).filter(|host| !may_be_named(host)) {
                found(
                    format!("the host {host} is not on the list"),
                    "leave it out, or add it to HOSTS in xtask",
                );
            }
            let lower = line.to_ascii_lowercase();
            for phrase in CREDITS.iter().filter(|phrase| lower.contains(**phrase)) {
                found(format!("\"{phrase}\" credits a tool"), "leave it out");
            }
        }
    }
    findings
}

/// Whether a line has this absolute path. A relative one may have a folder of that name.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-}/".contains(before))
    })
}

/// The hosts of the URLs in a line.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").filter_map(|(at, _)| {
        if !line[..at].ends_with("http") && !line[..at].ends_with("https") {
            return None;
        }
        let rest = &line[at + 3..];
        let part_of_host = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        let end = rest.find(|c| !part_of_host(c)).unwrap_or(rest.len());
        Some(rest[..end].trim_end_matches('.'))
    })
}

fn may_be_named(host: &str) -> bool {
    let real = host.contains('.') && host.contains(|c: char| c.is_ascii_alphabetic());
    !real || HOSTS.contains(&host) || RESERVED.iter().any(|end| host.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> usize {
        check(&Tree::planted(&[("docs/a.md", line)])).len()
    }

    #[test]
    fn places_are_found() {
        for place in PLACES {
            assert_eq!(found(&format!("see `{place}x`")), 1, "{place}");
            assert_eq!(found(&format!("cd {place}x")), 1, "{place}");
        }
        assert_eq!(found(&format!("see crates{}x and ${{here}}{}x", PLACES[0], PLACES[2])), 0);
    }

    #[test]
    fn strange_hosts_are_found() {
        let url = |host: &str| format!("see https://{host}/a.");
        assert_eq!(found(&url("registry.nowhere.dev")), 1);
        assert_eq!(found(&format!("{} {}", url("a.dev"), url("b.dev"))), 2);
        for host in
            ["github.com", "docs.rs", "127.0.0.1:80", "n1.example.org", "[::1]:3", "localhost", "a:1", "{}"]
        {
            assert_eq!(found(&url(host)), 0, "{host}");
        }
    }

    #[test]
    fn credits_are_found() {
        for phrase in CREDITS {
            assert_eq!(found(&phrase.to_uppercase()), 1, "{phrase}");
        }
    }
}
