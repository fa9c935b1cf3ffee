//! The fast kernels: f32 and bf16, threaded, one file per op, named as in [`super::reference`].
//!
//! **Order of sums.** An element of a matrix product is one chain of fused multiply-adds over ascending k (in bf16, of
//! each pair of neighbours the odd one first); a sum along a row has sixteen such chains by index modulo 16, combined in a fixed tree. So the bits of a result
//! depend on its own reduction length alone: not on threads, tiles, instruction set, or on what else is in the
//! batch.

mod adamw;
mod add;
mod attention;
mod bias;
mod columns;
mod cross_entropy;
mod embedding;
mod exp;
mod gelu;
mod gemm;
mod head_norm;
mod layer_norm;
mod linear;
mod log_sum_exp;
mod muon;
mod peak;
mod pool;
mod reduce;
mod rmsnorm;
mod rope;
mod round;
mod rows;
mod swiglu;

use super::{
    AdamW, AttentionShape, Columns, CrossEntropyGrads, Gelu, Kernels, KvPage, Muon, Packed, PagedSegments,
    Rows, Segment, Weight, WeightGrad,
};
use crate::{DType, Slice, SliceMut};
use pool::Pool;

/// Threaded kernels on f32 and bf16.
#[derive(Debug)]
pub struct Cpu {
    pool: Pool,
}

impl Cpu {
    /// Kernels that use `n_threads` threads, at most 512; 0 means one for each core. Their results do not depend on it.
    pub fn new(n_threads: usize) -> Self {
        Self { pool: Pool::new(n_threads) }
    }

    /// How many threads compute.
    pub fn n_threads(&self) -> usize {
        self.pool.n_threads()
    }
}

/// Evaluates `$call` with every slice bound as what it is: all the activations named are bf16, or all are f32.
macro_rules! activations {
    ($($read:ident),*; $($write:ident),* => $call:expr) => {
        match ($($read,)* $($write,)*) {
            ($(Slice::F32($read),)* $(SliceMut::F32($write),)*) => $call,
            ($(Slice::Bf16($read),)* $(SliceMut::Bf16($write),)*) => $call,
            _ => panic!("one kernel call mixes dtypes of activations"),
        }
    };
}

impl Kernels for Cpu {
    fn pack(&self, w: Slice, n: usize, k: usize, format: DType) -> Option<Packed> {
        Some(linear::pack(&self.pool, w, n, k, format))
    }

    fn bias_forward(&self, biases: &[Slice], y: SliceMut) {
        let biases: Vec<&[f32]> = biases.iter().map(|b| b.f32()).collect();
        activations!(; y => bias::forward(&self.pool, &biases, y));
    }

    fn bias_backward(&self, dy: Slice, dbiases: &mut [SliceMut]) {
        let mut dbiases: Vec<&mut [f32]> = dbiases.iter_mut().map(|db| db.reborrow().f32()).collect();
        activations!(dy; => bias::backward(&self.pool, dy, &mut dbiases));
    }

    fn embedding_forward(&self, ids: &[u32], table: Slice, y: SliceMut) {
        embedding::forward(&self.pool, ids, table.f32(), y.f32());
    }

    fn embedding_backward(&self, ids: &[u32], dy: Slice, dtable: SliceMut) {
        embedding::backward(&self.pool, ids, dy.f32(), dtable.f32());
    }

    fn linear_forward(
        &self,
        x: Slice,
        weights: &[Weight],
        residual: Option<Slice>,
        y: SliceMut,
        r: usize,
        k: usize,
    ) {
        linear::forward(&self.pool, x, weights, residual, y, r, k);
    }

    fn linear_backward_input(&self, dy: Slice, weights: &[Weight], dx: SliceMut, r: usize, k: usize) {
        linear::backward_input(&self.pool, dy, weights, dx, r, k);
    }

    fn linear_backward_weight(&self, dy: Slice, x: Slice, dws: &mut [WeightGrad], r: usize, k: usize) {
        linear::backward_weight(&self.pool, dy, x, dws, r, k);
    }

    fn rmsnorm_forward(&self, x: Slice, gain: Slice, eps: f64, y: SliceMut, rstd: SliceMut) {
        let (pool, gain, eps, rstd) = (&self.pool, gain.f32(), eps as f32, rstd.f32());
        match (x, y) {
            (Slice::F32(x), SliceMut::F32(y)) => rmsnorm::forward(pool, x, gain, eps, y, rstd),
            (Slice::F32(x), SliceMut::Bf16(y)) => rmsnorm::forward(pool, x, gain, eps, y, rstd),
            (Slice::Bf16(x), y) => rmsnorm::forward(pool, x, gain, eps, y.bf16(), rstd),
            (x, y) => panic!("rmsnorm of {:?} to {:?}", x.dtype(), y.dtype()),
        }
    }

