//! The operations that `maquette bench kernels` calls: what each is given, and what is counted of it.

use base::Rng;
use tensor::{
    AttentionShape, DType, Kernels as _, Segment, Tensor,
    kernel::{AdamW, CrossEntropyGrads, Muon, Packed, Rows, Weight, WeightGrad},
};

use super::timing::{Bench, Sizes, Work};

/// In the order in which a step of training meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Operation {
    Embedding,
    Rmsnorm,
    HeadNorm,
    Rope,
    Attention,
    Swiglu,
    Linear,
    Square,
    SingleRow,
    CrossEntropy,
    AddScaled,
    SumOfSquares,
    Adamw,
    Muon,
}

impl Operation {
    pub(super) fn measure(self, bench: &mut Bench) {
        match self {
            Self::Embedding => embedding(bench),
            Self::Rmsnorm => rmsnorm(bench),
            Self::HeadNorm => head_norm(bench),
            Self::Rope => rope(bench),
            Self::Attention => attention(bench),
            Self::Swiglu => swiglu(bench),
            Self::Linear => linear(bench),
            Self::Square => square(bench),
            Self::SingleRow => single_row(bench),
            Self::CrossEntropy => cross_entropy(bench),
            Self::AddScaled => add_scaled(bench),
            Self::SumOfSquares => sum_of_squares(bench),
            Self::Adamw => adamw(bench),
            Self::Muon => muon(bench),
        }
    }
}

const F32: DType = DType::F32;

/// Normal numbers; the same few again and again, since drawing takes longer than what is measured.
fn normal(shape: &[usize], dtype: DType) -> Tensor {
    let mut rng = Rng::new(0, 0);
    let drawn: Vec<f32> = (0..4099).map(|_| rng.normal() as f32).collect();
    let len = shape.iter().product();
    Tensor::from_f32(shape, drawn.into_iter().cycle().take(len).collect()).to_dtype(dtype)
}

fn ones(shape: &[usize]) -> Tensor {
    Tensor::from_f32(shape, vec![1.0; shape.iter().product()])
}

fn ids(n: usize, vocab_size: usize) -> Vec<u32> {
    let mut rng = Rng::new(0, 1);
    (0..n).map(|_| rng.below(vocab_size as u64) as u32).collect()
}

fn size(tensor: &Tensor) -> f64 {
    (tensor.len() * tensor.dtype().size()) as f64
}

/// Each tensor as often as it passes: twice where it is read and written.
fn bytes(passes: &[&Tensor]) -> Work {
    Work::Bytes(passes.iter().map(|tensor| size(tensor)).sum())
}

fn embedding(bench: &mut Bench) {
    let (kernels, Sizes { tokens, vocab_size, .. }) = (bench.kernels, bench.sizes);
    let c = bench.sizes.d_model();
    let (ids, mut table, mut y) =
        (ids(tokens, vocab_size), normal(&[vocab_size, c], F32), normal(&[tokens, c], F32));
    let case = format!("{tokens} of [{vocab_size}, {c}]");
    // Of the table only the rows that are asked for.
    bench.measure("embedding_forward", case.clone(), bytes(&[&y, &y]), || {
        kernels.embedding_forward(&ids, table.slice(), y.slice_mut());
    });
    bench.measure("embedding_backward", case, bytes(&[&y, &y, &y]), || {
        kernels.embedding_backward(&ids, y.slice(), table.slice_mut());
    });
}

fn rmsnorm(bench: &mut Bench) {
    let (kernels, tokens, c) = (bench.kernels, bench.sizes.tokens, bench.sizes.d_model());
    let (x, gain) = (normal(&[tokens, c], F32), ones(&[c]));
    let (mut y, mut rstd) = (normal(&[tokens, c], bench.dtype), ones(&[tokens]));
    let case = format!("[{tokens}, {c}]");
    bench.measure("rmsnorm_forward", case.clone(), bytes(&[&x, &gain, &y, &rstd]), || {
        kernels.rmsnorm_forward(x.slice(), gain.slice(), 1e-6, y.slice_mut(), rstd.slice_mut());
    });
    let (dy, mut dx, mut dgain) = (y, x.clone(), ones(&[c]));
    let work = bytes(&[&x, &gain, &rstd, &dy, &dx, &dx, &dgain, &dgain]);
    bench.measure("rmsnorm_backward", case, work, || {
        let (dx, dgain) = (dx.slice_mut(), dgain.slice_mut());
        kernels.rmsnorm_backward(x.slice(), gain.slice(), rstd.slice(), dy.slice(), dx, dgain);
    });
}

