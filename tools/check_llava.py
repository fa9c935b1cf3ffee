#!/usr/bin/env python3
"""Holds a checkpoint with eyes against transformers: it must open with `AutoProcessor` and `LlavaForConditionalGeneration`
without a missing or unexpected key, and give the same token ids, the same greedy answers and the same log-probabilities
as `maquette generate` for questions with 0 to 4 images.

    pip install -r tools/requirements.txt
    python tools/check_llava.py CHECKPOINT --maquette target/release/maquette --images FOLDER [--n 20]

FOLDER holds .png files, as `maquette data pictures` writes them. Says the largest differences; exits with 1 where ids
differ or log-probabilities differ by more than 1e-3.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

TOLERANCE = 1e-3
N_NEW = 6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--maquette", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--n", type=int, default=20)
    args = parser.parse_args()
    model, info = LlavaForConditionalGeneration.from_pretrained(args.checkpoint, output_loading_info=True)
    model = model.float().eval()
    wrong = {key: sorted(names) for key, names in info.items() if names and key != "error_msgs"}
    print(f"keys: {wrong or 'none missing, unexpected or mismatched'}")
    # Pillow's arithmetic: torchvision's differs in single levels.
    processor = AutoProcessor.from_pretrained(args.checkpoint, backend="pil")
    print(f"{type(processor).__name__} with {type(processor.image_processor).__name__}")
    image_token = processor.image_token
    files = sorted(args.images.glob("*.png"))
    worst, n_differing, n_texts = 0.0, 0, 0
    for i in range(args.n):
        images = [files[(7 * i + k) % len(files)] for k in range(i % 5)]
        text = f"<|endoftext|>{image_token * len(images)}\nQuestion {i}: what is there?\n"
        command = [args.maquette, "generate", args.checkpoint, "--prompt", text, "--json", "--temperature", "0"]
        command += ["--max-tokens", str(N_NEW), "--dtype", "f32"]
        for path in images:
            command += ["--image", path]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        ours = json.loads(said.stdout)
        pictures = [Image.open(path) for path in images]
        inputs = processor(images=pictures or None, text=text, return_tensors="pt", add_special_tokens=False)
        if inputs["input_ids"][0].tolist() != ours["prompt_ids"]:
            print(f"prompt {i}: ids differ: {inputs['input_ids'][0].tolist()} and {ours['prompt_ids']}")
            n_differing += 1
            continue
        ids, pixels = inputs["input_ids"], inputs.get("pixel_values")
        for n, (token, logprob) in enumerate(zip(ours["ids"], ours["logprobs"])):
            with torch.no_grad():
                logits = model(input_ids=ids, pixel_values=pixels).logits[0, -1].log_softmax(-1)
            worst = max(worst, abs(logits[token].item() - logprob))
            if logits.argmax().item() != token:
                print(f"prompt {i}, token {n}: {logits.argmax().item()} and {token}")
                n_differing += 1
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
            n_texts += 1
    print(f"{args.n} prompts, {n_texts} tokens: log-probabilities differ by at most {worst:.1e}, {n_differing} tokens differ")
    sys.exit(bool(wrong) or n_differing > 0 or worst > TOLERANCE)


if __name__ == "__main__":
    main()
