"""Writes texts with what IFEval's checkers in lm-evaluation-harness make of them.

    pip install "lm-eval[hf,ifeval]==0.4.13"
    python tools/reference/ifeval.py DATA 300 fixtures/ifeval.jsonl
    python tools/reference/ifeval.py DATA 20000 /tmp/ifeval.jsonl; IFEVAL_CASES=/tmp/ifeval.jsonl cargo test -p eval by_the_harness

DATA holds exam-ifeval/input_data.jsonl.gz, the published questions. Texts are made up of pieces that instructions ask for.
Checks that need langdetect or NLTK's tables (language, letter case of English, number of sentences, words in capitals) are
left out: the project's own are approximations, and say so.
"""
import gzip, json, random, sys, types
from pathlib import Path

sys.modules.setdefault("langdetect", types.ModuleType("langdetect"))
from lm_eval.tasks.ifeval import utils

DATA, N, OUT = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
LEFT_OUT = {"language:response_language", "change_case:english_capital", "change_case:english_lowercase", "length_constraints:number_sentences",
            "change_case:capital_word_frequency"}
rnd = random.Random(11)
PIECES = ["Some plain words here. ", "*highlighted*", "**bold**", "* a point\n", "- another point\n", "\n\n", "\n***\n", "******", "[name]", "[a]\n[b]", "<<My title>>", "<<>>", "P.S. more",
          "P.P.S more", "p.p.s. and", "\"", "'", ",", "SECTION 1 ", "Section 2\n", "My answer is yes.", "My answer is maybe.", "{\"a\": 1}", "```json\n[1, 2]\n```", "```", " * ", "** **", "\t- x\n",
          "Paragraph 1", "Is there anything else I can help with?", "\u00a0", "é, ü", "word " * 40, "PARAGRAPH 3 ", "day 1", "\n* \n", "*a\nb*", "***", "\n", "1", "_x_", "don't", "नमस्ते दुनिया"]
with gzip.open(DATA / "exam-ifeval/input_data.jsonl.gz", "rt") as f:
    rows = [json.loads(line) for line in f]


def words(kwargs):
    for value in kwargs.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield text


with open(OUT, "w", encoding="utf-8") as f:
    f.write(json.dumps({"generator": "tools/reference/ifeval.py", "lm_eval": "0.4.13"}) + "\n")
    n = 0
    while n < N:
        row = rnd.choice(rows)
        kept = [(i, k) for i, k in zip(row["instruction_id_list"], row["kwargs"]) if i not in LEFT_OUT]
        # A missing or zero setting, and a letter that is none, are drawn at random by the checkers.
        if not kept or any(not v for _, k in kept for v in k.values()) or any(not k.get("letter", "a").isalpha() for _, k in kept):
            continue
        own = [w for _, k in kept for w in words(k)]
        text = "".join(rnd.choice(own) + rnd.choice(["", " ", "\n"]) if own and rnd.random() < 0.4 else rnd.choice(PIECES) for _ in range(rnd.randrange(0, 14)))
        if rnd.random() < 0.15:
            text = rnd.choice(["\"" + text + "\"", text.upper(), text.lower(), text.strip() + "\n" + text, text * 3])
        example = utils.InputExample(0, [i for i, _ in kept], row["prompt"], [k for _, k in kept])
        try:
            strict = utils.test_instruction_following_strict(example, text).follow_instruction_list
            loose = utils.test_instruction_following_loose(example, text).follow_instruction_list
        except IndexError:  # a checker that stops at a text
            continue
        f.write(json.dumps({"text": text, "instruction_id_list": example.instruction_id_list, "kwargs": example.kwargs, "strict": strict, "loose": loose}, ensure_ascii=False) + "\n")
        n += 1
