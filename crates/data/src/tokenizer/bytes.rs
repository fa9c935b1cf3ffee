//! The characters under which byte-level vocabularies write bytes.

/// GPT-2's printable character for every byte: itself where it is printable in Latin-1, else from U+0100 on.
pub(super) fn byte_chars() -> [char; 256] {
    let mut n_moved = 0;
    std::array::from_fn(|byte| {
        let own = char::from(byte as u8);
        match own {
            '!'..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{ff}' => own,
            _ => {
                n_moved += 1;
                char::from_u32(0xff + n_moved).expect("256 characters from U+0100 exist")
            }
        }
    })
}
