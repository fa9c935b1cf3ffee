"""Answers compared by the SQuAD metrics of transformers 4 (5 has them no more), for crates/eval/src/generation/squad.rs.

    pip install "transformers<5"
    python3 tools/reference/squad.py [N] > fixtures/squad.jsonl      # N cases, 240 if not given
    python3 tools/reference/squad.py 20000 > CASES && SQUAD_CASES=CASES cargo test -p eval squad
"""
import json, random, sys

from transformers.data.metrics.squad_metrics import compute_exact, compute_f1

WORDS = ("the The a an AN Theodor theory un la der die das 308 1,000 12.5% U.S. o'clock Super-Bowl (50) Denver Broncos Élan "
         "ÎLE İstanbul ΑΘΗΝΑΣ Σ Größe STRASSE река Волга 天津 东京, 第50回 ที่ एक अंतर पाँच العربية؟ 24 Ⅷ ½ ﬁn naïve don’t «da» —").split()
BETWEEN = [" ", "  ", "\u00a0", "\u3000", "\n", "\t", ", ", ". ", "-", "", "\u200b", "_"]


def text(rng):
    return "".join(rng.choice(WORDS) + rng.choice(BETWEEN[:3] * 4 + BETWEEN) for _ in range(rng.randrange(0, 7)))


def changed(rng, s):
    s = list(s)
    for _ in range(rng.randrange(0, 4)):
        if not s:
            break
        i = rng.randrange(len(s))
        if rng.random() < 0.4:
            s[i] = rng.choice("aAnthe .,!?-'’“٪")
        elif rng.random() < 0.5:
            del s[i]
        else:
            s.insert(i, rng.choice([" ", " the ", " a", "The ", ".", "\u00a0"]))
    s = "".join(s)
    return rng.choice([s, s.upper(), s.lower(), s, s])


rng = random.Random(7)
print(json.dumps({"generator": "tools/reference/squad.py"}))
for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 240):
    target = text(rng)
    answer = changed(rng, target) if rng.random() < 0.8 else text(rng)
    case = {"target": target, "answer": answer, "exact": compute_exact(target, answer), "f1": compute_f1(target, answer)}
    print(json.dumps(case, ensure_ascii=False))