    fn rmsnorm_backward(&self, x: Slice, gain: Slice, rstd: Slice, dy: Slice, dx: SliceMut, dgain: SliceMut) {
        let (pool, gain, rstd, dgain) = (&self.pool, gain.f32(), rstd.f32(), dgain.f32());
        match (x, dy) {
            (Slice::F32(x), Slice::F32(dy)) => rmsnorm::backward(pool, x, gain, rstd, dy, dx.f32(), dgain),
            (Slice::F32(x), Slice::Bf16(dy)) => rmsnorm::backward(pool, x, gain, rstd, dy, dx.f32(), dgain),
            (Slice::Bf16(x), dy) => rmsnorm::backward(pool, x, gain, rstd, dy.bf16(), dx.bf16(), dgain),
            (x, dy) => panic!("rmsnorm of {:?} from {:?}", x.dtype(), dy.dtype()),
        }
    }

    fn head_norm_forward(
        &self,
        x: Slice,
        q_gain: Slice,
        k_gain: Slice,
        eps: f64,
        shape: AttentionShape,
        y: SliceMut,
        rstd: SliceMut,
    ) {
        let gains = (q_gain.f32(), k_gain.f32());
        activations!(x; y =>
            head_norm::forward(&self.pool, x, gains.0, gains.1, eps as f32, shape, y, rstd.f32()));
    }

    fn head_norm_backward(
        &self,
        x: Slice,
        q_gain: Slice,
        k_gain: Slice,
        rstd: Slice,
        shape: AttentionShape,
        d: SliceMut,
        dq_gain: SliceMut,
        dk_gain: SliceMut,
    ) {
        let (gains, dgains) = ((q_gain.f32(), k_gain.f32()), (dq_gain.f32(), dk_gain.f32()));
        activations!(x; d => head_norm::backward(
            &self.pool, x, gains.0, gains.1, rstd.f32(), shape, d, dgains.0, dgains.1));
    }

    fn rope_forward(&self, x: SliceMut, positions: &[u32], cos: Slice, sin: Slice, shape: AttentionShape) {
        activations!(; x => rope::forward(&self.pool, x, positions, cos.f32(), sin.f32(), shape));
    }

    fn rope_backward(&self, d: SliceMut, positions: &[u32], cos: Slice, sin: Slice, shape: AttentionShape) {
        activations!(; d => rope::backward(&self.pool, d, positions, cos.f32(), sin.f32(), shape));
    }

    fn attention_forward(
        &self,
        q: Rows,
        k: Rows,
        v: Rows,
        segments: &[Segment],
        shape: AttentionShape,
        y: SliceMut,
        lse: SliceMut,
    ) {
        let [q_strides, k_strides, v_strides] = [q, k, v].map(|rows| (rows.stride, rows.head_stride));
        let (q, k, v) = (q.values, k.values, v.values);
        activations!(q, k, v; y => {
            let inputs = attention::Inputs {
                q: attention::TypedRows::new(q, q_strides),
                k: attention::TypedRows::new(k, k_strides),
                v: attention::TypedRows::new(v, v_strides),
            };
            attention::forward(&self.pool, inputs, segments, shape, y, lse.f32());
        });
    }

    fn kv_words(&self, shape: AttentionShape, format: DType) -> usize {
        attention::kv_words(gemm::Format::of(format), shape)
    }

    fn attention_paged(
        &self,
        qkv: Slice,
        pages: &mut [KvPage],
        at: usize,
        segments: &PagedSegments,
        shape: AttentionShape,
        y: SliceMut,
    ) {
        activations!(qkv; y => attention::paged(&self.pool, qkv, pages, at, segments, shape, y));
    }

    fn attention_backward(
        &self,
        qkv: Slice,
        y: Slice,
        lse: Slice,
        dy: Slice,
        segments: &[Segment],
        shape: AttentionShape,
        dqkv: SliceMut,
    ) {
        let lse = lse.f32();
        activations!(qkv, y, dy; dqkv => {
            attention::backward(&self.pool, attention::Saved { qkv, y, lse }, dy, segments, shape, dqkv);
        });
    }

    fn gelu_forward(&self, gelu: Gelu, x: Slice, y: SliceMut) {
        activations!(x; y => gelu::forward(&self.pool, gelu, x, y));
    }

    fn gelu_backward(&self, gelu: Gelu, x: Slice, dy: Slice, dx: SliceMut) {
        activations!(x, dy; dx => gelu::backward(&self.pool, gelu, x, dy, dx));
    }

