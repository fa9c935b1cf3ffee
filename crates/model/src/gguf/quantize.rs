//! f32 to stored blocks, to the bit as ggml's reference functions (`quantize_row_*_ref` in ggml-quants.c).

use tensor::{bf16, f16};

use super::Kind;

impl Kind {
    /// Kinds that are written; the others are read alone.
    pub const WRITTEN: [Self; 5] = [Self::F32, Self::F16, Self::BF16, Self::Q8_0, Self::Q4_0];

    /// Appends `values` to `out`, in whole blocks.
    ///
    /// # Errors
    /// The first number that this kind cannot hold: one beyond f16's range, in a block whose scale is an f16 too.
    ///
    /// # Panics
    /// If the values are no whole number of blocks, or the kind is not one of [`Kind::WRITTEN`].
    #[track_caller]
    pub fn quantize(self, values: &[f32], out: &mut Vec<u8>) -> Result<(), f32> {
        assert!(values.len().is_multiple_of(self.block_len()), "{} values in {self:?}", values.len());
        match self {
            Self::F32 => values.iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::F16 => {
                for x in values {
                    out.extend(half(*x)?.to_le_bytes());
                }
            }
            Self::BF16 => values.iter().for_each(|x| out.extend(bf16::from_f32(*x).to_le_bytes())),
            Self::Q8_0 => {
                for block in values.chunks_exact(32) {
                    q8_0(block, out)?;
                }
            }
            Self::Q4_0 => {
                for block in values.chunks_exact(32) {
                    q4_0(block, out)?;
                }
            }
            other => panic!("{other:?} is read, not written"),
        }
        Ok(())
    }
}

/// Rounds to the nearest f16; what overflows is handed back.
fn half(x: f32) -> Result<f16, f32> {
    let half = f16::from_f32(x);
    if half.is_finite() { Ok(half) } else { Err(x) }
}

/// 1/d, or 0 where all is zero.
fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Scale `d = max|x| / 127`, then `round(x / d)` as i8.
fn q8_0(block: &[f32], out: &mut Vec<u8>) -> Result<(), f32> {
    let d = block.iter().fold(0.0f32, |max, x| max.max(x.abs())) / 127.0;
    out.extend(half(d)?.to_le_bytes());
    let inverse = inverse(d);
    out.extend(block.iter().map(|x| (x * inverse).round() as i8 as u8));
    Ok(())
}

/// Scale `d = x* / −8` for the `x*` farthest from zero, then `x / d + 8` in four bits: element `j` low, `j + 16` high.
fn q4_0(block: &[f32], out: &mut Vec<u8>) -> Result<(), f32> {
    let farthest = block.iter().fold(0.0f32, |max, x| if x.abs() > max.abs() { *x } else { max });
    let d = farthest / -8.0;
    out.extend(half(d)?.to_le_bytes());
    let inverse = inverse(d);
    let four_bits = |x: f32| ((x * inverse + 8.5) as i8).min(15) as u8;
    let (low, high) = block.split_at(16);
    out.extend(low.iter().zip(high).map(|(low, high)| four_bits(*low) | four_bits(*high) << 4));
    Ok(())
}
