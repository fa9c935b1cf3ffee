#!/usr/bin/env python3
"""Writes `fixtures/llava_step.safetensors`: one training step of a tiny `LlavaForConditionalGeneration` (SigLIP tower, projector,
Qwen3 text model) on text and documents of pictures together, computed by transformers and PyTorch in f32 on the CPU, seed 1.
Regenerate from the repository root with

    pip install -r tools/requirements.txt
    python tools/reference/llava_step.py

The loss is `share` times the mean loss of all targets of the text, plus `1 - share` times the mean loss of what is learned of the
documents of pictures: their answers and ends. Every document is read alone.

Tensors: `weight:NAME` before the step, `grad:NAME` of the loss, `adamw:NAME` and `muon:NAME` after one step of either, NAME as
transformers saves it. `text.ids`, `text.lens` are the documents of the text with the token behind each, `pictures.ids`,
`pictures.lens`, `pictures.is_learned` those of pictures; `patches [n·P, 3·S·S]` are the images in their order, patch by patch from the
left and then downwards, red, green and blue one after another. `loss`, `text_loss`, `answers_loss`, `grad_norm` are `[1]`.
Metadata: `generator`, `config` (the folder's `config.json`), `settings` (JSON), `f32_error` (JSON: the largest |f32 - f64| of
gradients and of the stepped weights), `transformers_version`, `torch_version`.

The step is that of `gpt_tiny.py`; Muon takes all matrices but the embedding and the head, and reads the weight of the patch
convolution as a matrix `[D, 3·S·S]`. The positions of patches are no matrix: they have no weight decay.
"""

import copy
import json
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from gpt_tiny import OPTIMIZER, Muon32
from safetensors.torch import load_file, save_file
from transformers import LlavaConfig, LlavaForConditionalGeneration, Qwen3Config, SiglipVisionConfig

