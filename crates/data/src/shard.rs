//! Token shards: documents as ids, in files that are mapped into memory.
//!
//! A shard is a header, then the payload: tokens, zeros up to a multiple of 8 bytes, document offsets, image
//! references. Everything is little-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `MAQTOKEN` |
//! | 8 | 4 | format version: 1 |
//! | 12 | 4 | bytes per token: 2 when the vocabulary has at most 65,536 ids, else 4 |
//! | 16 | 8 | number of tokens |
//! | 24 | 8 | number of documents |
//! | 32 | 8 | number of image references: 0 in version 1, its place is kept |
//! | 40 | 8 | bytes of text |
//! | 48 | 16 | tokenizer fingerprint |
//! | 64 | 16 | xxh3-128 of the payload |
//! | 80 | 8 | xxh3-64 of the 80 bytes above |
//! | 88 | … | tokens |
//! | | | `n_documents + 1` offsets (`u64`) in tokens: the first 0, the last the number of tokens |
//! | | | image references, 16 bytes each: token offset (`u64`), image (`u64`) |
//!
//! A document of n tokens is stored as `<|endoftext|> t₀ … tₙ₋₁ <|endoftext|>` (with the names of another model's tokens
//! where its tokenizer is used; before the first stands its begin of text where its texts have one): all but the last are
//! inputs, all but the first are targets, so every input has a target of its own document.

mod reader;
mod set;
mod writer;

pub use reader::TokenShard;
pub(crate) use set::ShardSet;
pub(crate) use writer::ShardWriter;

use base::hash::xxh3_64;

const MAGIC: [u8; 8] = *b"MAQTOKEN";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 88;
const IMAGE_BYTES: u64 = 16;