fn head_norm(bench: &mut Bench) {
    let (kernels, tokens, shape) = (bench.kernels, bench.sizes.tokens, bench.sizes.attention());
    let x = normal(&[tokens, shape.qkv_width()], bench.dtype);
    let (mut y, gain) = (x.clone(), ones(&[shape.d_head]));
    let mut rstd = ones(&[tokens, shape.n_heads + shape.n_kv_heads]);
    let case = format!("[{tokens}, {}]", shape.qkv_width());
    bench.measure("head_norm_forward", case.clone(), bytes(&[&x, &y, &rstd]), || {
        let (y, rstd) = (y.slice_mut(), rstd.slice_mut());
        kernels.head_norm_forward(x.slice(), gain.slice(), gain.slice(), 1e-6, shape, y, rstd);
    });
    // In place, again and again: with other statistics than of ones the gradient would vanish or overflow.
    let (rstd, mut d) = (ones(rstd.shape()), x.clone());
    let [mut dq_gain, mut dk_gain] = [ones(&[shape.d_head]), ones(&[shape.d_head])];
    let work = Work::Bytes(share_turned(shape) * (size(&x) + 2.0 * size(&d)) + size(&rstd));
    bench.measure("head_norm_backward", case, work, || {
        let gains = (gain.slice(), gain.slice());
        let (dq_gain, dk_gain) = (dq_gain.slice_mut(), dk_gain.slice_mut());
        let (x, rstd, d) = (x.slice(), rstd.slice(), d.slice_mut());
        kernels.head_norm_backward(x, gains.0, gains.1, rstd, shape, d, dq_gain, dk_gain);
    });
}

fn rope(bench: &mut Bench) {
    let (kernels, tokens, shape) = (bench.kernels, bench.sizes.tokens, bench.sizes.attention());
    let mut x = normal(&[tokens, shape.qkv_width()], bench.dtype);
    let positions: Vec<u32> = (0..tokens as u32).collect();
    let angle = |i: usize| (i / (shape.d_head / 2)) as f32 * 0.01;
    let table = |f: fn(f32) -> f32| {
        let n = tokens * shape.d_head / 2;
        Tensor::from_f32(&[tokens, shape.d_head / 2], (0..n).map(|i| f(angle(i))).collect())
    };
    let (cos, sin) = (table(f32::cos), table(f32::sin));
    let case = format!("[{tokens}, {}]", shape.qkv_width());
    let work = Work::Bytes(2.0 * share_turned(shape) * size(&x) + size(&cos) + size(&sin));
    bench.measure("rope_forward", case.clone(), work, || {
        kernels.rope_forward(x.slice_mut(), &positions, cos.slice(), sin.slice(), shape);
    });
    bench.measure("rope_backward", case, work, || {
        kernels.rope_backward(x.slice_mut(), &positions, cos.slice(), sin.slice(), shape);
    });
}

/// The share of queries and keys in rows of queries, keys and values: values stay.
fn share_turned(shape: AttentionShape) -> f64 {
    (shape.q_width() + shape.kv_width()) as f64 / shape.qkv_width() as f64
}

