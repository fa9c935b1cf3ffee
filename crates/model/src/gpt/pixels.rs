//! How losses depend on the pixels of images.

use tensor::{CrossEntropy, DType, Kernels, Tape, Tensor, Var};

use super::Gpt;
use crate::{Params, Tokens, input::Pixels};

impl Gpt {
    /// The losses of [`Gpt::losses`], and the gradient of their sum with respect to every number of the images' patches,
    /// `[n·P, 3·S·S]` in nats for a change of 1. Parameters get none.
    ///
    /// # Panics
    /// If the tokens have no images, or images that are known by their rows alone.
    #[track_caller]
    pub fn pixel_gradients(
        &self,
        kernels: &dyn Kernels,
        tokens: &Tokens,
        targets: &[u32],
    ) -> (Tensor, Tensor) {
        let Some(Pixels::Patches(patches)) = tokens.images.as_ref().map(|images| &images.pixels) else {
            panic!("gradients of pixels need tokens with patches of images")
        };
        let mut tape = Tape::recording(kernels);
        let params = self.constants();
        let pixels = tape.param(&patches.to_dtype(self.dtype), 0);
        let rows = self.features(&mut tape, &pixels, &params);
        let hidden = self.run_with(&mut tape, tokens, params, Some(rows), None, None);
        let (x, w) = (&hidden.rows, hidden.head());
        let loss = CrossEntropy { x, w, targets, scale: 1.0, row_weights: None };
        let mut gradients = [Tensor::zeros(&[0], DType::F32)];
        let losses = tape.backward_cross_entropy(&loss, Vec::new(), &mut gradients);
        let [gradient] = gradients;
        (losses, gradient.to_dtype(patches.dtype()))
    }

    /// The weights as values that need no gradient.
    fn constants(&self) -> Params<Var> {
        let leaves = self.params.iter().zip(&self.packed);
        let constant = |(param, packed): (&Tensor, &Option<_>)| Var::packed(param.clone(), packed.clone());
        self.specs.rebuilt(leaves.map(constant).collect::<Vec<_>>())
    }
}
