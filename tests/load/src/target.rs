//! Where a run is aimed: a `ws://` address, on this machine only.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// A WebSocket endpoint on a loopback address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    address: SocketAddr,
    host: String,
    resource: String,
    /// Where connections come from, if that is not the kernel's choice.
    source: Option<IpAddr>,
}

impl Target {
    /// The endpoint `resource` (path and query) of the server at `address`.
    ///
    /// # Errors
    /// When `address` is not a loopback address.
    pub fn new(address: SocketAddr, resource: &str) -> Result<Self> {
        refuse_remote(address)?;
        ensure!(
            resource.starts_with('/'),
            "the path {resource:?} must start with '/'"
        );
        Ok(Self {
            address,
            host: address.to_string(),
            resource: resource.to_owned(),
            source: None,
        })
    }

    /// The address to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of the `Host` header.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path and query.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The address connections come from, if it is not the kernel's choice.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// The endpoint for connections from `source`: each address has ports of its own.
    #[must_use]
    pub fn from_source(&self, source: IpAddr) -> Self {
        Self {
            source: Some(source),
            ..self.clone()
        }
    }

    /// The endpoint with each `{name}` in its path replaced by `value`.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let resource = self.resource.replace(&format!("{{{name}}}"), value);
        Self {
            resource,
            ..self.clone()
        }
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> Result<Self> {
        let (host, resource) = split(url, "ws://")?;
        let address = resolve(host)?;
        let target = Self::new(address, &resource)?;
        Ok(Self {
            host: host.to_owned(),
            ..target
        })
    }
}

/// Cuts `url` into host with port, and path with query ("/" when there is none).
pub(crate) fn split<'a>(url: &'a str, scheme: &str) -> Result<(&'a str, String)> {
    let Some(rest) = url.strip_prefix(scheme) else {
        bail!("the url {url:?} must start with {scheme}");
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, resource) = rest.split_at(end);
    let slash = if resource.starts_with('/') { "" } else { "/" };
    Ok((host, format!("{slash}{resource}")))
}

/// The loopback address that `host:port` names.
pub(crate) fn resolve(host: &str) -> Result<SocketAddr> {
    let with_port = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let found: Vec<_> = with_port
        .to_socket_addrs()
        .with_context(|| format!("failed to resolve {host:?}; give an address as 127.0.0.1:8080"))?
        .collect();
    // "localhost" may be both ::1 and 127.0.0.1; servers on this machine mostly listen on the latter.
    let address = found.iter().find(|a| a.is_ipv4()).or(found.first());
    let address = *address.with_context(|| format!("{host:?} has no address"))?;
    refuse_remote(address)?;
    Ok(address)
}

fn refuse_remote(address: SocketAddr) -> Result<()> {
    ensure!(
        address.ip().is_loopback(),
        "refusing to load {address}: only loopback addresses are allowed, run the generator on the server's machine"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_into_address_host_and_resource() {
        let target: Target = "ws://127.0.0.1:8080/rooms/{room}?a=1".parse().unwrap();
        assert_eq!(target.address(), "127.0.0.1:8080".parse().unwrap());
        assert_eq!(target.host(), "127.0.0.1:8080");
        assert_eq!(target.with("room", "7").resource(), "/rooms/7?a=1");
        let bare: Target = "ws://localhost:81".parse().unwrap();
        assert_eq!((bare.resource(), bare.address().port()), ("/", 81));
        let six: Target = "ws://[::1]?q".parse().unwrap();
        assert_eq!((six.resource(), six.address().port()), ("/?q", 80));
    }

    #[test]
    fn addresses_of_other_machines_are_refused() {
        for url in ["ws://10.0.0.1:80/", "ws://0.0.0.0:80/", "ws://192.0.2.7/"] {
            let error = url.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains("only loopback"), "{url}: {error}");
        }
        assert!("wss://127.0.0.1/".parse::<Target>().is_err());
        assert!("http://127.0.0.1/".parse::<Target>().is_err());
    }
}
