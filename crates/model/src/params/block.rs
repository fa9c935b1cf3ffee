//! The parameters of one block.

use serde::{Deserialize, Serialize};

use super::Linear;

/// The parameters of one block: attention, then the feed-forward.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<T> {
    /// Gain of the norm before attention, `[C]`.
    pub input_norm: T,
    /// Queries, `[H·D, C]`.
    pub q: Linear<T>,
    /// Keys, `[Hkv·D, C]`.
    pub k: Linear<T>,
    /// Values, `[Hkv·D, C]`.
    pub v: Linear<T>,
    /// Gains of the norms of each head's query and key, `[D]` each.
    pub head_norms: Option<[T; 2]>,
    /// From the heads back to the residual stream, `[C, H·D]`.
    pub out: Linear<T>,
    /// Gain of the norm before the feed-forward, `[C]`.
    pub post_norm: T,
    /// `[F, C]`, through SiLU.
    pub gate: Linear<T>,
    /// `[F, C]`.
    pub up: Linear<T>,
    /// `[C, F]`.
    pub down: Linear<T>,
}

impl<T> Block<T> {
    /// The same tree of borrowed leaves.
    pub fn as_ref(&self) -> Block<&T> {
        Block {
            input_norm: &self.input_norm,
            q: self.q.as_ref(),
            k: self.k.as_ref(),
            v: self.v.as_ref(),
            head_norms: self.head_norms.as_ref().map(|[q, k]| [q, k]),
            out: self.out.as_ref(),
            post_norm: &self.post_norm,
            gate: self.gate.as_ref(),
            up: self.up.as_ref(),
            down: self.down.as_ref(),
        }
    }

    /// The same tree of borrowed leaves, to be changed.
    pub fn as_mut(&mut self) -> Block<&mut T> {
        Block {
            input_norm: &mut self.input_norm,
            q: self.q.as_mut(),
            k: self.k.as_mut(),
            v: self.v.as_mut(),
            head_norms: self.head_norms.as_mut().map(|[q, k]| [q, k]),
            out: self.out.as_mut(),
            post_norm: &mut self.post_norm,
            gate: self.gate.as_mut(),
            up: self.up.as_mut(),
            down: self.down.as_mut(),
        }
    }

    /// The linear maps, each with its name, to be changed.
    pub fn linears_mut(&mut self) -> [(LinearName, &mut Linear<T>); 7] {
        [
            (LinearName::Q, &mut self.q),
            (LinearName::K, &mut self.k),
            (LinearName::V, &mut self.v),
            (LinearName::Out, &mut self.out),
            (LinearName::Gate, &mut self.gate),
            (LinearName::Up, &mut self.up),
            (LinearName::Down, &mut self.down),
        ]
    }

    /// `f` of every leaf, in the order in which the forward pass meets them: weights of the queries, keys and values, then
    /// their biases, and adapters last. Sums over all leaves, such as the gradient's norm, run in this order.
    pub(super) fn map<U>(self, f: &mut impl FnMut(T) -> U) -> Block<U> {
        let (q, k, v, out) = (self.q, self.k, self.v, self.out);
        let (gate, up, down) = (self.gate, self.up, self.down);
        let input_norm = f(self.input_norm);
        let qkv = [q.weight, k.weight, v.weight].map(&mut *f);
        let qkv_bias = [q.bias, k.bias, v.bias].map(|bias| bias.map(&mut *f));
        let head_norms = self.head_norms.map(|norms| norms.map(&mut *f));
        let (out_weight, out_bias) = (f(out.weight), out.bias.map(&mut *f));
        let post_norm = f(self.post_norm);
        let mlp = [gate.weight, up.weight, down.weight].map(&mut *f);
        let mlp_bias = [gate.bias, up.bias, down.bias].map(|bias| bias.map(&mut *f));
        let adapters = [q.adapter, k.adapter, v.adapter, out.adapter, gate.adapter, up.adapter, down.adapter];
        let adapters = adapters.map(|adapter| adapter.map(|adapter| adapter.map(&mut *f)));

        let ([q, k, v], [q_bias, k_bias, v_bias]) = (qkv, qkv_bias);
        let ([gate, up, down], [gate_bias, up_bias, down_bias]) = (mlp, mlp_bias);
        let [q_adapter, k_adapter, v_adapter, out_adapter, gate_adapter, up_adapter, down_adapter] = adapters;
        let linear = |weight, bias, adapter| Linear { weight, bias, adapter };
        Block {
            input_norm,
            q: linear(q, q_bias, q_adapter),
            k: linear(k, k_bias, k_adapter),
            v: linear(v, v_bias, v_adapter),
            head_norms,
            out: linear(out_weight, out_bias, out_adapter),
            post_norm,
            gate: linear(gate, gate_bias, gate_adapter),
            up: linear(up, up_bias, up_adapter),
            down: linear(down, down_bias, down_adapter),
        }
    }

    /// The leaves, in the order of [`Block::map`].
    pub fn into_leaves(self) -> Vec<T> {
        let mut leaves = Vec::new();
        self.map(&mut |leaf| leaves.push(leaf));
        leaves
    }

    /// The tree of this shape with other leaves, in the order of [`Block::map`].
    ///
    /// # Panics
    /// If there are fewer.
    pub fn rebuilt<U>(&self, leaves: impl IntoIterator<Item = U>) -> Block<U> {
        let mut leaves = leaves.into_iter();
        self.as_ref().map(&mut |_| leaves.next().expect("a leaf for each of the tree"))
    }
}

/// Which linear map of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LinearName {
    /// Queries.
    #[serde(rename = "q_proj")]
    Q,
    /// Keys.
    #[serde(rename = "k_proj")]
    K,
    /// Values.
    #[serde(rename = "v_proj")]
    V,
    /// From the heads back to the residual stream.
    #[serde(rename = "o_proj")]
    Out,
    /// Through SiLU.
    #[serde(rename = "gate_proj")]
    Gate,
    /// What the gate multiplies.
    #[serde(rename = "up_proj")]
    Up,
    /// Back to the residual stream.
    #[serde(rename = "down_proj")]
    Down,
}

impl LinearName {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::Out, Self::Gate, Self::Up, Self::Down];
}
