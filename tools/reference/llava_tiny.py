#!/usr/bin/env python3
"""Writes `fixtures/llava_tiny.safetensors`: a random `LlavaForConditionalGeneration` with a SigLIP tower and a Llama text
model, as transformers saves it, and the logits that it gives for a text with two images; and `fixtures/llava_clip.safetensors`,
the same with a CLIP tower, whose class token is dropped (`vision_feature_select_strategy` "default"). f32 on the CPU, seed 1.
Regenerate from the repository root with

    pip install -r tools/requirements.txt
    python tools/reference/llava_tiny.py

Tensors: `weight:NAME` are those of the saved folder; `ids [T]` and `logits [T, V]`; `patches [2·P, 3·S·S]` are the
images, patch by patch from the left and then downwards, red, green and blue one after another. Metadata: `generator`,
`config` (the folder's `config.json`), `transformers_version`.
"""

import json
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, SiglipVisionConfig

IMAGE_TOKEN, IMAGE, PATCH = 3, 12, 4
OUT = Path(__file__).resolve().parents[2] / "fixtures"


SIZES = dict(
    hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, image_size=IMAGE, patch_size=PATCH
)


def main():
    write("llava_tiny", SiglipVisionConfig(**SIZES), vision_feature_layer=-1, vision_feature_select_strategy="full")
    # As LLaVA 1.5 has it: the vectors before the last block.
    write("llava_clip", CLIPVisionConfig(**SIZES), vision_feature_layer=-2, vision_feature_select_strategy="default")


def write(name, vision, **features):
    torch.manual_seed(1)
    text = LlamaConfig(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE_TOKEN,
        **features,
    )
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        # Larger than transformers draws them: a term that is left out must show in the logits.
        for place, parameter in model.named_parameters():
            scale = 0.2 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
            # CLIP's first norm is spelled `pre_layrnorm`.
            is_norm = "norm" in place or "layrnorm" in place
            offset = 1.0 if parameter.ndim == 1 and is_norm and place.endswith("weight") else 0.0
            parameter.normal_(0.0, scale).add_(offset)
    pixels = torch.rand(2, 3, IMAGE, IMAGE) * 2 - 1
    n_patches = (IMAGE // PATCH) ** 2
    ids = [7, 8, *[IMAGE_TOKEN] * n_patches, 9, 10, *[IMAGE_TOKEN] * n_patches, 11, 12, 13]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), pixel_values=pixels).logits[0]
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        weights = load_file(Path(folder) / "model.safetensors")
        saved_config = (Path(folder) / "config.json").read_text()
    patches = pixels.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)  # [2, 3, rows, columns, S, S]
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(2 * n_patches, 3 * PATCH * PATCH)
    tensors = {f"weight:{place}": tensor for place, tensor in weights.items()}
    tensors |= {"ids": torch.tensor(ids, dtype=torch.float32), "patches": patches.contiguous(), "logits": logits}
    metadata = {
        "generator": "tools/reference/llava_tiny.py",
        "config": saved_config,
        "transformers_version": transformers.__version__,
    }
    save_file(tensors, OUT / f"{name}.safetensors", metadata)
    print(f"{name}: {len(tensors)} tensors, logits up to {logits.abs().max():.2f}; {json.loads(saved_config)['model_type']}")


if __name__ == "__main__":
    main()
