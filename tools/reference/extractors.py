"""Writes texts with the answers that lm-evaluation-harness's filters find in them, and whether it takes them for right.

    pip install "lm-eval[hf]==0.4.13" word2number
    python tools/reference/extractors.py DATA 300 fixtures/extractors.jsonl     # what the tests hold
    python tools/reference/extractors.py DATA 20000 /tmp/cases.jsonl            # 5,000 of GSM8K among them
    EXTRACTOR_CASES=/tmp/cases.jsonl cargo test -p eval extractors_find

DATA is a folder with exam-gsm8k/example_model_solutions.jsonl.gz (of openai/grade-school-math) and exam-bbh/bbh.jsonl.gz
(rows of BIG-bench Hard with `task`, `input`, `target`). Texts are solutions of models and right answers, cut, joined and
changed at random. A case: task, target, reference, text, and by filter `[answer, is right]`.
"""
import gzip, json, random, sys
from pathlib import Path

from datasets import Dataset, DatasetDict
from lm_eval.tasks import TaskManager

DATA, N, OUT = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rnd = random.Random(7)
PIECES = ["#### 12", "#### -3,000.50", "####", "#### ", "\n#### 7.", "$5", "1,2,3", "..", ",", "-", "$", "The answer is 9.", "The answer is 1,000", "the answer is (A).",
          "So the answer is Yes.", "True", "False", "(B)", "(C) ", "valid", "invalid", "not plausible", "plausible", "tells the truth", "forty two", "three hundred", "٣", "½", "５",
          "\n", "\n\n", " ", "\t", "é", "\u00a0", "\x1c", ": D", ":A", "yes", "No", "答えは5です。", "Die Antwort lautet 8.", "] >", "( [ ] )", "\"", "\\", "."]


def rows(path):
    with gzip.open(DATA / path, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def changed(text):
    for _ in range(rnd.choice([0, 1, 1, 2, 3])):
        at, kind = rnd.randrange(len(text) + 1), rnd.randrange(6)
        if kind == 0:
            text = text[:at]
        elif kind == 1:
            text = text[at:]
        elif kind == 2:
            text = text[:at] + rnd.choice(PIECES) + text[at:]
        elif kind == 3:
            text = text[:at] + rnd.choice("0123456789,.$-# \n(ABC)") + text[at + 1:]
        elif kind == 4:
            text += rnd.choice(PIECES)
        else:
            text = text.upper() if rnd.random() < 0.3 else text.replace("####", rnd.choice(["###", "####  ", "The answer is"]))
    return text


solutions = rows("exam-gsm8k/example_model_solutions.jsonl.gz")
names = [k for k in solutions[0] if k not in ("question", "ground_truth") and isinstance(solutions[0][k], (str, dict))]


def solution():
    row = rnd.choice(solutions)
    text = row[rnd.choice(names)]
    target, text = row["ground_truth"], text["solution"] if isinstance(text, dict) else text
    mark = rnd.choice(["\n#### ", "\n#### ", "\nA: "])  # of the data set, and of this file
    return target.replace("\nA: ", "\n#### "), text.replace("\nA: ", mark)


bbh = {}
for row in rows("exam-bbh/bbh.jsonl.gz"):
    bbh.setdefault(row["task"], []).append(row)
tasks = ["gsm8k"] * (len(bbh)) + ["gsm8k_cot", "mgsm_direct_de", "mgsm_en_cot_en", "mgsm_native_cot_de", "mgsm_native_cot_ja"]
for name in sorted(bbh):
    tasks += [f"bbh_{v}_{name}" for v in ("zeroshot", "cot_zeroshot", "cot_fewshot")]

manager, loaded = TaskManager(), {}


def load(name):
    """The task of the harness, over one row, since only its filters and metrics are used."""
    if name not in loaded:
        row = {"question": "q", "answer": "a #### 1", "answer_number": 1, "input": "i", "target": "t"}
        change = {"task": name, "custom_dataset": lambda **_: DatasetDict({s: Dataset.from_list([row]) for s in ("train", "test")})}
        loaded[name] = manager.load([{"group": "local", "task": [change]}])["tasks"][name]
    return loaded[name]


def case(name):
    reference = None
    if name.startswith("bbh"):
        subject = name.split("shot_")[1]
        row = rnd.choice(bbh[subject])
        target, reference = row["target"], {"input": row["input"]}
        doc = row
        other = rnd.choice(bbh[subject])["target"]
        options = [line for line in row["input"].split("\n") if line.startswith("(")] or [target]
        text = rnd.choice([target, f"So the answer is {target}.", f"{other}, no: {target}", f"{rnd.choice(options)}\nThe answer is {target}.", rnd.choice(options)[4:], row["input"],
                           solution()[1], "".join(rnd.choice(PIECES) for _ in range(rnd.randrange(1, 8)))])
    else:
        target, text = solution()
        if name != "gsm8k":
            target = target.split("####")[-1].strip().replace(",", "")
        if rnd.random() < 0.3:
            text = "".join(rnd.choice(PIECES) for _ in range(rnd.randrange(1, 10)))
        doc = {"question": "q", "answer": target, "answer_number": target, "target": target}
    text = changed(text)
    task, found = load(name), {}
    metric, = task._metric_fn_list
    for ensemble in task._filters:
        answers = [[text]]
        for step in ensemble.filters:
            answers = list(step().apply(answers, [doc]))
        answer = answers[0] if isinstance(answers[0], str) else answers[0][0]
        score = task._metric_fn_list[metric](references=[target], predictions=[answer], **task._metric_fn_kwargs[metric])
        found[ensemble.name] = [answer, bool(score["exact_match"])]
    return {"task": name, "target": target, "reference": reference, "text": text, "answers": found}


with open(OUT, "w", encoding="utf-8") as f:
    f.write(json.dumps({"generator": "tools/reference/extractors.py", "lm_eval": "0.4.13"}) + "\n")
    n = 0
    while n < N:
        try:
            line = case(rnd.choice(tasks))
        except (IndexError, ValueError):  # filters of the harness that stop at a text
            continue
        f.write(json.dumps(line, ensure_ascii=False) + "\n")
        n += 1
