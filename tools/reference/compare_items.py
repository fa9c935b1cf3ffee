"""Compares items of `maquette eval` with those of lm-evaluation-harness, one line a task.

    python tools/reference/compare_items.py OURS/eval THEIRS

Both folders hold TASK-Nshot.jsonl. Those of the harness have an object an item with `doc_id`, per choice `context_ids`,
`continuation_ids`, `loglikelihood` and `is_greedy`, then metrics; of generated answers `context_ids`, `generated` and per
filter `[answer, exact_match]`; a last line with `totals` is skipped.
"""
import json, sys
from pathlib import Path

ours, theirs = map(Path, sys.argv[1:3])
for path in sorted(theirs.glob("*shot.jsonl")):
    own = ours / path.name
    if not own.exists():
        continue
    a = {d["doc_id"]: d for d in map(json.loads, own.open())}
    b = {d["doc_id"]: d for d in map(json.loads, path.open()) if "totals" not in d}
    both = sorted(a.keys() & b.keys())
    ids = texts = worst = greedy = 0
    flips, answers = [], 0
    for i in both:
        x, y = a[i], b[i]
        if "choices" not in y:
            ids += x["context_ids"] != y["context_ids"]
            out = x["outputs"][0]
            texts += out["text"] != y["generated"]
            for name, found in y["filters"].items():
                key = "exact_match" if name == "none" else f"exact_match,{name}"
                answers += out["answers"].get(name, out["text"]) != found["answer"] or x[key] != found["exact_match"]
            continue
        for c, d in zip(x["choices"], y["choices"], strict=True):
            ids += (c.get("context_ids") or x["context_ids"]) != d["context_ids"] or c["continuation_ids"] != d["continuation_ids"]
            worst = max(worst, abs(c["loglikelihood"] - d["loglikelihood"]))
            greedy += c["is_greedy"] != d["is_greedy"]
        for metric in ("acc", "acc_norm"):
            if metric in x and metric in y and abs(x[metric] - y[metric]) > 1e-3:
                def score(c):
                    return c["loglikelihood"] / (c["n_chars"] if metric == "acc_norm" else 1)
                best = sorted(map(score, x["choices"]), reverse=True)
                flips.append((i, metric, round(best[0] - best[1], 6)))
    kind = f"texts that differ {texts}, verdicts that differ {answers}" if texts or answers or "choices" not in b[both[0]] else \
        f"largest difference of a log-likelihood {worst:.2e}, greedy flags that differ {greedy}, metrics that differ {flips or 'none'}"
    print(f"{path.stem}: {len(both)} items, ids that differ {ids}, {kind}")
