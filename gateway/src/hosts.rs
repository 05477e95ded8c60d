//! Under which names a listener may be asked. A web page can give its own name an address of
//! ours (DNS rebinding): its browser then takes what we answer for the page's own. The name it asks
//! under is all that tells, so a listener that only its machine should reach answers to that machine's
//! names alone.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap};

use crate::config::HostName;

/// The names under which a listener is asked.
#[derive(Clone, Debug)]
pub enum Hosts {
    /// Any.
    Any,
    /// Loopback's names, and these.
    Named(Vec<HostName>),
}

impl Hosts {
    /// The names of a listener: `named` beside those of loopback; any, if none is named and it
    /// `is_open` to more than its own machine.
    pub fn new(named: &[HostName], is_open: bool) -> Self {
        match named.is_empty() && is_open {
            true => Self::Any,
            false => Self::Named(named.to_vec()),
        }
    }

    /// Whether a request with these header fields asks under such a name. No browser leaves `Host` out.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        let Self::Named(named) = self else {
            return true;
        };
        let mut hosts = headers.get_all(header::HOST).iter();
        hosts.all(|host| {
            let name = host.to_str().ok().and_then(HostName::of_field);
            name.is_some_and(|name| is_loopback(&name) || named.contains(&name))
        })
    }
}

fn is_loopback(name: &HostName) -> bool {
    let name = name.as_str();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn admits(hosts: &Hosts, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        hosts.admit(&headers)
    }

    #[test]
    fn a_machines_own_names_are_those_of_loopback() {
        let hosts = Hosts::new(&[], false);
        for host in [
            "localhost",
            "LocalHost:9090",
            "localhost.",
            "app.localhost:80",
            "127.0.0.1:9090",
            "127.9.9.9",
            "[::1]:9090",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(admits(&hosts, host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "0.0.0.0:9090",
            "10.0.0.1",
            "[::2]",
            "localhost@evil.example",
            "localhost:9090:1",
            "",
        ] {
            assert!(!admits(&hosts, host), "{host}");
            assert!(admits(&Hosts::new(&[], true), host), "{host}");
        }
        assert!(hosts.admit(&HeaderMap::new()), "no browser asks like this");
    }

    #[test]
    fn other_names_are_admitted_once_they_are_named() {
        let named = [HostName::of_field("gate.internal").unwrap()];
        for is_open in [false, true] {
            let hosts = Hosts::new(&named, is_open);
            assert!(admits(&hosts, "Gate.Internal:9090"));
            assert!(admits(&hosts, "localhost"));
            assert!(!admits(&hosts, "evil.example"));
            let mut two = HeaderMap::new();
            two.append(header::HOST, HeaderValue::from_static("localhost"));
            two.append(header::HOST, HeaderValue::from_static("evil.example"));
            assert!(!hosts.admit(&two));
        }
    }
}
