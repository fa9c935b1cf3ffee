//! The gated activation; see the file of the same name in `reference/`.

use super::{
    exp::exp,
    pool::{CHUNK, Pool, Shared},
};
use crate::isa::for_each_isa;

#[track_caller]
pub(crate) fn forward(pool: &Pool, gate: &[f32], up: &[f32], y: &mut [f32]) {
    let n = y.len();
    assert!(gate.len() == n && up.len() == n, "swiglu: gate {}, up {}, y {n}", gate.len(), up.len());
    let y = Shared::new(y);
    pool.for_each_chunk(n, CHUNK, |start, len| {
        // SAFETY: chunks do not overlap.
        forward_chunk(&gate[start..][..len], &up[start..][..len], unsafe { y.part(start, len) });
    });
}

for_each_isa! {
    fn forward_chunk(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate / (1.0 + exp(-gate)) * up;
        }
    }
}

#[track_caller]
pub(crate) fn backward(
    pool: &Pool,
    gate: &[f32],
    up: &[f32],
    dy: &[f32],
    dgate: &mut [f32],
    dup: &mut [f32],
) {
    let n = gate.len();
    assert!(
        up.len() == n && dy.len() == n && dgate.len() == n && dup.len() == n,
        "swiglu: lengths differ from {n}"
    );
    let (dgate, dup) = (Shared::new(dgate), Shared::new(dup));
    pool.for_each_chunk(n, CHUNK, |start, len| {
        // SAFETY: chunks do not overlap.
        let (dgate, dup) = unsafe { (dgate.part(start, len), dup.part(start, len)) };
        backward_chunk(&gate[start..][..len], &up[start..][..len], &dy[start..][..len], dgate, dup);
    });
}

for_each_isa! {
    fn backward_chunk(gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
        let inputs = gate.iter().zip(up).zip(dy);
        for (((gate, up), dy), (dgate, dup)) in inputs.zip(dgate.iter_mut().zip(dup)) {
            let sigma = 1.0 / (1.0 + exp(-gate));
            *dgate += dy * up * sigma * (1.0 + gate * (1.0 - sigma));
            *dup += dy * gate * sigma;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, Kernels, Reference, Slice,
        testing::{Guarded, HOSTILE, check_close, normal_f32},
    };

    /// Worst seen: 0.4 of this bound. A wrong sign errs by about 1.
    const BOUND: f32 = 1e-6;

    #[test]
    fn swiglu_agrees_with_the_reference() {
        for n in HOSTILE.into_iter().chain([20_000]) {
            let mut gate = normal_f32(n, 1);
            gate.iter_mut().take(3).zip([-200.0, 200.0, -0.0]).for_each(|(gate, extreme)| *gate = extreme);
            let (up, dy) = (normal_f32(n, 2), normal_f32(n, 3));
            let run = |kernels: &dyn Kernels| {
                let mut y = Guarded::new(&vec![0.0; n]);
                let (mut dgate, mut dup) = (Guarded::new(&normal_f32(n, 4)), Guarded::new(&normal_f32(n, 5)));
                let (gate, up, dy) = (Slice::F32(&gate), Slice::F32(&up), Slice::F32(&dy));
                kernels.swiglu_forward(gate, up, y.slice_mut());
                kernels.swiglu_backward(gate, up, dy, dgate.slice_mut(), dup.slice_mut());
                [y, dgate, dup].map(|buffer| buffer.checked().to_vec())
            };
            let (got, want) = (run(&Cpu::new(2)), run(&Reference));
            for (name, (got, want)) in ["y", "dgate", "dup"].iter().zip(got.iter().zip(&want)) {
                check_close(name, got, want, BOUND);
            }
        }
    }
}