/// The fields of a header behind magic and version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    token_bytes: u32,
    n_tokens: u64,
    n_documents: u64,
    n_images: u64,
    n_text_bytes: u64,
    tokenizer: u128,
    checksum: u128,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.token_bytes.to_le_bytes());
        for count in [self.n_tokens, self.n_documents, self.n_images, self.n_text_bytes] {
            bytes.extend(count.to_le_bytes());
        }
        bytes.extend(self.tokenizer.to_le_bytes());
        bytes.extend(self.checksum.to_le_bytes());
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes.try_into().expect("the fields add up to the header")
    }

    /// Reads a header; what was expected and what was found when it is none.
    fn parse(bytes: &[u8]) -> Result<Self, (String, String)> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err((format!("a header of {HEADER_BYTES} bytes"), format!("{} bytes", bytes.len())));
        };
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let u128_at = |at: usize| u128::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if bytes[..8] != MAGIC {
            return Err(("a token shard".to_owned(), "another kind of file".to_owned()));
        }
        if u32_at(8) != VERSION {
            return Err((format!("format {VERSION}"), format!("format {}", u32_at(8))));
        }
        if u64_at(80) != xxh3_64(&bytes[..80]) {
            return Err(("a whole header".to_owned(), "one that does not fit its checksum".to_owned()));
        }
        let header = Self {
            token_bytes: u32_at(12),
            n_tokens: u64_at(16),
            n_documents: u64_at(24),
            n_images: u64_at(32),
            n_text_bytes: u64_at(40),
            tokenizer: u128_at(48),
            checksum: u128_at(64),
        };
        if !matches!(header.token_bytes, 2 | 4) {
            return Err(("2 or 4 bytes per token".to_owned(), header.token_bytes.to_string()));
        }
        if header.n_images != 0 {
            return Err(("no images in format 1".to_owned(), header.n_images.to_string()));
        }
        Ok(header)
    }

    /// Where the document offsets begin, and the size of the whole file; none when they overflow.
    fn layout(&self) -> Option<(u64, u64)> {
        let tokens = self.n_tokens.checked_mul(u64::from(self.token_bytes))?;
        let offsets = tokens.checked_add(HEADER_BYTES as u64)?.checked_next_multiple_of(8)?;
        let images = self.n_documents.checked_add(1)?.checked_mul(8)?.checked_add(offsets)?;
        Some((offsets, self.n_images.checked_mul(IMAGE_BYTES)?.checked_add(images)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        DataError, Split, Tokenizer,
        testing::{numbered, tokenizer, write_shard},
    };

    fn open(bytes: &[u8]) -> Result<TokenShard, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tokens");
        std::fs::write(&path, bytes).unwrap();
        TokenShard::open(&path, &tokenizer())
    }

    fn write(documents: &[Vec<u32>]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tokens");
        write_shard(&path, documents, Split::Train, 0);
        std::fs::read(&path).unwrap()
    }

    /// With its header's checksum made right again.
    fn reseal(mut bytes: Vec<u8>) -> Vec<u8> {
        let checksum = base::hash::xxh3_128(&bytes[HEADER_BYTES..]).to_le_bytes();
        bytes[64..80].copy_from_slice(&checksum);
        let seal = xxh3_64(&bytes[..80]).to_le_bytes();
        bytes[80..88].copy_from_slice(&seal);
        bytes
    }

    #[test]
    fn the_format_is_fixed() {
        let bytes = write(&[vec![272, 273], vec![4095]]);
        assert_eq!(bytes.len(), 88 + 16 + 24); // seven tokens and two bytes, three offsets
        assert_eq!(bytes[..16], *b"MAQTOKEN\x01\0\0\0\x02\0\0\0");
        assert_eq!(bytes[88..104], [0, 0, 0x10, 1, 0x11, 1, 0, 0, 0, 0, 0xff, 0xf, 0, 0, 0, 0]);
        assert_eq!(
            bytes[104..],
            [[0u8, 0, 0, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0, 0, 0]].concat()
        );
    }

    proptest! {
        #[test]
        fn documents_come_back(documents in vec(vec(16u32..4368, 0..20), 0..8)) {
            let shard = open(&write(&documents)).unwrap();
            prop_assert_eq!(shard.n_documents(), documents.len() as u64);
            for (i, document) in (0..).zip(&documents) {
                let mut ids = Vec::new();
                shard.read(i, 0, document.len() + 2, &mut ids);
                prop_assert_eq!(ids, [&[0], &document[..], &[0]].concat());
                prop_assert_eq!(shard.n_inputs(i), document.len() as u64 + 1);
            }
        }

        /// Checksums made right, nothing else: every read stays inside.
        #[test]
        fn resealed_damage_is_refused_or_harmless(flips in vec((0usize..160, any::<u8>()), 1..4)) {
            let mut bytes = write(&numbered(&[3, 0, 12]));
            for (at, byte) in flips {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(shard) = open(&reseal(bytes)) {
                for i in 0..shard.n_documents() {
                    shard.read(i, 0, shard.n_inputs(i) as usize + 1, &mut Vec::new());
                }
            }
        }

        #[test]
        fn random_bytes_are_refused(bytes in vec(any::<u8>(), 0..300)) {
            prop_assert!(open(&bytes).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let whole = write(&numbered(&[3, 1]));
        assert!(open(&whole).is_ok());
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(open(&bytes).is_err(), "byte {at}");
            assert!(open(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn refusals_say_what_was_expected_and_found() {
        let whole = write(&numbered(&[3, 1]));
        let check = |bytes: &[u8], expected: &str| {
            let error = open(bytes).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("\nhint: "), "{error}");
        };
        check(&[b"NOTTOKEN", &whole[8..]].concat(), "expected a token shard in");
        check(&[&whole[..8], &[2, 0, 0, 0], &whole[12..]].concat(), "expected format 1 in");
        check(&whole[..whole.len() - 1], "expected 128 bytes in");
        check(&[&whole[..], b"x"].concat(), "found 129 bytes");
        let mut large = whole.clone();
        large[92..94].copy_from_slice(&[0xff, 0xff]);
        check(&reseal(large), "expected ids below 4368 in");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tokens");
        std::fs::write(&path, &whole).unwrap();
        let error = TokenShard::open(&path, &Tokenizer::bytes()).unwrap_err();
        assert!(matches!(error, DataError::TokenizerMismatch { .. }), "{error}");
    }

    /// Above 65,536 ids a token takes four bytes.
    #[test]
    fn large_vocabularies_are_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tokens");
        let fingerprint = u128::from_str_radix(tokenizer().fingerprint(), 16).unwrap();
        let mut writer = ShardWriter::create(&path, 65_537, [0, 0], fingerprint).unwrap();
        writer.push(&[300, 301], 4).unwrap();
        writer.finish().unwrap();
        let shard = TokenShard::open(&path, &tokenizer()).unwrap();
        let mut ids = Vec::new();
        shard.read(0, 0, 4, &mut ids);
        assert_eq!((ids, std::fs::metadata(&path).unwrap().len()), (vec![0, 300, 301, 0], 88 + 16 + 16));
    }
}
