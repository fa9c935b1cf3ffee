//! One parameter: name, shape, role and how it begins.

use base::Rng;
use tensor::{DType, Tensor};

use crate::eyes::VisionConfig;

/// What a parameter does, which decides its optimizer and learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Rows looked up by token id; the head too where they are tied.
    Embedding,
    /// A matrix between two hidden vectors.
    Matrix,
    /// The matrix from the last hidden vector to logits, or to another output.
    Head,
    /// The gain of a norm.
    Gain,
    /// A row that is added.
    Bias,
    /// One of the two factors of a low-rank adapter.
    Adapter,
}

/// One parameter: name, shape and how it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// As in Hugging Face checkpoints.
    pub name: String,
    /// `[out, in]` for matrices.
    pub shape: Vec<usize>,
    /// What it does.
    pub role: Role,
    /// Standard deviation at the beginning; gains begin at 1, biases at 0.
    pub init_std: f64,
    /// Whether it is trained. A frozen one costs neither a gradient nor moments.
    pub is_trained: bool,
    /// What its learning rate is multiplied by.
    pub rate: f64,
    /// Its shape in files, where that is another: a convolution's weight has four axes there.
    pub stored_shape: Option<Vec<usize>>,
}

impl ParamSpec {
    /// A parameter that is trained.
    pub fn new(name: impl Into<String>, shape: &[usize], role: Role, init_std: f64) -> Self {
        let (name, shape) = (name.into(), shape.to_vec());
        Self { name, shape, role, init_std, is_trained: true, rate: 1.0, stored_shape: None }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its shape in files.
    pub fn stored_shape(&self) -> &[usize] {
        self.stored_shape.as_ref().unwrap_or(&self.shape)
    }

    /// Initial values. Each parameter has a random stream of its own name, so adding one does not change others, and a
    /// text model begins alike with eyes and without.
    pub fn init(&self, dtype: DType, seed: u64) -> Tensor {
        if self.role == Role::Gain {
            return Tensor::from_f32(&self.shape, vec![1.0; self.len()]).to_dtype(dtype);
        }
        Tensor::normal(
            &self.shape,
            self.init_std,
            dtype,
            &mut Rng::named(seed, self.name.strip_prefix(VisionConfig::TEXT_PREFIX).unwrap_or(&self.name)),
        )
    }
}
