"""Random small models of transformers against `maquette inspect`: largest difference of logits, per architecture.

Both compute in f32 and are compared with transformers in f64, whose difference to its own f32 is printed beside ours.

    python tools/reference/families.py target/release/maquette

Needs torch, transformers and safetensors. Prints a line a model and fails where ours differs by more than 1e-4.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

BOUND = 1e-4
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
# Weights of std 1/sqrt(width): activations keep their scale.
SIZES = dict(vocab_size=211, hidden_size=72, intermediate_size=101, num_hidden_layers=3, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.12)
ODD = dict(vocab_size=97, hidden_size=30, intermediate_size=53, num_hidden_layers=2, num_attention_heads=5,
           num_key_value_heads=1, max_position_embeddings=300, initializer_range=0.18)


def configs():
    """Name and configuration of every model."""
    for sizes_name, sizes in [("even", SIZES), ("odd", ODD)]:
        for tied in [True, False]:
            for name, kind, extra in [
                ("llama", transformers.LlamaConfig, {}),
                ("llama3", transformers.LlamaConfig, dict(rope_scaling=dict(LLAMA3, rope_theta=500_000.0))),
                ("qwen2", transformers.Qwen2Config, {}),
                ("qwen3", transformers.Qwen3Config, dict(head_dim=16)),
            ]:
                yield f"{name} {sizes_name} {'tied' if tied else 'untied'}", kind(
                    tie_word_embeddings=tied, **sizes, **extra)


def main():
    binary, worst = sys.argv[1], 0.0
    for i, (name, config) in enumerate(configs()):
        torch.manual_seed(i)
        model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
        with torch.no_grad():  # biases and gains begin at constants, which would hide a swapped one
            for key, value in model.named_parameters():
                if value.dim() == 1:
                    value.add_(0.3 * torch.randn_like(value))
        ids = torch.randint(0, config.vocab_size, (1, 250))
        with torch.no_grad():
            theirs = model(ids).logits[0]
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            out = Path(folder) / "logits.safetensors"
            subprocess.run([binary, "inspect", folder, "--ids", ",".join(map(str, ids[0].tolist())), "--logits", out],
                           check=True)
            ours = load_file(out)["logits"]
        with torch.no_grad():
            want = model.double()(ids).logits[0]
        difference, their_difference = ((x - want).abs().max().item() for x in (ours, theirs))
        worst = max(worst, difference)
        print(json.dumps(dict(model=name, largest_difference=difference, their_largest_difference=their_difference,
                              largest_logit=want.abs().max().item())))
    sys.exit(worst > BOUND)


main()
