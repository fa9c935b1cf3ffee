//! The forward pass of the eyes.

use std::sync::Arc;

use tensor::{AttentionShape, DType, Kernels, Segment, Tape, Tensor, Var};

use super::{EyeBlock, VisionConfig};
use crate::{Gpt, Linear, Params};

impl Gpt {
    /// Rows of the sequence for images given as patches, `[n·P, 3·S·S]` → `[n·P, C]`.
    ///
    /// # Panics
    /// If the model has no eyes, or the patches are not those of whole images.
    #[track_caller]
    pub fn see(&self, kernels: &dyn Kernels, patches: &Tensor) -> Tensor {
        let mut tape = Tape::inference(kernels);
        let params = self.vars(&mut tape);
        let patches = Var::constant(patches.to_dtype(self.dtype()));
        self.features(&mut tape, &patches, &params).value().clone()
    }

    /// The same on a tape, with the parameters on it; patches are of the dtype that products multiply in.
    #[track_caller]
    pub(crate) fn features(&self, tape: &mut Tape<'_>, patches: &Var, params: &Params<Var>) -> Var {
        let (Some(config), Some(eyes)) = (&self.config().vision, &params.eyes) else {
            panic!("images for a model without eyes")
        };
        let shape = patches.value().shape();
        let (n, n_patches) = (shape[0], config.n_patches());
        assert!(
            shape == [n, config.patch_len()] && n.is_multiple_of(n_patches),
            "patches {shape:?}, want whole images of [{n_patches}, {}]",
            config.patch_len()
        );
        let stream = params.embedding.value().dtype();
        // Positions, the residual stream and the projector are f32, as the text model's stream is.
        let dtype = self.dtype();
        let mut x = linear(tape, patches, &eyes.patch, stream);
        let (n_images, n_rows) = (n / n_patches, config.n_encoder_rows());
        // Of the rows of all images, those of patches.
        let of_patches: Arc<[u32]> = (0..(n_images * n_rows) as u32)
            .filter(|row| *row as usize % n_rows >= n_rows - n_patches)
            .collect();
        if let Some(class) = &eyes.class {
            let rows = tape.embedding(&vec![0; n_images * n_rows], &class.embedding);
            x = tape.place_rows(rows, &x, &of_patches);
        }
        x = tape.add_table(x, &eyes.positions);
        if let Some(class) = &eyes.class {
            x = tape.layer_norm(&x, &class.norm.gain, &class.norm.bias, config.norm_eps, stream);
        }
        let segments: Arc<[Segment]> =
            (0..n_images).map(|image| Segment::full(image * n_rows, n_rows)).collect();
        for block in &eyes.blocks {
            x = config.block_forward(tape, x, block, &segments, dtype);
        }
        if eyes.class.is_some() {
            x = tape.embedding(&of_patches, &x);
        }
        let [first, second] = &eyes.projector;
        let hidden = linear(tape, &x, first, stream);
        let hidden = tape.gelu(&hidden, config.projector_activation.into());
        linear(tape, &hidden, second, stream)
    }
}

impl VisionConfig {
    /// One block: attention, then the feed-forward, each normed before and added to the residual stream.
    fn block_forward(
        &self,
        tape: &mut Tape<'_>,
        x: Var,
        block: &EyeBlock<Var>,
        segments: &Arc<[Segment]>,
        dtype: DType,
    ) -> Var {
        let (n_heads, eps) = (self.n_heads, self.norm_eps);
        let shape = AttentionShape { n_heads, n_kv_heads: n_heads, d_head: self.d_model / n_heads };
        let normed = tape.layer_norm(&x, &block.norm1.gain, &block.norm1.bias, eps, dtype);
        let maps = [&block.q, &block.k, &block.v];
        let qkv = tape.linear_stacked(&normed, &maps.map(|map| &map.weight));
        let biases: Vec<&Var> = maps.iter().filter_map(|map| map.bias.as_ref()).collect();
        let qkv = tape.add_bias(qkv, &biases);
        let mixed = tape.attention(&qkv, segments, shape);
        let x = onto_stream(tape, &mixed, &block.out, &x);
        let normed = tape.layer_norm(&x, &block.norm2.gain, &block.norm2.bias, eps, dtype);
        let hidden = linear(tape, &normed, &block.up, dtype);
        let hidden = tape.gelu(&hidden, self.activation.into());
        onto_stream(tape, &hidden, &block.down, &x)
    }
}

fn linear(tape: &mut Tape<'_>, x: &Var, map: &Linear<Var>, dtype: DType) -> Var {
    let y = tape.linear(x, &map.weight, dtype);
    with_bias(tape, y, map)
}

fn onto_stream(tape: &mut Tape<'_>, x: &Var, map: &Linear<Var>, stream: &Var) -> Var {
    let y = tape.linear_residual(x, &map.weight, stream);
    with_bias(tape, y, map)
}

fn with_bias(tape: &mut Tape<'_>, y: Var, map: &Linear<Var>) -> Var {
    match &map.bias {
        Some(bias) => tape.add_bias(y, &[bias]),
        None => y,
    }
}
