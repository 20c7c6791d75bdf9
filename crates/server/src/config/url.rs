//! A listening or advertised address as etcd writes it: `scheme://host:port`, and nothing after it.
//!
//! This is deliberately not a general URL: no path, no query, no user, and the port is always written. That
//! is what etcd accepts for every URL flag, and what two members must spell alike, because member ids are
//! hashed from these texts (see [`crate::identity`]). Text in is therefore text out: `localhost` stays
//! `localhost`, an address is not rewritten.
//!
//! Caveats: `unix://` sockets parse nowhere here, and `https` parses but is refused later by
//! [`super::Config::validate`], so that the refusal can name the flag.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Whether the bytes on a connection are in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS. Parsed so that it can be refused by name.
    Https,
}

/// One `scheme://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    scheme: Scheme,
    /// Without the brackets of an IPv6 address; empty means every interface.
    host: String,
    port: u16,
}

/// Why a text is not a [`Url`]. Nothing has changed; correct the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing, or only blanks.
    #[error("a URL is empty; write it as http://host:port")]
    Empty,
    /// No scheme, or one that is not served.
    #[error("URL \"{0}\" must start with http:// (or https://); write it as http://host:port")]
    Scheme(String),
    /// A path, a query or a fragment follows the port.
    #[error("URL \"{0}\" must not contain a path; write it as http://host:port")]
    Path(String),
    /// No port, or not one of 0..65535.
    #[error("URL \"{0}\" does not have the form http://host:port: the port is missing or above 65535")]
    Port(String),
    /// A host that cannot be one.
    #[error(
        "URL \"{0}\" does not name a host; an IPv6 address is written in brackets, as in http://[::1]:2379"
    )]
    Host(String),
}

impl Url {
    /// An address in the clear.
    pub fn http(host: impl Into<String>, port: u16) -> Url {
        Url { scheme: Scheme::Http, host: host.into(), port }
    }

    /// Plain or TLS.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host as written, an IPv6 address without its brackets; empty for every interface.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 asks the system for a free one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same address with another port, for a listener that asked for port 0.
    pub fn with_port(&self, port: u16) -> Url {
        Url { port, ..self.clone() }
    }

    /// `host:port`, ready to be resolved and dialled.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Where to listen, or `None` when the host is a name: a name may resolve to an address of another
    /// machine, so listening takes an address, `localhost`, or nothing (every IPv4 interface).
    pub fn bind_address(&self) -> Option<SocketAddr> {
        let ip = match self.host.as_str() {
            "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host.parse().ok()?,
        };
        Some(SocketAddr::new(ip, self.port))
    }

    /// Parses a comma-separated list. Blanks around an item are allowed, empty items are not.
    pub fn parse_list(text: &str) -> Result<Vec<Url>, UrlError> {
        text.split(',').map(str::parse).collect()
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            _ => return Err(UrlError::Scheme(text.into())),
        };
        if rest.contains(['/', '?', '#']) {
            return Err(UrlError::Path(text.into()));
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| UrlError::Port(text.into()))?;
        // `u16::from_str` takes a leading plus sign, which no port has.
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UrlError::Port(text.into()));
        }
        let port = port.parse().map_err(|_| UrlError::Port(text.into()))?;
        let host = parse_host(host).ok_or_else(|| UrlError::Host(text.into()))?;
        Ok(Url { scheme, host, port })
    }
}

/// A host without brackets, or `None` when it cannot be one.
fn parse_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return inner.parse::<Ipv6Addr>().is_ok().then(|| inner.to_owned());
    }
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    host.bytes().all(usual).then(|| host.to_owned())
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_is_text_out() {
        for text in [
            "http://localhost:2379",
            "http://127.0.0.1:2379",
            "http://[::1]:2380",
            "http://:2379",
            "http://node-1.example.org:1",
            "https://10.0.0.1:65535",
        ] {
            let url: Url = text.parse().expect(text);
            assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused_by_kind() {
        let refusal = |text: &str| text.parse::<Url>().expect_err(text);
        assert_eq!(refusal(" "), UrlError::Empty);
        for text in ["localhost:2379", "unix://socket:1", "ftp://a:1", "http:/a:1", "HTTP//a:1"] {
            assert_eq!(refusal(text), UrlError::Scheme(text.into()));
        }
        for text in ["http://a:1/", "http://a:1/x", "http://a:1?x", "http://a:1#x"] {
            assert_eq!(refusal(text), UrlError::Path(text.into()));
        }
        for text in ["http://a", "http://a:", "http://a:x", "http://a:65536", "http://a:+1", "http://a:-1"] {
            assert_eq!(refusal(text), UrlError::Port(text.into()));
        }
        for text in ["http://::1:2379", "http://[::1:2379", "http://[zz]:1", "http://a b:1", "http://u@h:1"] {
            assert_eq!(refusal(text), UrlError::Host(text.into()));
        }
    }

    #[test]
    fn listening_takes_addresses_and_localhost_only() {
        let bind = |text: &str| text.parse::<Url>().expect(text).bind_address();
        assert_eq!(bind("http://localhost:1"), Some("127.0.0.1:1".parse().expect("address")));
        assert_eq!(bind("http://:2"), Some("0.0.0.0:2".parse().expect("address")));
        assert_eq!(bind("http://[::1]:3"), Some("[::1]:3".parse().expect("address")));
        assert_eq!(bind("http://example.org:4"), None);
    }

    #[test]
    fn lists_keep_their_order_and_refuse_empty_items() {
        let urls = Url::parse_list("http://b:2, http://a:1").expect("list");
        assert_eq!(urls, [Url::http("b", 2), Url::http("a", 1)]);
        assert_eq!(Url::parse_list("http://b:2,"), Err(UrlError::Empty));
    }
}