fn attention(bench: &mut Bench) {
    let (kernels, dtype, shape) = (bench.kernels, bench.dtype, bench.sizes.attention());
    for seq_len in bench.sizes.seq_lens {
        let n_sequences = (bench.sizes.tokens / seq_len).max(1);
        let rows = n_sequences * seq_len;
        let segments: Vec<Segment> = (0..n_sequences).map(|i| Segment::whole(i * seq_len, seq_len)).collect();
        let qkv = normal(&[rows, shape.qkv_width()], dtype);
        let (mut y, mut lse) = (normal(&[rows, shape.q_width()], dtype), ones(&[rows, shape.n_heads]));
        let (stride, head_stride) = (shape.qkv_width(), shape.d_head);
        let part = |start| Rows { values: qkv.slice().from(start), stride, head_stride };
        let (k, v) = (part(shape.q_width()), part(shape.q_width() + shape.kv_width()));
        let case = format!("{n_sequences} × {seq_len} tokens, {} heads of {}", shape.n_heads, shape.d_head);
        let n_pairs = (n_sequences * seq_len * (seq_len + 1) / 2 * shape.n_heads) as f64;
        let flops = |n_products: f64| Work::Flops(dtype, 2.0 * n_products * n_pairs * shape.d_head as f64);
        bench.measure("attention_forward", case.clone(), flops(2.0), || {
            kernels.attention_forward(part(0), k, v, &segments, shape, y.slice_mut(), lse.slice_mut());
        });
        let (dy, mut dqkv) = (normal(y.shape(), dtype), normal(qkv.shape(), dtype));
        bench.measure("attention_backward", case, flops(5.0), || {
            let (y, lse, dy) = (y.slice(), lse.slice(), dy.slice());
            kernels.attention_backward(qkv.slice(), y, lse, dy, &segments, shape, dqkv.slice_mut());
        });
    }
}

fn swiglu(bench: &mut Bench) {
    let (kernels, dtype, Sizes { tokens, d_ff: f, .. }) = (bench.kernels, bench.dtype, bench.sizes);
    let (gate_up, mut y) = (normal(&[tokens, 2 * f], dtype), normal(&[tokens, f], dtype));
    let case = format!("[{tokens}, 2·{f}]");
    bench.measure("swiglu_forward", case.clone(), bytes(&[&gate_up, &y]), || {
        kernels.swiglu_forward(gate_up.slice(), y.slice_mut(), f);
    });
    let (dy, mut d_gate_up) = (normal(&[tokens, f], dtype), gate_up.clone());
    bench.measure("swiglu_backward", case, bytes(&[&gate_up, &dy, &d_gate_up, &y]), || {
        kernels.swiglu_backward(gate_up.slice(), dy.slice(), d_gate_up.slice_mut(), y.slice_mut(), f);
    });
}

impl Sizes {
    fn attention(&self) -> AttentionShape {
        AttentionShape { n_heads: self.n_heads, n_kv_heads: self.n_heads, d_head: self.d_head }
    }

    /// The products with weights of a block.
    fn products(&self) -> [Product; 4] {
        let (c, f) = (self.d_model(), self.d_ff);
        [
            Product { name: "qkv", n: vec![c, c, c], k: c, is_residual: false },
            Product { name: "out", n: vec![c], k: c, is_residual: true },
            Product { name: "gate-up", n: vec![f, f], k: c, is_residual: false },
            Product { name: "down", n: vec![c], k: f, is_residual: true },
        ]
    }
}

/// A product with one weight `[Nᵢ, K]` or several side by side.
struct Product {
    name: &'static str,
    /// N of each weight.
    n: Vec<usize>,
    k: usize,
    /// Whether what comes out is added to the residual stream, which is f32.
    is_residual: bool,
}

impl Product {
    /// ΣN.
    fn width(&self) -> usize {
        self.n.iter().sum()
    }

    fn weights(&self) -> Vec<Tensor> {
        self.n.iter().map(|&n| normal(&[n, self.k], F32)).collect()
    }

    fn flops(&self, format: DType, rows: usize) -> Work {
        Work::Flops(format, 2.0 * rows as f64 * self.width() as f64 * self.k as f64)
    }
}

