#!/usr/bin/env python3
"""Opens a checkpoint with `transformers` as it is and compares it with the `maquette` binary.

    python tools/check_transformers.py CHECKPOINT --maquette target/release/maquette --lines LINES.txt

CHECKPOINT is a model folder; `tools/make_lines.py` writes a LINES.txt worth trying. Five checks:

    model               AutoModelForCausalLM finds a value for every weight in the folder, and a weight for each
    tokenizer           token ids of every line are equal, and the ids decode to the line
    logits              random sequences of several lengths: max |Δ| within the tolerance
    generation_config   opens, and its ids are in the vocabulary
    greedy              20 tokens after each prompt give the same text; where the two best logits are so close
                        that rounding may choose, a difference is reported and is no failure

Ours come from `maquette tokenizer encode CHECKPOINT FILE --json` (one array of ids a line, special tokens never
read from text), `maquette inspect CHECKPOINT --ids 1,2,3 --logits FILE.safetensors` (tensor `logits`, `[T, V]`
f32) and `maquette generate CHECKPOINT --dtype f32 --prompt TEXT --max-tokens 20 --temperature 0` (standard output is the
continuation alone). Theirs are f32 on the CPU.

Exit status: 0 when every check passes, 1 when one fails, 2 when something could not be run.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the folder must be enough by itself

try:
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError as error:
    sys.exit(f"error: {error}\nhint: pip install -r tools/requirements.txt")

MAX_NEW_TOKENS = 20
# Two logits closer than this may change places by rounding alone.
TIE = 1e-3
PROMPTS = ["The ", "Once upon a time", "def main():\n    ", "Ünïcödé 日本語 🙂", "1, 2, 3, "]


class CannotRun(Exception):
    """What stopped the whole run, with a hint."""


class Failed(Exception):
    """What a check found wrong."""


def maquette(args, *command):
    """Standard output of the binary."""
    command = [str(args.maquette.resolve()), *map(str, command)]
    shown = " ".join(part if len(part) < 60 else part[:57] + "..." for part in command)
    try:
        done = subprocess.run(command, capture_output=True, timeout=args.timeout_s)
    except OSError as error:
        raise CannotRun(f"cannot run `{shown}`: {error}\nhint: cargo build --release, then --maquette PATH") from error
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"`{shown}` took more than {args.timeout_s} s\nhint: raise --timeout-s") from error
    if done.returncode != 0:
        stderr = done.stderr.decode("utf-8", "replace").strip()
        raise CannotRun(f"`{shown}` ended with status {done.returncode}:\n{stderr[-2000:]}")
    return done.stdout


def open_model(args):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        args.checkpoint, dtype=torch.float32, output_loading_info=True
    )
    wrong = {what: sorted(map(str, names)) for what, names in info.items() if names}
    if wrong:
        listed = "; ".join(f"{what}: {', '.join(names[:4])} ({len(names)} in all)" for what, names in wrong.items())
        raise Failed(f"{type(model).__name__} does not fit the weights: {listed}")
    return model.eval()


def check_model(args, model):
    n_params = sum(p.numel() for p in model.parameters())
    return f"{type(model).__name__}, {n_params:,} parameters"


def encode(tokenizer, text):
    """Their ids of plain text: nothing added, special tokens not recognised."""
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


def check_tokenizer(args, tokenizer, model):
    text = args.lines.read_bytes().decode("utf-8")
    lines = text.removesuffix("\n").split("\n")  # LF alone: a line may hold CR, U+0085 and the like
    if not text:
        raise CannotRun(f"`{args.lines}` is empty\nhint: write lines with tools/make_lines.py")
    if len(tokenizer) > model.config.vocab_size:
        raise Failed(f"{len(tokenizer)} ids in the tokenizer, but vocab_size is {model.config.vocab_size}")
    eos = model.generation_config.eos_token_id
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in (eos if isinstance(eos, list) else [eos]):
        raise Failed(f"{tokenizer.eos_token} has id {tokenizer.eos_token_id}, but generation ends at {eos}")
    output = maquette(args, "tokenizer", "encode", args.checkpoint, args.lines, "--json")
    ours = [json.loads(line) for line in output.decode("utf-8").splitlines() if line.strip()]
    if len(ours) != len(lines):
        raise Failed(f"expected {len(lines)} arrays of ids, one a line, found {len(ours)}")
    problems = []
    for i, (line, ids) in enumerate(zip(lines, ours)):
        theirs = encode(tokenizer, line)
        if ids != theirs:
            at = next((j for j, (a, b) in enumerate(zip(ids, theirs)) if a != b), min(len(ids), len(theirs)))
            spelled = [tokenizer.convert_ids_to_tokens(some[at : at + 4]) for some in (ids, theirs)]
            problems.append(f"line {i + 1}, id {at}: ours {spelled[0]}, theirs {spelled[1]}, in {line[:60]!r}")
        elif (decoded := tokenizer.decode(ids, clean_up_tokenization_spaces=False)) != line:
            problems.append(f"line {i + 1}: decodes to {decoded[:60]!r}, was {line[:60]!r}")
    if problems:
        raise Failed("\n".join([f"{len(problems)} of {len(lines)} lines differ", *problems[:5]]))
    return f"{len(lines):,} lines, {sum(map(len, ours)):,} ids, all equal, all decode to the line"


def check_logits(args, model):
    longest = min(model.config.max_position_embeddings, args.max_length)
    lengths = sorted({min(n, longest) for n in [1, 2, 7, 16, 33, longest // 2 + 1, longest]})
    rng = random.Random(args.seed)
    vocab_size = model.config.vocab_size
    worst, where, scale = 0.0, "", 0.0
    with tempfile.TemporaryDirectory() as folder:
        for n in lengths:
            ids = [rng.randrange(vocab_size) for _ in range(n)]
            path = Path(folder) / f"{n}.safetensors"
            maquette(args, "inspect", args.checkpoint, "--ids", ",".join(map(str, ids)), "--logits", path)
            tensors = load_file(path)
            if "logits" not in tensors:
                raise Failed(f"expected a tensor `logits` from `maquette inspect`, found {sorted(tensors)}")
            ours = tensors["logits"]
            with torch.no_grad():
                theirs = model(input_ids=torch.tensor([ids])).logits[0]
            if ours.shape != theirs.shape or ours.dtype != torch.float32:
                raise Failed(f"ours are {ours.dtype} {list(ours.shape)}, expected f32 {list(theirs.shape)}")
            if not torch.isfinite(ours).all():
                raise Failed(f"ours are not all finite for a sequence of {n} ids")
            delta = (ours - theirs).abs()
            scale = max(scale, theirs.abs().max().item())
            if delta.max().item() >= worst:
                worst, at = delta.max().item(), delta.argmax().item()
                where = f"position {at // vocab_size} of {n}, id {at % vocab_size}"
    found = f"max |Δ| {worst:.2e} ({where}; largest |logit| {scale:.1f})"
    if worst > args.tolerance:
        raise Failed(f"{found}, want at most {args.tolerance:.0e}")
    return f"{len(lengths)} sequences of {lengths[0]} to {lengths[-1]} ids, {found}"


def check_generation_config(args, model):
    config = transformers.GenerationConfig.from_pretrained(args.checkpoint)
    ids = {name: getattr(config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    for name, value in ids.items():
        for token in value if isinstance(value, list) else [value]:
            if token is not None and not 0 <= token < model.config.vocab_size:
                raise Failed(f"{name} is {token}, but vocab_size is {model.config.vocab_size}")
    if ids["eos_token_id"] is None:
        raise Failed("no eos_token_id: generation would never end")
    return ", ".join(f"{name.removesuffix('_token_id')} {value}" for name, value in ids.items())


def greedy(model, tokenizer, ids):
    """Ids of the continuation, and for each the lead of its logit over the second best."""
    with torch.no_grad():
        done = model.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            pad_token_id=model.generation_config.pad_token_id or 0,
            output_logits=True,
            return_dict_in_generate=True,
        )
    best = torch.stack(done.logits)[:, 0].topk(2, dim=-1).values
    return done.sequences[0, len(ids) :].tolist(), (best[:, 0] - best[:, 1]).tolist()


def compare_texts(tokenizer, ours, ids, leads):
    """Their text, and the lead of their token at which ours departs from it; None where the texts are equal."""

    def text(n):
        return tokenizer.decode(ids[:n], skip_special_tokens=True, clean_up_tokenization_spaces=False)

    if ours in (text(len(ids)), text(len(ids)) + "\n"):
        return text(len(ids)), None
    for n in range(1, len(ids) + 1):
        if not ours.startswith(text(n).rstrip("\ufffd")):  # a character may be complete only later
            return text(len(ids)), leads[n - 1]
    return text(len(ids)), leads[-1]


def check_greedy(args, tokenizer, model):
    prompts = args.prompt or PROMPTS
    notes, n_equal = [], 0
    for prompt in prompts:
        command = ["generate", args.checkpoint, "--dtype", "f32", "--prompt", prompt, "--max-tokens", MAX_NEW_TOKENS]
        ours = maquette(args, *command, "--temperature", 0).decode("utf-8", "replace")
        ids = encode(tokenizer, prompt)
        starts = {"": ids}
        if tokenizer.bos_token_id is not None:  # a prompt may be read as the beginning of a document
            starts[f" after {tokenizer.bos_token}"] = [tokenizer.bos_token_id, *ids]
        runs = {}
        for name, start in starts.items():
            runs[name] = compare_texts(tokenizer, ours, *greedy(model, tokenizer, start))
        equal = [name for name, (_, lead) in runs.items() if lead is None]
        if equal:
            n_equal += 1
            notes += [f"prompt {prompt!r} is equal{equal[0]}"] if equal[0] else []
            continue
        theirs, lead = min(runs.values(), key=lambda run: run[1])
        difference = f"prompt {prompt!r}: ours {ours!r}, theirs {theirs!r}, where their lead was {lead:.1e}"
        if lead > TIE:
            raise Failed(difference)
        notes.append(f"a tie, {difference}")
    return "\n".join([f"{n_equal} of {len(prompts)} continuations of {MAX_NEW_TOKENS} tokens are equal", *notes])


def run_checks(args):
    """Prints a row a check; true if none failed."""
    n_failed = 0

    def row(name, check, *inputs):
        nonlocal n_failed
        try:
            result, found = "ok", check(args, *inputs)
        except CannotRun:
            raise
        except Failed as error:
            result, found = "FAIL", str(error)
        except Exception as error:  # whatever `transformers` throws at a folder it does not like
            result, found = "FAIL", f"{type(error).__name__}: {error}"
        n_failed += result == "FAIL"
        print(f"{name:<18} {result:<5} " + found.replace("\n", "\n" + " " * 25), flush=True)

    print(f"{'check':<18} {'':<5} transformers {transformers.__version__}, torch {torch.__version__}")
    opened = {}

    def open_both(args):
        opened["model"] = open_model(args)
        return check_model(args, opened["model"])

    def open_tokenizer_and_check(args):
        tokenizer = opened["tokenizer"] = transformers.AutoTokenizer.from_pretrained(args.checkpoint)
        return f"{type(tokenizer).__name__}: " + check_tokenizer(args, tokenizer, opened["model"])

    row("model", open_both)
    if "model" not in opened:
        return False
    row("tokenizer", open_tokenizer_and_check)
    row("logits", check_logits, opened["model"])
    row("generation_config", check_generation_config, opened["model"])
    if "tokenizer" in opened:
        row("greedy", check_greedy, opened["tokenizer"], opened["model"])
    return n_failed == 0


def main():
    parser = argparse.ArgumentParser(description="Compare a checkpoint in transformers with the maquette binary.")
    parser.add_argument("checkpoint", type=Path, help="model folder")
    parser.add_argument("--maquette", type=Path, required=True, help="the binary")
    parser.add_argument("--lines", type=Path, required=True, help="UTF-8 text, one case a line")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest |Δ| of a logit (default 1e-4)")
    parser.add_argument("--max-length", type=int, default=300, help="longest sequence for logits (default 300)")
    parser.add_argument("--prompt", action="append", help="prompt to continue; may be given again")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--timeout-s", type=float, default=600, help="for each run of the binary (default 600)")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        if not (args.checkpoint / "config.json").is_file():
            raise CannotRun(f"expected a model folder with config.json, found none at `{args.checkpoint}`")
        if not args.lines.is_file():
            raise CannotRun(f"expected a text file, found none at `{args.lines}`\nhint: tools/make_lines.py")
        sys.exit(0 if run_checks(args) else 1)
    except CannotRun as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
