"""Writes fixtures/python_samples.jsonl: what `random.Random(seed).sample(range(n), k)` of CPython draws.

Run: python3 tools/reference/python_samples.py fixtures/python_samples.jsonl
Each line is one generator that draws several times; the first 16 hex digits of the SHA-256 of all draws are kept
(numbers separated by blanks, draws ended by line feeds).
"""

import hashlib
import json
import random
import sys

choose = random.Random(20)
cases = []
for i in range(1000):
    seed = 1234 if i % 4 == 0 else choose.choice([i, 2**32 - i, 2**32 + i, choose.getrandbits(63)])
    k = choose.choice([1, 2, 3, 4, 5, 6, 7, 10, 11, 21, 25, 26, 64, 100])
    near = choose.choice([k, k + 1, 21, 22, 85, 86, 277, 278, 256, 257, 1119, 2251, 7473, 16113, 40398])
    n = max(near, k)
    rnd = random.Random(seed)
    draws = choose.choice([1, 2, 20])
    text = "".join(" ".join(map(str, rnd.sample(range(n), k))) + "\n" for _ in range(draws))
    cases.append({"seed": seed, "n": n, "k": k, "draws": draws, "sha256": hashlib.sha256(text.encode()).hexdigest()[:16]})
with open(sys.argv[1], "w") as f:
    f.write(json.dumps({"generator": "tools/reference/python_samples.py", "python": sys.version.split()[0]}) + "\n")
    f.writelines(json.dumps(case) + "\n" for case in cases)
