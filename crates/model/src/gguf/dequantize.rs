//! Stored blocks to f32, to the bit as ggml's reference functions (`dequantize_row_*` in ggml-quants.c).

use tensor::{bf16, f16};

use super::Kind;

impl Kind {
    /// `bytes` of whole blocks as f32.
    ///
    /// # Panics
    /// If the lengths disagree.
    #[track_caller]
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        let (n, size) = (self.block_len(), self.block_bytes());
        assert!(
            bytes.len().is_multiple_of(size) && bytes.len() / size * n == out.len(),
            "{self:?}: {} bytes for {} elements",
            bytes.len(),
            out.len()
        );
        let block: fn(&[u8], &mut [f32]) = match self {
            Self::F32 => |b, y| y[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::F16 => |b, y| y[0] = half(b),
            Self::BF16 => |b, y| y[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::Q4_0 => q4_0,
            Self::Q4_1 => q4_1,
            Self::Q5_0 => q5_0,
            Self::Q5_1 => q5_1,
            Self::Q8_0 => q8_0,
            Self::Q4_K => q4_k,
            Self::Q5_K => q5_k,
            Self::Q6_K => q6_k,
        };
        for (bytes, out) in bytes.chunks_exact(size).zip(out.chunks_exact_mut(n)) {
            block(bytes, out);
        }
    }
}

/// The f16 that `bytes` begin with.
fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

fn q4_0(b: &[u8], y: &mut [f32]) {
    let d = half(b);
    for (j, q) in b[2..].iter().enumerate() {
        y[j] = (f32::from(q & 15) - 8.0) * d;
        y[j + 16] = (f32::from(q >> 4) - 8.0) * d;
    }
}

fn q4_1(b: &[u8], y: &mut [f32]) {
    let (d, m) = (half(b), half(&b[2..]));
    for (j, q) in b[4..].iter().enumerate() {
        y[j] = f32::from(q & 15) * d + m;
        y[j + 16] = f32::from(q >> 4) * d + m;
    }
}

/// The fifth bits of the elements `j` and `j + 16`, in place.
fn fifth_bits(high: &[u8], j: usize) -> [u8; 2] {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    [(high >> j & 1) as u8 * 16, (high >> (j + 16) & 1) as u8 * 16]
}

fn q5_0(b: &[u8], y: &mut [f32]) {
    let d = half(b);
    for (j, q) in b[6..].iter().enumerate() {
        let [first, second] = fifth_bits(&b[2..], j);
        y[j] = (f32::from(q & 15 | first) - 16.0) * d;
        y[j + 16] = (f32::from(q >> 4 | second) - 16.0) * d;
    }
}

fn q5_1(b: &[u8], y: &mut [f32]) {
    let (d, m) = (half(b), half(&b[2..]));
    for (j, q) in b[8..].iter().enumerate() {
        let [first, second] = fifth_bits(&b[4..], j);
        y[j] = f32::from(q & 15 | first) * d + m;
        y[j + 16] = f32::from(q >> 4 | second) * d + m;
    }
}

fn q8_0(b: &[u8], y: &mut [f32]) {
    let d = half(b);
    for (y, q) in y.iter_mut().zip(&b[2..]) {
        *y = f32::from(*q as i8) * d;
    }
}

/// Scale and minimum of part `j` of a K block: eight pairs of six bits in twelve bytes.
fn scale_and_min(j: usize, s: &[u8]) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (s[j] & 63, s[j + 4] & 63)
    } else {
        (s[j + 4] & 15 | s[j - 4] >> 6 << 4, s[j + 4] >> 4 | s[j] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

fn q4_k(b: &[u8], y: &mut [f32]) {
    let (d, d_min, scales) = (half(b), half(&b[2..]), &b[4..16]);
    for (part, q) in b[16..].chunks_exact(32).enumerate() {
        for (half, shift) in [(0, 0), (1, 4)] {
            let (scale, min) = scale_and_min(2 * part + half, scales);
            let (scale, min) = (d * scale, d_min * min);
            for (l, q) in q.iter().enumerate() {
                y[64 * part + 32 * half + l] = scale * f32::from(q >> shift & 15) - min;
            }
        }
    }
}

fn q5_k(b: &[u8], y: &mut [f32]) {
    let (d, d_min, scales, high) = (half(b), half(&b[2..]), &b[4..16], &b[16..48]);
    for (part, q) in b[48..].chunks_exact(32).enumerate() {
        for (half, shift) in [(0, 0), (1, 4)] {
            let (scale, min) = scale_and_min(2 * part + half, scales);
            let (scale, min) = (d * scale, d_min * min);
            for (l, q) in q.iter().enumerate() {
                let fifth = (high[l] >> (2 * part + half) & 1) * 16;
                y[64 * part + 32 * half + l] = scale * f32::from((q >> shift & 15) + fifth) - min;
            }
        }
    }
}

fn q6_k(b: &[u8], y: &mut [f32]) {
    let (low, high, scales, d) = (&b[..128], &b[128..192], &b[192..208], half(&b[208..]));
    for n in 0..2 {
        let (low, high, scales) = (&low[64 * n..], &high[32 * n..], &scales[8 * n..]);
        for l in 0..32 {
            let parts = [low[l] & 15, low[l + 32] & 15, low[l] >> 4, low[l + 32] >> 4];
            for (i, part) in parts.into_iter().enumerate() {
                let q = f32::from(part | (high[l] >> (2 * i) & 3) << 4) - 32.0;
                y[128 * n + 32 * i + l] = d * f32::from(scales[l / 16 + 2 * i] as i8) * q;
            }
        }
    }
}
