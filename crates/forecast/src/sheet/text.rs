//! Bytes in, text out: encodings, and what is no text by name.

use crate::ForecastError;

/// What a file that begins with these bytes is, and what to do with it.
const FORMATS: [(&[u8], &str, &str); 10] = [
    (b"PK\x03\x04", "a zip archive, such as an .xlsx workbook", "save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "a workbook of an old spreadsheet", "save the sheet as CSV"),
    (b"\x1f\x8b", "a gzip file", "decompress it first: gunzip FILE.gz"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "decompress it first: zstd -d FILE.zst"),
    (b"BZh", "a bzip2 file", "decompress it first: bunzip2 FILE.bz2"),
    (b"\xfd7zXZ", "an xz file", "decompress it first: unxz FILE.xz"),
    (b"PAR1", "a Parquet file", "write it as CSV, as with `df.to_csv(\"runs.csv\", index=False)`"),
    (b"ARROW1", "an Arrow file", "write it as CSV, as with `df.to_csv(\"runs.csv\", index=False)`"),
    (b"\x80\x04\x95", "a Python pickle", "write it as CSV, as with `df.to_csv(\"runs.csv\", index=False)`"),
    (b"%PDF", "a PDF", "give the numbers as CSV"),
];

const AS_TEXT: &str = "save the table as CSV in UTF-8";

/// The text of `bytes`, without its byte-order mark, and what was guessed.
pub(super) fn decode(bytes: &[u8]) -> Result<(String, Option<String>), ForecastError> {
    if let Some((_, what, hint)) = FORMATS.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Err(ForecastError::NoText { what: (*what).to_owned(), hint });
    }
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err(ForecastError::NoText { what: "text in UTF-32".to_owned(), hint: AS_TEXT });
    }
    if let Some(bytes) = bytes.strip_prefix(b"\xff\xfe") {
        return utf16(bytes, u16::from_le_bytes).map(|text| (text, None));
    }
    if let Some(bytes) = bytes.strip_prefix(b"\xfe\xff") {
        return utf16(bytes, u16::from_be_bytes).map(|text| (text, None));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let nuls = |parity: usize| bytes.iter().take(1024).skip(parity).step_by(2).filter(|b| **b == 0).count();
    let half = bytes.len().min(1024) / 2;
    if half > 2 && 2 * nuls(1) > half && nuls(0) == 0 {
        return utf16(bytes, u16::from_le_bytes).map(|text| (text, Some(guessed("UTF-16"))));
    }
    if half > 2 && 2 * nuls(0) > half && nuls(1) == 0 {
        return utf16(bytes, u16::from_be_bytes).map(|text| (text, Some(guessed("UTF-16"))));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let what = format!("a byte 0 at position {at}");
        return Err(ForecastError::NoText { what, hint: AS_TEXT });
    }
    let (text, note) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (bytes.iter().map(|byte| latin1(*byte)).collect(), Some(guessed("Latin-1"))),
    };
    let start = text.trim_start().get(..5).unwrap_or_default().to_lowercase();
    if start.starts_with("<!doc") || start.starts_with("<html") {
        let hint = "download the file itself: this is a web page, perhaps a login page";
        return Err(ForecastError::NoText { what: "a web page".to_owned(), hint });
    }
    Ok((text, note))
}

fn guessed(encoding: &str) -> String {
    format!("The text is not UTF-8 and was read as {encoding}: check the names.")
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, ForecastError> {
    if !bytes.len().is_multiple_of(2) {
        let what = "text in UTF-16 that ends in the middle of a character".to_owned();
        return Err(ForecastError::NoText { what, hint: "the file may be cut off: export it again" });
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    Ok(String::from_utf16_lossy(&units))
}

/// A byte of Windows-1252, which is Latin-1 but for 32 places.
fn latin1(byte: u8) -> char {
    const UPPER: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
    match byte {
        0x80..=0x9f => UPPER.chars().nth(usize::from(byte) - 0x80).unwrap_or('\u{fffd}'),
        _ => char::from(byte),
    }
}
