//! Bodies of `multipart/form-data`: fields, and a file of which only name, type and size are used.

use serde_json::{Value, json};

use super::params::Params;

/// The most parts of one body.
const MOST: usize = 100;

/// The boundary of the parts, if the content type is `multipart/form-data`.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = attribute(rest, "boundary")?;
    (1..=200).contains(&boundary.len()).then_some(boundary)
}

/// Adds the parts of a body; `None` if it has another form.
pub(super) fn add(params: &mut Params, boundary: &str, body: &[u8]) -> Option<()> {
    let line = format!("--{boundary}");
    let mut rest = after(body, line.as_bytes())?;
    let inner = format!("\r\n{line}");
    for _ in 0..MOST {
        if rest.starts_with(b"--") {
            return Some(());
        }
        // White space may follow a boundary.
        rest = after(rest, b"\r\n")?;
        let end = find(rest, inner.as_bytes())?;
        let (part, next) = rest.split_at(end);
        rest = &next[inner.len()..];
        let (name, value) = read(part)?;
        params.insert(name, value);
    }
    None
}

fn read(part: &[u8]) -> Option<(String, Value)> {
    let end = find(part, b"\r\n\r\n")?;
    let (head, content) = (std::str::from_utf8(&part[..end]).ok()?, &part[end + 4..]);
    let header = |wanted: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let (_, disposition) = header("content-disposition")?.split_once(';')?;
    let name = attribute(disposition, "name")?.to_owned();
    let file = attribute(disposition, "filename");
    if file.is_none() && name != "filedata" {
        return Some((name, Value::String(String::from_utf8_lossy(content).into_owned())));
    }
    let kind = header("content-type").unwrap_or("application/octet-stream");
    let file = json!({"name": file.unwrap_or_default(), "type": kind, "size": content.len()});
    Some((name, file))
}

/// The value of an attribute such as `name="message"`, with or without quotes.
fn attribute<'a>(attributes: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = attributes;
    loop {
        let (name, value) = rest.trim_start_matches([';', ' ', '\t']).split_once('=')?;
        let (value, next) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_once(';').unwrap_or((value, "")),
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value.trim());
        }
        rest = next;
    }
}

fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    Some(&text[find(text, mark)? + mark.len()..])
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(body: &str) -> Option<Params> {
        let mut params = Params::new();
        add(&mut params, "XX", body.replace('\n', "\r\n").as_bytes()).map(|()| params)
    }

    #[test]
    fn multipart_fields_and_files() {
        let body = concat!(
            "--XX\nContent-Disposition: form-data; name=\"message\"\n\n{\"text\":\"a\n--X\"}\n",
            "--XX\ncontent-type: image/png\ncontent-disposition: form-data; filename=\"a;b.png\"; name=filedata\n\n\u{e4}\0\n",
            "--XX\nContent-Disposition: form-data; name=\"empty\"\n\n\n--XX--\n"
        );
        let params = params(body).unwrap();
        assert_eq!(params["message"], "{\"text\":\"a\r\n--X\"}");
        assert_eq!(params["filedata"], json!({"name": "a;b.png", "type": "image/png", "size": 3}));
        assert_eq!(params["empty"], "");
    }

    #[test]
    fn multipart_that_is_cut_or_wrong_is_refused() {
        for body in [
            "",
            "x",
            "--XX",
            "--XX\n",
            "--XX\nContent-Disposition: form-data; name=\"a\"\n\nb",
            "--XX\n\nb\n--XX--",
            "--XX\nContent-Disposition: form-data\n\nb\n--XX--",
            "--XX\nContent-Disposition: form-data; name\n\nb\n--XX--",
        ] {
            assert!(params(body).is_none(), "{body}");
        }
        let part = "--XX\nContent-Disposition: form-data; name=\"a\"\n\nb\n";
        assert!(params(&format!("{}--XX--", part.repeat(MOST + 1))).is_none());
        assert!(params("--XX--").is_some());
    }

    #[test]
    fn multipart_boundaries() {
        assert_eq!(boundary("multipart/form-data; boundary=XX"), Some("XX"));
        assert_eq!(boundary("Multipart/Form-Data; charset=utf-8; boundary=\"X X\""), Some("X X"));
        for other in
            ["multipart/form-data", "multipart/form-data; boundary=", "application/json; boundary=XX"]
        {
            assert_eq!(boundary(other), None);
        }
    }
}
