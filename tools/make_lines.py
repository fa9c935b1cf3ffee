#!/usr/bin/env python3
"""Writes 1,000 lines that are hard on a tokenizer, for `tools/check_transformers.py`.

    python tools/make_lines.py --udhr DIR --code DIR --out FILE [--lines 1000] [--seed 1234]

A mixture of natural languages, Python code, emoji, control characters, odd whitespace, combining marks,
look-alikes of special tokens and arbitrary code points. The same inputs and seed give the same bytes.

`--udhr` and `--code` take a file or a folder: `.jsonl` or `.jsonl.gz` with a field `text` in each object
(for `--udhr` one object a language), or plain `.txt` and `.py` files. The Universal Declaration of Human
Rights in 125 languages fits `--udhr`, any Python source tree fits `--code`.

The output is UTF-8 and its lines end in LF alone. A line may hold any other character, among them CR (never
as its last), vertical tab, U+0085 and U+2028: read it with a split at LF, not with `str.splitlines`.
"""

import argparse
import gzip
import json
import random
import sys
import unicodedata
from pathlib import Path

# Share of each kind, in per mille.
KINDS = {
    "language": 400,
    "code": 200,
    "emoji": 100,
    "whitespace": 80,
    "control": 60,
    "combining": 60,
    "special": 60,
    "codepoints": 40,
}

MAX_CHARS = 400


def read_texts(path):
    """The texts below `path`, in an order that does not depend on the file system."""
    path = Path(path)
    if not path.exists():
        sys.exit(f"error: expected a file or folder of texts, found nothing at `{path}`")
    suffixes = (".jsonl", ".jsonl.gz", ".txt", ".py")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.name.endswith(suffixes))
    texts = []
    for file in files:
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8", newline="\n") as lines:
            if ".jsonl" in file.suffixes:
                texts += [json.loads(line)["text"] for line in lines if line.strip()]
            else:
                texts.append(lines.read())
    if not texts:
        sys.exit(f"error: expected {', '.join(suffixes)} files in `{path}`, found none")
    return texts


def split_lines(text):
    return [line[:MAX_CHARS] for line in text.replace("\r\n", "\n").split("\n") if line.strip()]


def language_lines(texts, n, rng):
    """Every language in turn, so that each of up to `n` of them is there."""
    split = [lines for lines in map(split_lines, texts) if lines]
    lines = []
    for i in range(n):
        line = rng.choice(split[i % len(split)])
        form = rng.choice([None, None, None, "NFC", "NFD", "upper", "lower"])
        if form in ("NFC", "NFD"):
            line = unicodedata.normalize(form, line)
        elif form:
            line = getattr(line, form)()
        lines.append(line)
    return lines


def code_lines(texts, n, rng):
    """Single lines with their indentation, comments and strings included."""
    split = [lines for lines in map(split_lines, texts) if lines]
    return [rng.choice(rng.choice(split)) for _ in range(n)]


def pick(rng, *ranges):
    """A character from inclusive ranges of code points."""
    low, high = rng.choice(ranges)
    return chr(rng.randint(low, high))


def word(rng):
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDEÄÖéßñ0123456789'") for _ in range(rng.randint(1, 9)))


def emoji(rng):
    """One emoji: plain, with a skin tone, a flag, a keycap or a sequence joined by ZWJ."""
    pictures = [(0x1F300, 0x1F5FF), (0x1F600, 0x1F64F), (0x1F680, 0x1F6D7), (0x1F90C, 0x1F9FF), (0x2600, 0x27BF)]
    tones = (0x1F3FB, 0x1F3FF)
    people = [(0x1F466, 0x1F469), (0x1F9D1, 0x1F9D3)]
    kind = rng.randrange(8)
    if kind == 0:
        return pick(rng, (0x1F44A, 0x1F450), (0x1F590, 0x1F590), (0x270A, 0x270D)) + pick(rng, tones)
    if kind == 1:
        return pick(rng, (0x1F1E6, 0x1F1FF)) + pick(rng, (0x1F1E6, 0x1F1FF))
    if kind == 2:
        return rng.choice("0123456789#*") + "\ufe0f\u20e3"
    if kind == 3:
        return "\u200d".join(pick(rng, *people) for _ in range(rng.randint(2, 4)))
    if kind == 4:
        tool = rng.choice(["\U0001f4bb", "\U0001f33e", "\U0001f680", "\u2695\ufe0f", "\u2708\ufe0f", "\u2764\ufe0f"])
        return pick(rng, *people) + pick(rng, tones) + "\u200d" + tool
    if kind == 5:
        return pick(rng, (0x2600, 0x26FF)) + rng.choice(["\ufe0e", "\ufe0f"])
    if kind == 6:  # a flag of a region: tag characters after a black flag
        tags = "".join(chr(0xE0000 + ord(c)) for c in rng.choice(["gbeng", "gbsct", "gbwls", "usca"]))
        return "\U0001f3f4" + tags + "\U000e007f"
    return pick(rng, *pictures)


def emoji_line(rng):
    parts = [emoji(rng) if rng.random() < 0.7 else word(rng) for _ in range(rng.randint(1, 14))]
    return rng.choice(["", " ", "  "]).join(parts)


