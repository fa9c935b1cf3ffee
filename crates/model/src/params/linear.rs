//! A linear map, with what may be added to it.

/// `y = x·weightᵀ + bias`, with the correction of an adapter where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear<T> {
    /// `[N, K]`.
    pub weight: T,
    /// `[N]`.
    pub bias: Option<T>,
    /// A low-rank correction of the weight.
    pub adapter: Option<Adapter<T>>,
}

/// The two factors of a low-rank correction: `y += scale·(x·aᵀ)·bᵀ` (Hu et al. 2021, <https://arxiv.org/abs/2106.09685>).
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter<T> {
    /// `[rank, K]`.
    pub a: T,
    /// `[N, rank]`.
    pub b: T,
}

impl<T> Linear<T> {
    /// A weight alone.
    pub fn new(weight: T) -> Self {
        Self { weight, bias: None, adapter: None }
    }

    /// The same tree of borrowed leaves.
    pub fn as_ref(&self) -> Linear<&T> {
        let adapter = self.adapter.as_ref().map(|Adapter { a, b }| Adapter { a, b });
        Linear { weight: &self.weight, bias: self.bias.as_ref(), adapter }
    }

    /// The same tree of borrowed leaves, to be changed.
    pub fn as_mut(&mut self) -> Linear<&mut T> {
        let adapter = self.adapter.as_mut().map(|Adapter { a, b }| Adapter { a, b });
        Linear { weight: &mut self.weight, bias: self.bias.as_mut(), adapter }
    }
}

impl<T> Linear<T> {
    /// `f` of every leaf: the weight, the bias, the adapter.
    pub(crate) fn map<U>(self, f: &mut impl FnMut(T) -> U) -> Linear<U> {
        Linear {
            weight: f(self.weight),
            bias: self.bias.map(&mut *f),
            adapter: self.adapter.map(|adapter| adapter.map(f)),
        }
    }
}

impl<T> Adapter<T> {
    pub(super) fn map<U>(self, f: &mut impl FnMut(T) -> U) -> Adapter<U> {
        Adapter { a: f(self.a), b: f(self.b) }
    }
}