IMAGE_TOKEN, IMAGE, PATCH = 3, 8, 4
N_PATCHES = (IMAGE // PATCH) ** 2
SHARE = 0.3
# `eps` is so large that a gradient which is 0 but for rounding, such as that of a bias of keys, moves nothing.
SETTINGS = {
    "share": SHARE,
    "max_grad_norm": 0.5,
    "rates": {"matrix": 0.02, "embedding": 0.05, "head": 0.01, "gain": 0.003},
    "weight_decay": 0.1,
    "embedding_weight_decay": 0.03,
    "beta1": 0.9,
    "beta2": 0.95,
    "eps": 1e-4,
    "muon_momentum": 0.95,
}
OUT = Path(__file__).resolve().parents[2] / "fixtures" / "llava_step.safetensors"


def tiny_model():
    vision = SiglipVisionConfig(
        hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, image_size=IMAGE, patch_size=PATCH
    )
    text = Qwen3Config(
        vocab_size=31,
        hidden_size=16,
        intermediate_size=22,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=6,
        max_position_embeddings=48,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE_TOKEN,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.2 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
            offset = 1.0 if parameter.ndim == 1 and "norm" in name and name.endswith("weight") else 0.0
            parameter.normal_(0.0, scale).add_(offset)
    return model


def documents():
    """Text documents, and documents of pictures with what of them is learned; every one with the token behind its last input."""
    image = [IMAGE_TOKEN] * N_PATCHES
    text = [[0, 7, 12, 9, 7, 30, 21, 0], [0, 25, 11, 0], [0, 8, 8, 14, 5, 6, 17, 28, 19, 0]]
    asked = [
        ([0, *image, 10, 22, 15], [13, 0]),
        ([0, 11, *image, 12, *image, 10, 20], [9, 26, 27, 0]),
        ([0, *image, 18], [29, 0]),
    ]
    pictures = [question + answer for question, answer in asked]
    is_learned = [[0] * len(question) + [1] * len(answer) for question, answer in asked]
    return text, pictures, is_learned


def loss_of(model, pixels):
    text, pictures, is_learned = documents()
    n_text = sum(len(ids) - 1 for ids in text)
    n_learned = sum(sum(learned[1:]) for learned in is_learned)
    text_loss = answers_loss = 0.0
    for ids in text:
        logits = model(input_ids=torch.tensor([ids[:-1]])).logits[0]
        text_loss = text_loss + F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum") / n_text
    at = 0
    for ids, learned in zip(pictures, is_learned):
        n = ids.count(IMAGE_TOKEN) // N_PATCHES
        logits = model(input_ids=torch.tensor([ids[:-1]]), pixel_values=pixels[at : at + n]).logits[0]
        at += n
        losses = F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
        answers_loss = answers_loss + (losses * torch.tensor(learned[1:], dtype=losses.dtype)).sum() / n_learned
    return text_loss, answers_loss, SHARE * text_loss + (1 - SHARE) * answers_loss


def role(name, parameter):
    if "embed_tokens" in name:
        return "embedding"
    if "lm_head" in name:
        return "head"
    return "gain" if parameter.ndim == 1 or "position_embedding" in name else "matrix"


def stepped(model, grads, norm, with_muon):
    """The parameters after one step from these."""
    s = SETTINGS
    clip = min(1.0, s["max_grad_norm"] / (norm.item() + 1e-6))
    result = {}
    for name, parameter in model.named_parameters():
        p = torch.nn.Parameter(parameter.detach().clone())
        if name not in grads:
            result[name] = p.detach()
            continue
        p.grad = grads[name] * clip
        kind = role(name, parameter)
        decay = {"matrix": s["weight_decay"], "gain": 0.0}.get(kind, s["embedding_weight_decay"])
        if with_muon and kind == "matrix":
            matrix = torch.nn.Parameter(p.detach().reshape(p.shape[0], -1))
            matrix.grad = p.grad.reshape(p.shape[0], -1)
            settings = {**OPTIMIZER["muon"], "lr": s["rates"]["matrix"], "momentum": s["muon_momentum"], "weight_decay": decay}
            Muon32([matrix], settings).step()
            result[name] = matrix.detach().reshape(p.shape)
            continue
        torch.optim.AdamW(
            [p], lr=s["rates"][kind], betas=(s["beta1"], s["beta2"]), eps=s["eps"], weight_decay=decay, foreach=False
        ).step()
        result[name] = p.detach()
    return result


def step(model, pixels):
    text_loss, answers_loss, loss = loss_of(model, pixels)
    loss.backward()
    # The norm behind the encoder is not used: what is taken stands before it.
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    norm = torch.stack([g.pow(2).sum() for g in grads.values()]).sum().sqrt()
    scalars = {"loss": loss, "text_loss": text_loss, "answers_loss": answers_loss, "grad_norm": norm}
    scalars = {name: value.detach().reshape(1) for name, value in scalars.items()}
    return scalars, grads, stepped(model, grads, norm, False), stepped(model, grads, norm, True)


def saved(model, values):
    """These values under the names that transformers saves parameters with."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values.get(name, torch.zeros_like(parameter)))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(Path(folder) / "model.safetensors"), (Path(folder) / "config.json").read_text()


def main():
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = tiny_model()
    text, pictures, is_learned = documents()
    n_images = sum(ids.count(IMAGE_TOKEN) for ids in pictures) // N_PATCHES
    pixels = torch.rand(n_images, 3, IMAGE, IMAGE) * 2 - 1
    weights, config = saved(model, dict(model.named_parameters()))
    precise = copy.deepcopy(model).double()
    scalars, grads, adamw, muon = step(model, pixels)
    assert scalars["grad_norm"].item() > SETTINGS["max_grad_norm"], "the gradient is to be clipped"
    assert {name for name, _ in model.named_parameters()} - grads.keys() == {
        name for name, _ in model.named_parameters() if "post_layernorm" in name or ".head." in name
    }
    _, grads64, adamw64, muon64 = step(precise, pixels.double())
    errors = {
        what: max((a[name].double() - b[name]).abs().max().item() for name in a)
        for what, a, b in [("grad", grads, grads64), ("adamw", adamw, adamw64), ("muon", muon, muon64)]
    }
    patches = pixels.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)  # [n, 3, rows, columns, S, S]
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(n_images * N_PATCHES, 3 * PATCH * PATCH)
    tensors = {f"weight:{name}": tensor for name, tensor in weights.items()}
    for what, values in [("grad", grads), ("adamw", adamw), ("muon", muon)]:
        tensors |= {f"{what}:{name}": tensor for name, tensor in saved(model, values)[0].items()}
    tensors |= {"patches": patches.contiguous(), **scalars}
    for what, rows in [("text.ids", text), ("pictures.ids", pictures), ("pictures.is_learned", is_learned)]:
        tensors[what] = torch.tensor([x for row in rows for x in row], dtype=torch.float32)
    tensors["text.lens"] = torch.tensor([len(row) for row in text], dtype=torch.float32)
    tensors["pictures.lens"] = torch.tensor([len(row) for row in pictures], dtype=torch.float32)
    metadata = {
        "generator": "tools/reference/llava_step.py",
        "config": config,
        "settings": json.dumps(SETTINGS),
        "f32_error": json.dumps(errors),
        "transformers_version": transformers.__version__,
        "torch_version": torch.__version__,
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, OUT, metadata)
    print(f"{OUT}: {OUT.stat().st_size} bytes, {len(tensors)} tensors; {scalars}; f32 - f64 {errors}")


if __name__ == "__main__":
    main()
