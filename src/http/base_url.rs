//! Checks the base URLs of calls that carry a token.

use url::{Host, Url};

/// The reason why a base URL is refused for calls with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBaseUrl {
    /// The URL has no host, another scheme than `http` or `https`, or a user, query or fragment: correct it.
    #[error("invalid base URL: not http(s) with a host, or with a user, query or fragment")]
    Shape,
    /// The URL is plain HTTP to another machine, where anybody on the way could read the token: use `https`.
    #[error("base URL without TLS: plain http is for this machine only")]
    PlainHttp,
}

/// Checks a base URL. `allow_http` accepts plain HTTP to other machines.
pub(crate) fn check_base_url(url: &Url, allow_http: bool) -> Result<(), InvalidBaseUrl> {
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !bare || !url.has_host() {
        return Err(InvalidBaseUrl::Shape);
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) || allow_http => Ok(()),
        "http" => Err(InvalidBaseUrl::PlainHttp),
        _ => Err(InvalidBaseUrl::Shape),
    }
}

/// Whether a URL stays on this machine. Such calls may go without TLS, and past any proxy.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_url_that_would_leak_a_token_is_refused() {
        let check = |text: &str, allow_http| check_base_url(&Url::parse(text).unwrap(), allow_http);
        for odd in [
            "mailto:a@b",
            "ftp://a/",
            "ftp://localhost/",
            "https://u@a/",
            "https://u:p@a/",
            "https://a/?x=1",
            "https://a/#f",
            "data:x",
        ] {
            assert_eq!(check(odd, true), Err(InvalidBaseUrl::Shape), "{odd}");
        }
        for good in
            ["https://a", "https://a/prefix/", "http://127.0.0.1:9/x", "http://[::1]:9", "http://localhost"]
        {
            assert_eq!(check(good, false), Ok(()), "{good}");
        }
        assert_eq!(check("http://graph.facebook.com", false), Err(InvalidBaseUrl::PlainHttp));
        assert_eq!(check("http://sim:8080", true), Ok(()));
    }
}
