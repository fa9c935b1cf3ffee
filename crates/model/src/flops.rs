//! Parameters and floating-point operations, counted exactly.

use crate::{ModelConfig, Role};

impl ModelConfig {
    /// All parameters; a tied head is counted once.
    pub fn n_params(&self) -> usize {
        self.params().iter().map(|spec| spec.len()).sum()
    }

    /// N of the scaling laws: elements of every matrix that a token is multiplied with, the head included even
    /// where it is tied, the embedding's look-up not. nanochat found this convention to give straight laws at
    /// small sizes (its log of 2026-01-27).
    pub fn n_matrix_params(&self) -> usize {
        // Those of the eyes meet patches, not tokens.
        let text = Self { vision: None, ..self.clone() };
        let matrices: usize =
            text.params().iter().filter(|spec| spec.role == Role::Matrix).map(|spec| spec.len()).sum();
        matrices + self.vocab_size * self.d_model
    }

    /// FLOPs of training on one token of sequences of `seq_len`: a multiply-add is 2, the backward pass twice
    /// the forward pass.
    ///
    /// `6·N + 6·L·H·D·(T + 1)`: a query sees `(T + 1)/2` keys on average, and meets each in two products.
    /// Norms, activations, softmax and the optimizer are left out: they add no product.
    pub fn train_flops_per_token(&self, seq_len: usize) -> f64 {
        let attention = self.n_layers as f64 * self.q_width() as f64 * (seq_len as f64 + 1.0);
        6.0 * (self.n_matrix_params() as f64 + attention)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::tiny;

    /// The closed form, written out for a shape where every size differs.
    #[test]
    fn parameters_agree_with_the_closed_form() {
        let (v, l, c, h, k, d, f) = (61, 2, 24, 6, 2, 10, 34);
        let matrices = l * (2 * c * h * d + 2 * c * k * d + 3 * c * f);
        let gains = l * (2 * c + 2 * d) + c;
        let config = tiny();
        assert_eq!(config.n_params(), matrices + gains + 2 * v * c);
        assert_eq!(config.n_matrix_params(), matrices + v * c);
        let tied = crate::ModelConfig { tie_embeddings: true, qk_norm: false, ..config };
        assert_eq!(tied.n_params(), matrices + l * 2 * c + c + v * c);
        assert_eq!(tied.n_matrix_params(), matrices + v * c);
    }

    /// Counted product by product for one sequence.
    #[test]
    fn flops_agree_with_a_count_of_every_product() {
        let config = tiny();
        let seq_len = 13;
        let (c, d) = (config.d_model, config.d_head);
        let mut forward = 0;
        for t in 0..seq_len {
            for _ in 0..config.n_layers {
                forward += 2 * c * (config.q_width() + 2 * config.kv_width()) + 2 * config.q_width() * c;
                forward += config.n_heads * (t + 1) * (2 * d + 2 * d); // scores, mix of values
                forward += 3 * 2 * c * config.d_ff;
            }
            forward += 2 * c * config.vocab_size;
        }
        let counted = 3.0 * forward as f64 / seq_len as f64;
        assert_eq!(config.train_flops_per_token(seq_len), counted);
    }
}