    fn layer_norm_forward(&self, x: Slice, gain: Slice, bias: Slice, eps: f64, y: SliceMut, stats: SliceMut) {
        let (pool, x, eps, stats) = (&self.pool, x.f32(), eps as f32, stats.f32());
        let affine = layer_norm::Affine { gain: gain.f32(), bias: bias.f32() };
        match y {
            SliceMut::F32(y) => layer_norm::forward(pool, x, affine, eps, y, stats),
            SliceMut::Bf16(y) => layer_norm::forward(pool, x, affine, eps, y, stats),
            y => panic!("layer_norm of f32 to {:?}", y.dtype()),
        }
    }

    fn layer_norm_backward(
        &self,
        x: Slice,
        gain: Slice,
        stats: Slice,
        dy: Slice,
        dx: SliceMut,
        dgain: SliceMut,
        dbias: SliceMut,
    ) {
        let (pool, x, gain, stats) = (&self.pool, x.f32(), gain.f32(), stats.f32());
        let (dx, dgain, dbias) = (dx.f32(), dgain.f32(), dbias.f32());
        match dy {
            Slice::F32(dy) => layer_norm::backward(pool, x, gain, stats, dy, dx, dgain, dbias),
            Slice::Bf16(dy) => layer_norm::backward(pool, x, gain, stats, dy, dx, dgain, dbias),
            dy => panic!("layer_norm of f32 from {:?}", dy.dtype()),
        }
    }

    fn rows_place(&self, rows: Slice, at: &[u32], y: SliceMut) {
        rows::place(rows.f32(), at, y.f32());
    }

    fn rows_take(&self, at: &[u32], dy: SliceMut, drows: SliceMut) {
        rows::take(at, dy.f32(), drows.f32());
    }

    fn swiglu_forward(&self, gate_up: Slice, y: SliceMut, f: usize) {
        activations!(gate_up; y => swiglu::forward(&self.pool, gate_up, y, f));
    }

    fn swiglu_backward(&self, gate_up: Slice, dy: Slice, d_gate_up: SliceMut, y: SliceMut, f: usize) {
        activations!(gate_up, dy; d_gate_up, y => swiglu::backward(&self.pool, gate_up, dy, d_gate_up, y, f));
    }

    fn columns_add(&self, d: Slice, scale: f64, y: SliceMut, columns: Columns) {
        activations!(d; y => columns::add(&self.pool, d, scale as f32, y, columns));
    }

    fn columns_take(&self, dy: Slice, scale: f64, d: SliceMut, columns: Columns) {
        activations!(dy; d => columns::take(&self.pool, dy, scale as f32, d, columns));
    }

    fn add_scaled(&self, dy: Slice, scale: f64, dx: SliceMut) {
        activations!(dy; dx => add::scaled(&self.pool, dy, scale as f32, dx));
    }

    fn cross_entropy(
        &self,
        x: Slice,
        w: Weight,
        targets: &[u32],
        losses: SliceMut,
        grads: Option<CrossEntropyGrads>,
        c: usize,
    ) {
        cross_entropy::forward(&self.pool, x, w, targets, losses.f32(), grads, c);
    }

    fn log_sum_exp(&self, x: Slice, y: &mut [f64], n: usize) {
        log_sum_exp::forward(&self.pool, x.f32(), y, n);
    }

    fn for_each(&self, n_tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        self.pool.for_each(n_tasks, task);
    }

    fn sum_of_squares(&self, x: Slice) -> f64 {
        activations!(x; => reduce::sum_of_squares(&self.pool, x))
    }

    fn adamw_step(
        &self,
        settings: &AdamW,
        scale: f64,
        grad: Slice,
        param: SliceMut,
        m: SliceMut,
        v: SliceMut,
    ) {
        adamw::step(&self.pool, settings, scale, grad.f32(), param.f32(), m.f32(), v.f32());
    }

    fn muon_step(
        &self,
        settings: &Muon,
        scale: f64,
        grad: Slice,
        param: SliceMut,
        momentum: SliceMut,
        rows: usize,
        cols: usize,
    ) {
        muon::step(&self.pool, settings, scale, grad.f32(), param.f32(), momentum.f32(), rows, cols);
    }
}

#[cfg(test)]
mod tests {
    use crate::Isa;

    /// Runs the tests of every kernel once more for each set but the one in use: the choice is made once in a process.
    #[test]
    fn kernels_agree_with_the_reference_on_every_instruction_set() {
        let this_test = "kernels_agree_with_the_reference_on_every_instruction_set";
        if std::env::var_os(Isa::VARIABLE).is_some() {
            return; // one of those runs, or somebody who asks for one set alone
        }
        for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::current()) {
            let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
            let output =
                tests.args(["kernel::cpu", "--skip", this_test]).env(Isa::VARIABLE, isa.name()).output();
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("test result: ok. "), "{}: {said}", isa.name());
            assert!(!said.contains("ok. 0 passed"), "{said}");
        }
    }
}
