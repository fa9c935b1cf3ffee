"""Checkpoints exported to GGUF against llama.cpp: greedy text at f32, and the perplexity of every kind beside ours.

    python tools/reference/gguf_files.py target/release/maquette CHECKPOINT TEXT [--prompts 20]

Needs llama-cpp-python, numpy and safetensors. TEXT is a file; prompts are the beginnings of its lines, perplexity is
that of its first tokens. Fails where a greedy continuation of 64 tokens differs from ours.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np
from llama_cpp import Llama
from safetensors.numpy import load_file

N_NEW = 64
KINDS = ["f32", "f16", "bf16", "q8_0", "q4_0"]


def call(binary, *arguments):
    """Standard output of maquette."""
    return subprocess.run([binary, *arguments], check=True, capture_output=True, text=True).stdout


def perplexity(logits, ids):
    """exp of the mean of -ln p over ids[1:]; logits are those of every position."""
    logits = np.asarray(logits, dtype=np.float64)[:-1]
    top = logits.max(-1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    return float(np.exp((log_sum - logits[np.arange(len(ids) - 1), ids[1:]]).mean()))


def greedy(model, ids):
    """What llama.cpp adds to ids, up to a token that ends."""
    vocab = llama_cpp.llama_model_get_vocab(model._model.model)
    model.reset()
    new = []
    for id in model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
        if llama_cpp.llama_vocab_is_eog(vocab, id) or len(new) == N_NEW:
            break
        new.append(id)
    return new


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("binary")
    p.add_argument("checkpoint")
    p.add_argument("text")
    p.add_argument("--prompts", type=int, default=20)
    a = p.parse_args()
    config = json.loads((Path(a.checkpoint) / "config.json").read_text())
    n_ctx = min(config["max_position_embeddings"], 1024)
    text = Path(a.text).read_text()
    lines = [line for line in text.splitlines() if len(line) > 30 and not any(c.isdigit() for c in line)]
    prompts = [line[:30] for line in lines[:: max(1, len(lines) // a.prompts)]][: a.prompts]
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            file = str(Path(folder) / f"{kind}.gguf")
            call(a.binary, "export", a.checkpoint, "--quant", kind, "--out", file)
            model = Llama(file, n_ctx=n_ctx, logits_all=True, n_threads=2, verbose=False)
            if kind == "f32":
                for prompt in prompts:
                    ours = json.loads(call(a.binary, "generate", a.checkpoint, "--prompt", prompt, "--temperature", "0",
                                           "--dtype", "f32", "--max-tokens", str(N_NEW), "--json"))
                    ids = model.tokenize(prompt.encode(), add_bos=True, special=False)
                    theirs = greedy(model, ids)
                    if ids != ours["prompt_ids"] or theirs != ours["ids"]:
                        differing += 1
                        print(f"differs after {prompt!r}:\n  {ours['ids']}\n  {theirs}")
                print(f"greedy text of {N_NEW} tokens at f32: {len(prompts) - differing} of {len(prompts)} equal")
                ids = model.tokenize(text[:20_000].encode(), add_bos=True, special=False)[:n_ctx]
                out = str(Path(folder) / "logits.safetensors")
                call(a.binary, "inspect", a.checkpoint, "--ids", ",".join(map(str, ids)), "--logits", out)
                print(f"perplexity of {len(ids) - 1} tokens: {perplexity(load_file(out)['logits'], ids):.4f} ours in f32")
            model.reset()
            model.eval(ids)
            print(f"{kind:>5}: {perplexity(model.scores[: len(ids)], ids):.4f} in llama.cpp, "
                  f"{Path(file).stat().st_size / 1e6:.1f} MB")
    raise SystemExit(differing > 0)


if __name__ == "__main__":
    main()
