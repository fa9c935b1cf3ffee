//! The chunks of a PNG that decide its pixels.

/// Chunks that are kept: header, palette, transparency, pixels, orientation, end.
const KEPT: [&[u8; 4]; 6] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"];
const SIGNATURE: usize = 8;

/// The PNG without comments, colour profiles and further frames: compressed ones can unpack to a thousand times their
/// size before the first pixel is read. What follows a broken chunk is kept as it is, for the decoder to refuse.
pub(super) fn essential(png: &[u8]) -> Vec<u8> {
    let (signature, mut rest) = png.split_at(SIGNATURE.min(png.len()));
    let mut kept = Vec::with_capacity(png.len());
    kept.extend_from_slice(signature);
    while let [a, b, c, d, kind @ ..] = rest {
        // Length, kind, content, checksum.
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize + 12;
        let Some(chunk) = rest.get(..len) else { break };
        if KEPT.iter().any(|name| kind.starts_with(*name)) {
            kept.extend_from_slice(chunk);
        }
        rest = &rest[len..];
    }
    kept.extend_from_slice(rest);
    kept
}
