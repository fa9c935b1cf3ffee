//! Single rows and columns written into panels, where a matrix grows as it is used. They are not converted: the format
//! is that of the numbers.

use super::NR;
use crate::Slice;

/// Writes `x` as column `at` of panels of `words` words along k.
pub(crate) fn place_column(x: Slice, at: usize, panels: &mut [u32], words: usize) {
    let column = &mut panels[at / NR * words * NR + at % NR..];
    let out = column.iter_mut().step_by(NR);
    match x {
        Slice::F32(x) => out.zip(x).for_each(|(out, x)| *out = x.to_bits()),
        Slice::Bf16(x) => {
            let odd = |pair: &[half::bf16]| pair.get(1).map_or(0, |x| u32::from(x.to_bits()) << 16);
            out.zip(x.chunks(2)).for_each(|(out, pair)| *out = u32::from(pair[0].to_bits()) | odd(pair));
        }
        Slice::F64(_) => panic!("these kernels multiply in f32 or bf16, found f64"),
    }
}

/// Writes `x` as step `at` of k into panels of `words` words along k. A step that will share its words becomes 0.
pub(crate) fn place_row(x: Slice, at: usize, panels: &mut [u32], words: usize) {
    let rows = |word: usize| move |i: usize| (i * words + word) * NR;
    match x {
        Slice::F32(x) => {
            for (panel, x) in x.chunks(NR).enumerate() {
                let out = &mut panels[rows(at)(panel)..];
                out.iter_mut().zip(x).for_each(|(out, x)| *out = x.to_bits());
            }
        }
        Slice::Bf16(x) => {
            for (panel, x) in x.chunks(NR).enumerate() {
                let out =
                    panels[rows(at / 2)(panel)..].iter_mut().zip(x.iter().map(|x| u32::from(x.to_bits())));
                match at % 2 {
                    0 => out.for_each(|(out, x)| *out = x),
                    _ => out.for_each(|(out, x)| *out = *out & 0xffff | x << 16),
                }
            }
        }
        Slice::F64(_) => panic!("these kernels multiply in f32 or bf16, found f64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::cpu::gemm::{Format, Operand, pack_alone},
        testing::{normal_bf16, normal_f32},
    };

    /// Rows of a matrix placed one by one are the matrix packed, along k and across it.
    #[test]
    fn what_is_placed_is_what_is_packed() {
        for (rows, width) in [(1, 1), (5, 3), (64, 33), (40, 64)] {
            let (floats, halves) = (normal_f32(rows * width, 1), normal_bf16(rows * width, 2));
            for (format, x) in [(Format::F32, Slice::F32(&floats)), (Format::Bf16, Slice::Bf16(&halves))] {
                let row = |i: usize| match x {
                    Slice::F32(x) => Slice::F32(&x[i * width..][..width]),
                    Slice::Bf16(x) => Slice::Bf16(&x[i * width..][..width]),
                    Slice::F64(_) => unreachable!(),
                };
                let mut columns = vec![0; format.packed_len(width, rows)];
                let mut want = columns.clone();
                pack_alone(format, Operand::depth(x, width), width, rows, &mut want);
                (0..rows).for_each(|i| place_column(row(i), i, &mut columns, format.words(width)));
                assert_eq!(columns, want, "{rows} columns of {width} in {format:?}");

                let mut steps = vec![0; format.packed_len(rows, width)];
                let mut want = steps.clone();
                pack_alone(format, Operand::outer(x, width), rows, width, &mut want);
                (0..rows).for_each(|i| place_row(row(i), i, &mut steps, format.words(rows)));
                // Where there is no column, words are of no account.
                let column = |i: usize| i / NR / format.words(rows) * NR + i % NR;
                for (i, (got, want)) in
                    steps.iter().zip(&want).enumerate().filter(|(i, _)| column(*i) < width)
                {
                    assert_eq!(got, want, "word {i}, {rows} steps of {width} in {format:?}");
                }
            }
        }
    }
}
