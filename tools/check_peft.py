"""Adapters of `maquette sft --rank` with peft, beside the checkpoint that has them merged.

    python tools/check_peft.py BASE DIR/adapter DIR/merged

Logits of random sequences agree within 1e-4. Needs torch, transformers and peft; the project itself needs none of them.
"""

import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4


def main(base: str, adapter: str, merged: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, torch_dtype=torch.float32)
    adapted = PeftModel.from_pretrained(model, adapter).eval()
    ours = AutoModelForCausalLM.from_pretrained(merged, torch_dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(1)
    worst = moved = 0.0
    for length in (1, 7, 24):
        ids = torch.randint(ours.config.vocab_size, (2, length), generator=generator)
        with torch.no_grad():
            theirs, own = adapted(ids).logits, ours(ids).logits
            with adapted.disable_adapter():
                moved = max(moved, (adapted(ids).logits - own).abs().max().item())
        worst = max(worst, (theirs - own).abs().max().item())
    print(f"largest difference of logits {worst:.2e}; the adapters move them by up to {moved:.2e}")
    assert worst < TOLERANCE < moved


if __name__ == "__main__":
    main(*sys.argv[1:])
