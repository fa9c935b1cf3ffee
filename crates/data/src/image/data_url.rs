//! Pictures within a text, as `data:image/png;base64,…`.

/// Whether a text is a data URL, of whatever kind.
pub fn is_data_url(url: &str) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// The bytes of a data URL of a picture.
///
/// # Errors
/// What was expected instead, and what to do.
pub fn from_data_url(url: &str) -> Result<Vec<u8>, (&'static str, &'static str)> {
    let (head, text) = url
        .get(5..)
        .filter(|_| is_data_url(url))
        .and_then(|rest| rest.split_once(','))
        .ok_or(("a data URL with the picture", "nothing is fetched: write `data:image/png;base64,…`"))?;
    let head = head.to_ascii_lowercase();
    if !head.starts_with("image/") || !head.ends_with(";base64") {
        return Err(("`data:image/png;base64,` and the picture", "encode the picture as base64"));
    }
    base::base64::decode(text).ok_or(("base64", "letters, digits, `+`, `/` and at most two `=` at the end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_urls_of_pictures_are_read() {
        assert_eq!(from_data_url("DATA:image/PNG;base64,TQ==").unwrap(), b"M");
        for url in [
            "",
            "data:",
            "https://example.org/a.png",
            "file:///etc/passwd",
            "data:text/html;base64,TQ==",
            "data:image/png,TQ==",
            "data:image/png;base64,?",
        ] {
            assert!(from_data_url(url).is_err(), "{url}");
        }
    }
}
