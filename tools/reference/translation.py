"""Writes pairs of sentences with the chrF and BLEU that sacreBLEU gives them.

    pip install sacrebleu==2.6.0
    python tools/reference/translation.py TEXTS 20 fixtures/translation.jsonl
    python tools/reference/translation.py TEXTS 1500 /tmp/translation.jsonl
    TRANSLATION_CASES=/tmp/translation.jsonl cargo test -p eval those_of_sacrebleu

TEXTS is a folder of udhr_*.txt or other texts in several scripts, a sentence a line (FLORES-200's devtest/LANG.txt.gz);
for the fixture the Universal Declaration of Human Rights, which is free. A case: hypotheses (references changed at random),
references, and scores of the corpus; of single sentences also `sentence`, with effective order.
"""
import gzip, json, random, sys
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

TEXTS, N, OUT = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rnd = random.Random(3)
MARKS = [" ", "  ", ".", ",", "-", "1,000", "3.5", "&quot;", "&amp;", "<skipped>", "-\n", "\n", "\t", "€", "«", "»", "।", "、", "。", "٪", "'", "\"", "(", ")", "12-13", "\u00a0", "\u200b", "\x1c", "é"]
languages = {p.name.split(".")[0]: [line for line in (gzip.open(p, "rt") if p.suffix == ".gz" else p.open()).read().split("\n") if line.strip()] for p in sorted(TEXTS.iterdir())}


def changed(text):
    for _ in range(rnd.choice([0, 1, 2, 4, 8])):
        words, at = text.split(" "), rnd.randrange(len(text) + 1)
        kind = rnd.randrange(6)
        if kind == 0:
            text = text[:at] + rnd.choice(MARKS) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rnd.randrange(1, 6):]
        elif kind == 2:
            rnd.shuffle(words)
            text = " ".join(words)
        elif kind == 3:
            text = " ".join(words[:max(1, len(words) - 3)])
        elif kind == 4:
            text = text + " " + rnd.choice(words)
        else:
            text = text.replace(rnd.choice(words) or " ", "", 1)
    return text


with open(OUT, "w", encoding="utf-8") as f:
    f.write(json.dumps({"generator": "tools/reference/translation.py", "sacrebleu": "2.6.0"}) + "\n")
    for i in range(N):
        lines = languages[sorted(languages)[i % len(languages)]]
        n = 1 if i % 3 == 0 else rnd.randrange(2, 6)
        chosen = [rnd.choice(lines) for _ in range(n)]
        sets = [chosen] if i % 4 else [chosen, [changed(text) for text in chosen]]
        hypotheses = [changed(rnd.choice([text, text, rnd.choice(lines)])) for text in chosen]
        if i % 17 == 0:
            hypotheses[0] = ""
        case = {"hypotheses": hypotheses, "references": sets, "chrf": CHRF().corpus_score(hypotheses, sets).score}
        for name in ("13a", "intl", "char"):
            case[name] = BLEU(tokenize=name).corpus_score(hypotheses, sets).score
        if n == 1:
            case["sentence"] = BLEU(effective_order=True).corpus_score(hypotheses, sets).score
        f.write(json.dumps(case, ensure_ascii=False) + "\n")
