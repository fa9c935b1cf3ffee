//! What the tests of ops and kernels share: gradient checks and hostile sizes.

use crate::{DType, Reference, Rng, Slice, SliceMut, Tape, Tensor, Var};

/// Normal numbers in f64, different for every shape.
pub(crate) fn normal(shape: &[usize]) -> Tensor {
    let stream = shape.iter().fold(17, |h, &d| h * 1009 + d as u64);
    Tensor::normal(shape, 1.0, DType::F64, &mut Rng::new(1, stream))
}

/// `Σ a·b` of two f64 tensors.
pub(crate) fn dot(a: &Tensor, b: &Tensor) -> f64 {
    f64s(a).iter().zip(f64s(b)).map(|(a, b)| a * b).sum()
}

fn f64s(x: &Tensor) -> &[f64] {
    match x.slice() {
        Slice::F64(x) => x,
        Slice::F32(_) => panic!("gradient checks run in f64"),
    }
}

/// Central difference along one random direction per input, in f64 on the reference kernels.
///
/// Two forwards per input whatever its size. The cotangent is random: `sum(y)` cannot see a softmax.
#[track_caller]
pub(crate) fn check_gradients(inputs: &[Tensor], f: impl Fn(&mut Tape, &[Var]) -> Var) {
    let mut rng = Rng::new(0, 0);
    let mut tape = Tape::recording(&Reference);
    let vars: Vec<Var> = inputs.iter().enumerate().map(|(i, x)| tape.param(x, i)).collect();
    let y = f(&mut tape, &vars);
    let dy = Tensor::normal(y.value().shape(), 1.0, DType::F64, &mut rng);
    // Gradients are added to what is there: start from something that is not zero.
    let before: Vec<Tensor> =
        inputs.iter().map(|x| Tensor::normal(x.shape(), 1.0, DType::F64, &mut rng)).collect();
    let mut grads = before.clone();
    tape.backward(&y, dy.clone(), &mut grads);

    for (i, x) in inputs.iter().enumerate() {
        let direction = Tensor::normal(x.shape(), 1.0, DType::F64, &mut rng);
        let loss = |h: f64| {
            let mut moved = x.clone();
            let SliceMut::F64(values) = moved.slice_mut() else { unreachable!("inputs are f64") };
            for (value, d) in values.iter_mut().zip(f64s(&direction)) {
                *value += h * d;
            }
            let vars: Vec<Var> = inputs
                .iter()
                .enumerate()
                .map(|(j, x)| Var::constant(if i == j { moved.clone() } else { x.clone() }))
                .collect();
            dot(&dy, f(&mut Tape::inference(&Reference), &vars).value())
        };
        let numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5;
        let analytic = dot(&grads[i], &direction) - dot(&before[i], &direction);
        let bound = GRADIENT_ABS + GRADIENT_REL * numeric.abs();
        let error = (numeric - analytic).abs();
        assert!(
            error <= bound,
            "input {i}: analytic {analytic:.12}, numeric {numeric:.12}, bound {bound:.1e}"
        );
    }
}

/// Worst seen: 1e-9 in all. A dropped mean term or a divisor off by one errs by 1e-2 and more.
const GRADIENT_ABS: f64 = 1e-8;
const GRADIENT_REL: f64 = 1e-7;

/// Sizes that break tiles: one, around the edges of tiles and lanes, primes.
pub(crate) const HOSTILE: [usize; 10] = [0, 1, 2, 11, 13, 31, 32, 33, 65, 97];

/// What stands past the end of every buffer under test and must still stand there afterwards.
const GUARD: f32 = 1234.5;
const N_GUARDS: usize = 40;

/// A buffer with guard values past its end.
pub(crate) struct Guarded {
    values: Vec<f32>,
    len: usize,
}

impl Guarded {
    /// A copy of `x`, guarded.
    pub(crate) fn new(x: &[f32]) -> Self {
        let mut values = x.to_vec();
        values.extend([GUARD; N_GUARDS]);
        Self { values, len: x.len() }
    }

    /// The buffer without its guards.
    pub(crate) fn slice_mut(&mut self) -> SliceMut<'_> {
        SliceMut::F32(&mut self.values[..self.len])
    }

    /// The values, after checking that no guard was overwritten.
    #[track_caller]
    pub(crate) fn checked(&self) -> &[f32] {
        assert!(self.values[self.len..].iter().all(|&g| g == GUARD), "a kernel wrote past its buffer");
        &self.values[..self.len]
    }
}

/// Normal numbers in f32.
pub(crate) fn normal_f32(len: usize, stream: u64) -> Vec<f32> {
    let mut rng = Rng::new(2, stream);
    (0..len).map(|_| rng.normal() as f32).collect()
}

/// Both agree to `bound`, relative to the larger of 1 and the reference.
#[track_caller]
pub(crate) fn check_close(what: &str, got: &[f32], reference: &[f32], bound: f32) {
    assert_eq!(got.len(), reference.len(), "{what}: length");
    for (i, (g, r)) in got.iter().zip(reference).enumerate() {
        let error = (g - r).abs() / r.abs().max(1.0);
        assert!(error <= bound, "{what}[{i}]: got {g}, reference {r}, off by {error:e}, bound {bound:e}");
    }
}