fn linear(bench: &mut Bench) {
    let (kernels, dtype, r) = (bench.kernels, bench.dtype, bench.sizes.tokens);
    for product in bench.sizes.products() {
        let work = product.flops(dtype, r);
        forward(bench, &product, r, work, false);
        forward(bench, &product, r, work, true);
        let Product { name, k, .. } = product;
        let n = product.width();
        let (x, weights) = (normal(&[r, k], dtype), product.weights());
        let dy = normal(&[r, n], if product.is_residual { F32 } else { dtype });
        let mut dx = normal(&[r, k], dtype);
        let not_packed = vec![None; weights.len()];
        let weights = views(&weights, &not_packed);
        bench.measure("linear_backward_input", format!("{name} [{r}, {n}]·[{n}, {k}]"), work, || {
            kernels.linear_backward_input(dy.slice(), &weights, dx.slice_mut(), r, k);
        });
        let mut dws = product.weights();
        bench.measure("linear_backward_weight", format!("{name} [{n}, {r}]·[{r}, {k}]"), work, || {
            let views = dws.iter_mut().map(|dw| WeightGrad {
                n: dw.shape()[0],
                values: dw.slice_mut(),
                accumulates: true,
            });
            let mut dws: Vec<WeightGrad> = views.collect();
            kernels.linear_backward_weight(dy.slice(), x.slice(), &mut dws, r, k);
        });
    }
}

fn square(bench: &mut Bench) {
    for n in bench.sizes.squares {
        let product = Product { name: "square", n: vec![n], k: n, is_residual: false };
        let work = product.flops(bench.dtype, n);
        forward(bench, &product, n, work, false);
        forward(bench, &product, n, work, true);
    }
}

/// The products of decoding one sequence: as much work as reading the weights.
fn single_row(bench: &mut Bench) {
    for product in bench.sizes.products() {
        let work = Work::Bytes((product.width() * product.k * bench.dtype.size()) as f64);
        forward(bench, &product, 1, work, true);
    }
}

/// A product that packs its weights in every call, as training does, or one whose weights were packed before.
fn forward(bench: &mut Bench, product: &Product, r: usize, work: Work, is_packed: bool) {
    let (kernels, dtype, n, k) = (bench.kernels, bench.dtype, product.width(), product.k);
    let (x, weights) = (normal(&[r, k], dtype), product.weights());
    let residual = product.is_residual.then(|| normal(&[r, n], F32));
    let mut y = normal(&[r, n], if product.is_residual { F32 } else { dtype });
    let pack = |w: &Tensor| kernels.pack(w.slice(), w.shape()[0], k, dtype).filter(|_| is_packed);
    let packed: Vec<Option<Packed>> = weights.iter().map(pack).collect();
    let weights = views(&weights, &packed);
    let case = format!("{} [{r}, {k}]·[{k}, {n}]{}", product.name, if is_packed { ", packed" } else { "" });
    bench.measure("linear_forward", case, work, || {
        let residual = residual.as_ref().map(Tensor::slice);
        kernels.linear_forward(x.slice(), &weights, residual, y.slice_mut(), r, k);
    });
}

fn views<'a>(weights: &'a [Tensor], packed: &'a [Option<Packed>]) -> Vec<Weight<'a>> {
    let view = |(w, packed): (&'a Tensor, &'a Option<Packed>)| Weight {
        values: w.slice(),
        n: w.shape()[0],
        packed: packed.as_ref(),
    };
    weights.iter().zip(packed).map(view).collect()
}

fn cross_entropy(bench: &mut Bench) {
    let (kernels, dtype, Sizes { tokens: r, vocab_size: v, .. }) = (bench.kernels, bench.dtype, bench.sizes);
    let c = bench.sizes.d_model();
    let (x, w, targets) = (normal(&[r, c], dtype), normal(&[v, c], F32), ids(r, v));
    let (mut losses, mut dx, mut dw) = (ones(&[r]), normal(&[r, c], dtype), normal(&[v, c], F32));
    let weight = Weight { values: w.slice(), n: v, packed: None };
    let flops = |n_products: f64| Work::Flops(dtype, 2.0 * n_products * r as f64 * c as f64 * v as f64);
    let case = format!("[{r}, {c}]·[{c}, {v}]");
    bench.measure("cross_entropy", format!("{case}, losses"), flops(1.0), || {
        kernels.cross_entropy(x.slice(), weight, &targets, losses.slice_mut(), None, c);
    });
    bench.measure("cross_entropy", format!("{case}, gradients"), flops(3.0), || {
        let dw = Some(WeightGrad { values: dw.slice_mut(), n: v, accumulates: true });
        let (scale, dx) = (1.0 / r as f64, dx.slice_mut());
        let grads = Some(CrossEntropyGrads { scale, row_weights: None, dx, dw });
        kernels.cross_entropy(x.slice(), weight, &targets, losses.slice_mut(), grads, c);
    });
}

