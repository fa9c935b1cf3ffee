//! What the tests of ops and kernels share: gradient checks and hostile sizes.

use half::bf16;

use base::Rng;

use crate::{DType, Reference, Slice, SliceMut, Tape, Tensor, Var, arena::Number};

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
        other => panic!("gradient checks run in f64, found {:?}", other.dtype()),
    }
}

/// Central difference along one random direction per input, in f64 on the reference kernels.
///
/// Two forwards per input whatever its size. The cotangent is random: `sum(y)` cannot see a softmax.
#[track_caller]
pub(crate) fn check_gradients(inputs: &[Tensor], f: impl Fn(&mut Tape, &[Var]) -> Var) {
    let run = |inputs: &[Tensor]| {
        let vars: Vec<Var> = inputs.iter().cloned().map(Var::constant).collect();
        f(&mut Tape::inference(&Reference), &vars).value().clone()
    };
    let dy = Tensor::normal(run(inputs).shape(), 1.0, DType::F64, &mut Rng::new(0, 1));
    let gradients = |grads: &mut [Tensor]| {
        let mut tape = Tape::recording(&Reference);
        let vars: Vec<Var> = inputs.iter().enumerate().map(|(i, x)| tape.param(x, i)).collect();
        let y = f(&mut tape, &vars);
        tape.backward(&y, dy.clone(), grads);
    };
    check_loss_gradients(inputs, |inputs| dot(&dy, &run(inputs)), gradients);
}

/// As [`check_gradients`], of what ends in one number: `gradients` adds those of `loss` at `inputs`.
#[track_caller]
pub(crate) fn check_loss_gradients(
    inputs: &[Tensor],
    loss: impl Fn(&[Tensor]) -> f64,
    gradients: impl FnOnce(&mut [Tensor]),
) {
    let mut rng = Rng::new(0, 0);
    // Gradients are added to what is there: start from something that is not zero.
    let before: Vec<Tensor> =
        inputs.iter().map(|x| Tensor::normal(x.shape(), 1.0, DType::F64, &mut rng)).collect();
    let mut grads = before.clone();
    gradients(&mut grads);

    for (i, x) in inputs.iter().enumerate() {
        let direction = Tensor::normal(x.shape(), 1.0, DType::F64, &mut rng);
        let moved_loss = |h: f64| {
            let mut inputs = inputs.to_vec();
            let SliceMut::F64(values) = inputs[i].slice_mut() else { panic!("gradient checks run in f64") };
            for (value, d) in values.iter_mut().zip(f64s(&direction)) {
                *value += h * d;
            }
            loss(&inputs)
        };
        let numeric = (moved_loss(1e-5) - moved_loss(-1e-5)) / 2e-5;
        let analytic = dot(&grads[i], &direction) - dot(&before[i], &direction);
        let bound = GRADIENT_ABS + GRADIENT_REL * numeric.abs();
        let error = (numeric - analytic).abs();
        assert!(
            error <= bound,
            "input {i}: analytic {analytic:.12}, numeric {numeric:.12}, bound {bound:.1e}"
        );
    }
}

/// Worst seen: 1.5 % of the bound for one op, 6 % through two blocks. A dropped mean term or a divisor off by one
/// errs by 1e-2 and more.
const GRADIENT_ABS: f64 = 1e-8;
const GRADIENT_REL: f64 = 1e-7;

/// Sizes that break tiles: one, around the edges of tiles and lanes, primes.
pub(crate) const HOSTILE: [usize; 10] = [0, 1, 2, 11, 13, 31, 32, 33, 65, 97];

const N_GUARDS: usize = 40;

/// What a buffer under test is made of.
pub(crate) trait Element: Number + PartialEq {
    /// What stands past the end of every buffer under test and must still stand there afterwards.
    const GUARD: Self;

    fn slice_mut(values: &mut [Self]) -> SliceMut<'_>;
}

impl Element for f32 {
    const GUARD: Self = 1234.5;

    fn slice_mut(values: &mut [Self]) -> SliceMut<'_> {
        SliceMut::F32(values)
    }
}

impl Element for bf16 {
    const GUARD: Self = Self::from_f32_const(1232.0);

    fn slice_mut(values: &mut [Self]) -> SliceMut<'_> {
        SliceMut::Bf16(values)
    }
}

/// A buffer with guard values past its end.
pub(crate) struct Guarded<E> {
    values: Vec<E>,
    len: usize,
}

impl<E: Element> Guarded<E> {
    /// A copy of `x`, guarded.
    pub(crate) fn new(x: &[E]) -> Self {
        let mut values = x.to_vec();
        values.extend([E::GUARD; N_GUARDS]);
        Self { values, len: x.len() }
    }

    /// The buffer without its guards.
    pub(crate) fn slice_mut(&mut self) -> SliceMut<'_> {
        E::slice_mut(&mut self.values[..self.len])
    }

    /// The values, after checking that no guard was overwritten.
    #[track_caller]
    pub(crate) fn checked(&self) -> &[E] {
        assert!(self.values[self.len..].iter().all(|&g| g == E::GUARD), "a kernel wrote past its buffer");
        &self.values[..self.len]
    }
}

/// Normal numbers in f32.
pub(crate) fn normal_f32(len: usize, stream: u64) -> Vec<f32> {
    let mut rng = Rng::new(2, stream);
    (0..len).map(|_| rng.normal() as f32).collect()
}

/// Normal numbers in bf16: those of [`normal_f32`], rounded.
pub(crate) fn normal_bf16(len: usize, stream: u64) -> Vec<bf16> {
    normal_f32(len, stream).into_iter().map(bf16::from_f32).collect()
}

/// The same numbers, exactly, in f32.
pub(crate) fn widen(x: &[bf16]) -> Vec<f32> {
    x.iter().map(|x| x.to_f32()).collect()
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
