//! Where calls that carry a token may go.

use url::{Host, Url};

/// A base URL that calls with a token may not go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBaseUrl {
    /// Paths cannot be added to it.
    #[error("the base URL must be http(s) with a host, without user, query and fragment")]
    Shape,
    /// Plain HTTP to another machine: anybody on the way could read the token.
    #[error("the base URL has no TLS: plain http is for this machine only")]
    PlainHttp,
}

/// Checks a base URL. `allow_http` accepts plain HTTP to other machines.
///
/// # Errors
/// [`InvalidBaseUrl`].
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

/// Whether a URL stays on this machine: there a token may travel in the clear, and no proxy is asked.
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