fn add_scaled(bench: &mut Bench) {
    let (kernels, tokens, c) = (bench.kernels, bench.sizes.tokens, bench.sizes.d_model());
    let (dy, mut dx) = (normal(&[tokens, c], F32), normal(&[tokens, c], F32));
    bench.measure("add_scaled", format!("[{tokens}, {c}]"), bytes(&[&dy, &dx, &dx]), || {
        kernels.add_scaled(dy.slice(), 1e-3, dx.slice_mut());
    });
}

fn sum_of_squares(bench: &mut Bench) {
    let (kernels, v, c) = (bench.kernels, bench.sizes.vocab_size, bench.sizes.d_model());
    let x = normal(&[v, c], F32);
    bench.measure("sum_of_squares", format!("[{v}, {c}]"), bytes(&[&x]), || {
        std::hint::black_box(kernels.sum_of_squares(x.slice()));
    });
}

fn adamw(bench: &mut Bench) {
    let (kernels, v, c) = (bench.kernels, bench.sizes.vocab_size, bench.sizes.d_model());
    let settings = AdamW { lr: 1e-4, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, step: 100 };
    let [grad, mut param] = [normal(&[v, c], F32), normal(&[v, c], F32)];
    let [mut m, mut v_] = [Tensor::zeros(&[v, c], F32), Tensor::zeros(&[v, c], F32)];
    let work = bytes(&[&grad, &param, &param, &m, &m, &v_, &v_]);
    bench.measure("adamw_step", format!("[{v}, {c}]"), work, || {
        let (m, v) = (m.slice_mut(), v_.slice_mut());
        kernels.adamw_step(&settings, 1.0, grad.slice(), param.slice_mut(), m, v);
    });
}

fn muon(bench: &mut Bench) {
    let (kernels, rows, cols) = (bench.kernels, bench.sizes.d_model(), bench.sizes.d_ff);
    let settings = Muon { lr: 1e-3, momentum: 0.95, weight_decay: 0.1 };
    let grad = normal(&[rows, cols], F32);
    let [mut param, mut momentum] = [grad.clone(), grad.clone()];
    let (min, max) = (rows.min(cols) as f64, rows.max(cols) as f64);
    let flops = 2.0 * Muon::STEPS as f64 * min * min * (2.0 * max + min);
    bench.measure("muon_step", format!("[{rows}, {cols}]"), Work::Flops(F32, flops), || {
        let (param, momentum) = (param.slice_mut(), momentum.slice_mut());
        kernels.muon_step(&settings, 1.0, grad.slice(), param, momentum, rows, cols);
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::ValueEnum as _;
    use tensor::Cpu;

    use super::*;

    /// Every size differs where the operation allows, and none takes long.
    const TINY: Sizes = Sizes {
        tokens: 6,
        seq_lens: [3, 7],
        n_heads: 2,
        d_head: 10,
        d_ff: 14,
        vocab_size: 33,
        squares: [1, 5, 9],
        cold_bytes: 3000,
    };

    #[test]
    fn every_operation_takes_what_it_is_given() {
        let kernels = Cpu::new(2);
        for dtype in [DType::F32, DType::Bf16] {
            for operation in Operation::value_variants() {
                let mut bench = Bench::new(&kernels, dtype, TINY, Duration::ZERO);
                operation.measure(&mut bench);
                assert!(!bench.results.is_empty(), "{operation:?}");
            }
        }
    }
}