SPACES = [" ", "  ", "    ", "\t", "\t\t", "\v", "\f", "\r", "\x1c", "\x85", "\xa0", "\u1680", "\u2002", "\u2009"]
SPACES += ["\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff", " \r \t", " " * 17]


def whitespace_line(rng):
    """Empty lines and lines of nothing but space among them."""
    shape = rng.randrange(8)
    if shape == 0:
        return " " * rng.randint(0, 130)
    if shape == 1:
        return "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 9)))
    parts = []
    for _ in range(rng.randint(2, 12)):
        parts += [rng.choice(SPACES), rng.choice([word(rng), str(rng.randrange(10**9)), "...", "don't", "I'LL", ""])]
    return "".join(parts) + rng.choice(["", " ", "   ", "\t"])


def control_line(rng):
    """C0, DEL, C1 and invisible format characters between words; NUL too."""
    ranges = [(0x00, 0x09), (0x0B, 0x1F), (0x7F, 0x9F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069)]
    ranges += [(0xFFF9, 0xFFFC), (0xAD, 0xAD), (0xFE00, 0xFE0F)]
    return "".join(pick(rng, *ranges) if rng.random() < 0.5 else word(rng) for _ in range(rng.randint(1, 16)))


def combining_line(rng):
    """Stacked marks on Latin, Hebrew, Arabic, Devanagari, Thai letters, and conjoining Hangul."""
    scripts = [
        ([(0x41, 0x5A), (0x61, 0x7A)], [(0x300, 0x36F), (0x1AB0, 0x1ABE), (0x20D0, 0x20DC)]),
        ([(0x5D0, 0x5EA)], [(0x5B0, 0x5BD), (0x591, 0x5AF)]),
        ([(0x621, 0x64A)], [(0x64B, 0x65F)]),
        ([(0x905, 0x939)], [(0x93E, 0x94D), (0x901, 0x903)]),
        ([(0xE01, 0xE2E)], [(0xE34, 0xE3A), (0xE47, 0xE4E)]),
        ([(0x1100, 0x1112)], [(0x1161, 0x1175), (0x11A8, 0x11C2)]),
    ]
    line = ""
    for _ in range(rng.randint(1, 6)):
        letters, marks = rng.choice(scripts)
        for _ in range(rng.randint(1, 8)):
            line += pick(rng, *letters) + "".join(pick(rng, *marks) for _ in range(rng.choice([0, 1, 1, 2, 5])))
        line += rng.choice([" ", "", ", "])
    return unicodedata.normalize("NFC", line) if rng.random() < 0.3 else line


SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
SPECIALS += ["<|endofturn|>", "<|pad|>", "<pad>", "<s>", "</s>", "<unk>", "<image>", "<|image|>", "[INST]", "<bos>"]
SPECIALS += ["<|begin_of_text|>", "<|fim_prefix|>", "<|endoftext|", "|endoftext|>", "<|EndOfText|>", "< |endoftext|>"]


def special_line(rng):
    parts = [rng.choice(SPECIALS) if rng.random() < 0.6 else word(rng) for _ in range(rng.randint(1, 8))]
    return rng.choice(["", " ", "\t"]).join(parts)


def codepoints_line(rng):
    """Anything that UTF-8 can hold, unassigned and private code points included."""
    ranges = [(0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x1FFFF), (0x20000, 0x10FFFF)]
    return "".join(pick(rng, *ranges) for _ in range(rng.randint(1, 40)))


def make_lines(udhr, code, n_lines, seed):
    rng = random.Random(seed)
    counts = {kind: n_lines * share // 1000 for kind, share in KINDS.items()}
    counts["language"] += n_lines - sum(counts.values())
    lines = language_lines(udhr, counts["language"], rng) + code_lines(code, counts["code"], rng)
    generated = {
        "emoji": emoji_line,
        "whitespace": whitespace_line,
        "control": control_line,
        "combining": combining_line,
        "special": special_line,
        "codepoints": codepoints_line,
    }
    for kind, line in generated.items():
        lines += [line(rng) for _ in range(counts[kind])]
    rng.shuffle(lines)
    # A CR before the LF would be taken for a line ending by some readers, a BOM at the start for a signature.
    lines = [line + "|" if line.endswith("\r") else line for line in lines]
    lines[0] = "|" + lines[0] if lines[0].startswith("\ufeff") else lines[0]
    assert not any("\n" in line for line in lines)
    return lines


def main():
    parser = argparse.ArgumentParser(description="Write lines that are hard on a tokenizer.")
    parser.add_argument("--udhr", required=True, help="file or folder of texts in many languages")
    parser.add_argument("--code", required=True, help="file or folder of Python source")
    parser.add_argument("--out", required=True, help="file to write")
    parser.add_argument("--lines", type=int, default=1000, help="how many lines (default 1000)")
    parser.add_argument("--seed", type=int, default=1234)
    args = parser.parse_args()
    lines = make_lines(read_texts(args.udhr), read_texts(args.code), args.lines, args.seed)
    Path(args.out).write_bytes("".join(line + "\n" for line in lines).encode("utf-8"))
    n_chars = sum(map(len, lines))
    print(f"{args.out}: {len(lines)} lines, {n_chars} characters", file=sys.stderr)


if __name__ == "__main__":
    main()
