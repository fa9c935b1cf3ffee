"""Writes fixtures/vision_scores.json: scores of lmms-eval 0.7.3 for answers made up here.

    pip install --no-deps --target lmms lmms-eval==0.7.3
    python tools/reference/vision_scores.py lmms

The functions are taken out of the package's files one by one, because its modules import far more than they need. VQAv2's own
rules are those of lmms-eval without the first normalisation of the model's answer.
"""

import ast
import json
import pathlib
import random
import statistics
import sys
import re

OUT = pathlib.Path(__file__).parents[2] / "fixtures" / "vision_scores.json"
RNG = random.Random(25)


def taken(path, *names):
    """The definitions `names` of a file."""
    tree = ast.parse(path.read_text())
    found = [node for node in tree.body if getattr(node, "name", None) in names]
    for node in found:
        node.decorator_list = []
    space = {"re": re, "statistics": statistics}
    exec(compile(ast.Module(found, []), str(path), "exec"), space)
    return [space[name] for name in names]


def plain(text):
    return text.replace("\n", " ").replace("\t", " ").strip()


def accuracy(answers, prediction):
    return statistics.mean(min(1, float(sum(a == prediction for j, a in enumerate(answers) if i != j)) / 3) for i in range(len(answers)))


def main(package):
    [relaxed] = taken(package / "tasks/chartqa/utils.py", "relaxed_correctness")
    [levenshtein, anls] = taken(package / "api/metrics.py", "levenshtein_distance", "anls")
    anls.__globals__["levenshtein_distance"] = levenshtein
    [Processor] = taken(package / "tasks/_task_utils/vqa_eval_metric.py", "EvalAIAnswerProcessor")
    processor = Processor()

    numbers = ["100", "104", "105", "105.1", "95", "94.9", "-100", "0", "0.0", "5%", "5", "0.05", "5.2%", "5 %", "5%%", "%", "1,000", "1000", "1_000", "1__0", "_1", "1e3", "nan", "inf", "-inf", " 7 ", "7", "7.", ".5", "0x10", "", "Yes", "yes", "YES.", "Straße", "STRASSE", "Мир", "мир", "0%", "3 million"]
    charts = [(a, b, relaxed(a, b)) for a in numbers for b in numbers]

    words = ["Nov 12", "nov  12", " Nov 12 ", "November 12", "", "  ", "12", "Straße 7", "STRASSE 7", "a b c", "abc", "İstanbul", "Мир труд май", "мир  труд май"]
    documents = []
    for prediction in words:
        for _ in range(8):
            answers = RNG.sample(words, RNG.randint(1, 3))
            documents.append((prediction, answers, float(anls(answers, [prediction])["anls"])))

    said = ["yes", "Yes", "no", "one", "1", "none", "0", "the red", "red", "Red.", "a dog", "dog's", "dogs", "dont know", "don't know", "1,000", "1000", "left/right", "left / right", "left right", "U.S.A.", "usa", "3.5", "3.5.", "10:30", "wont", "shed've", "hed've", "couldntve", "couldnt've", "somebody'd", "someonell", "what?", "what ?", "(b)", "( b )", "b", "t-shirt", "t shirt", "a\tb\nc", ". . . .", "." * 40, "Im", "ive", "she's", "shes", "lets", "ow's'at", "yall'd've", "an", "the", "", "ten o'clock", "10 oclock", "двери", "Двери!"]
    questions = []
    for prediction in said:
        for k in range(6):
            pool = RNG.sample(said, 3) + [prediction]
            people = [prediction] * 10 if k == 0 else [RNG.choice(said)] * 10 if k == 1 else [RNG.choice(pool) for _ in range(10)]
            cleaned = [plain(answer) for answer in people]
            both = lambda text: processor.process_digit_article(processor.process_punctuation(text))
            differ = len(set(cleaned)) > 1
            answers = [both(answer) for answer in cleaned] if differ else cleaned
            ours, official = processor(prediction), plain(prediction)
            if differ:
                ours, official = both(ours), both(official)
            text = accuracy([processor(answer) for answer in people], processor(prediction))
            questions.append((prediction, people, accuracy(answers, ours), accuracy(answers, official), text))

    about = {"generator": "tools/reference/vision_scores.py", "lmms_eval": "0.7.3"}
    lines = lambda rows: "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]"
    OUT.write_text(f'{{"about": {json.dumps(about)},\n"chartqa": {lines(charts)},\n"anls": {lines(documents)},\n"vqa": {lines(questions)}}}\n')
    print(f"{OUT}: {OUT.stat().st_size} bytes, {len(charts)} charts, {len(documents)} documents, {len(questions)} questions")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) / "lmms_eval")
