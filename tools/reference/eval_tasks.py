"""Writes the task files of generated answers whose examples are part of the task, from lm-evaluation-harness's own.

    pip install lm-eval==0.4.13
    python tools/reference/eval_tasks.py EXEMPLARS      # writes crates/eval/tasks/{bbh,mgsm,gsm8k_cot}*.toml

EXEMPLARS is `exemplars.py` of https://github.com/google-research/url-nlp/tree/main/mgsm, whose examples (CC-BY-4.0) are the
few-shot documents of MGSM. Those of BIG-bench Hard (MIT) stand in the files of the harness.
"""
import ast, json, re, sys
from pathlib import Path

import lm_eval, yaml

TASKS = Path(lm_eval.__file__).parent / "tasks"
OUT = Path(__file__).parents[2] / "crates/eval/tasks"


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: node.value)


def load(path):
    """A task of the harness with what it includes."""
    own = yaml.load(path.read_text(), Loader)
    if "include" in own:
        own = load(path.parent / own.pop("include")) | own
    return own


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


FUNCTIONS = {"utils.MultiChoiceRegexFilter": "multi_choice_regex", "utils.MapRegexFilter": "map_regex",
             "utils.NumberParseRegexFilter": "number_parse_regex", "utils.WordSortFilter": "word_sort"}


def steps(filter_list):
    out = []
    for entry in filter_list:
        chain = []
        for step in entry["filter"]:
            step = dict(step)
            step["function"] = FUNCTIONS.get(step["function"], step["function"])
            if "regex_pattern_to_value" in step:
                step["regex_pattern_to_value"] = [[k, v] for k, v in step["regex_pattern_to_value"].items()]
            if step["function"] == "multi_choice_regex":
                step["choices_pattern"] = r"\([A-Z]\)([^\n^(]*)"
            chain.append(step)
        out.append({"name": entry["name"], "steps": chain})
    return out


def generate(task, keep=()):
    kwargs, metric = task["generation_kwargs"], task["metric_list"][0]
    assert metric["metric"] == "exact_match" and not kwargs.get("do_sample")
    lines = [f"until = {toml(kwargs['until'])}"]
    if "max_gen_toks" in kwargs:
        lines.append(f"max_tokens = {kwargs['max_gen_toks']}")
    if keep:
        lines.append(f"keep = {toml(list(keep))}")
    rule = {k: v for k, v in metric.items() if k.startswith(("ignore", "regexes")) and v}
    if rule:
        lines.append(f"exact_match = {toml(rule)}")
    if "filter_list" in task:
        lines.append("filters = [\n" + "".join(f"  {toml(f)},\n" for f in steps(task["filter_list"])) + "]")
    return "\n".join(lines) + "\n"


def samples(rows):
    return "[\n" + "".join(f"  {toml(row)},\n" for row in rows) + "]"


def write(name, head, parts):
    """The first part is the task of the file, each other one changes it."""
    text = f"# Written by tools/reference/eval_tasks.py.\n{head}"
    first, *others = parts
    body = first["top"] + f"[fewshot]\n{first['fewshot']}\n[generate]\n{first['generate']}\n{first['each']}\n"
    text = text.replace("@BODY@", body)
    for part in others:
        text += f"\n[[also]]\n{part['top']}"
        text += f"[also.fewshot]\n{part['fewshot']}\n[also.generate]\n{part['generate']}\n" + part["each"].replace("[each]", "[also.each]") + "\n"
    (OUT / f"{name}.toml").write_text(text)
    print(name, len(text.encode()))


def bbh(variant):
    parts = []
    for path in sorted((TASKS / "bbh" / variant).glob("[a-z]*.yaml")):
        task = load(path)
        shown = task.get("fewshot_config", {}).get("samples", [])
        assert task.get("target_delimiter", " ") in ("", " ") and task["doc_to_target"] == "{{target}}"
        parts.append({
            "top": f"description = {toml(task['description'])}\nprompt = {toml(task['doc_to_text'])}\n"
                   f"about = {toml('BIG-bench Hard, ' + path.stem.replace('_', ' '))}\n",
            "fewshot": f"draw = \"first\"\nshots = {task['num_fewshot']}\n" + (f"samples = {samples(shown)}\n" if shown else "split = \"test\"\n"),
            "generate": generate(task, ["input"] if re.search("Sort|MultiChoice", str(task.get("filter_list"))) else []),
            "each": f"[each]\ntask = [{toml(path.stem)}]\n",
        })
    head = f'''name = "bbh_{variant}_{{task}}"
group = "bbh_{variant}"
version = {int(task["metadata"]["version"])}
source = "https://huggingface.co/datasets/SaylorTwift/bbh"
licence = "MIT"
kind = "generate"
metrics = ["exact_match"]
delimiter = {toml(task.get("target_delimiter", " "))}
test = "test"
@BODY@
[[data]]
split = ["test"]
files = ["SaylorTwift/bbh/{{task}}/test-*.parquet"]
fields = {{ input = "{{{{input}}}}", target = "{{{{target}}}}" }}

[[data]]
split = ["test"]
files = ["exam-bbh/bbh.jsonl*"]
only = {{ task = "{{task}}" }}
fields = {{ input = "{{{{input}}}}", target = "{{{{target}}}}" }}
'''
    write(f"bbh_{variant}", head, parts)


def mgsm(variant, exemplars):
    parts = []
    for path in sorted((TASKS / "mgsm" / variant).glob("mgsm_*.yaml")):
        task = load(path)
        lang = task["dataset_name"]
        shown, asked = re.fullmatch(r"\{% if answer is not none %\}\{\{question\+(\".*?\")\}\}\{% else %\}\{\{(\".*?\")\+question\+\1\}\}\{% endif %\}", task["doc_to_text"]).groups()
        end, word = json.loads(shown), json.loads(asked)
        cut = re.search(r"answer\[(\d+):\]", task["doc_to_target"])
        rows = []
        for (_, row), number in zip(sorted(exemplars["MGSM_EXEMPLARS"][lang].items(), key=lambda kv: int(kv[0])), exemplars["EXEMPLAR_NUMBER_ANSWERS"], strict=True):
            rows.append({"question": row["q"], "target": row["a"][int(cut[1]):] if cut else str(number)})
        parts.append({
            "top": f"prompt = {toml('{{question}}' + end)}\nabout = {toml('grade-school mathematics in ' + lang)}\n",
            "fewshot": f"draw = \"sample\"\nsamples = {samples(rows)}\n",
            "generate": generate(task),
            "each": f"[each]\nlang = [{toml(lang)}]\n",
            "word": word,
        })
    # The word in front of a question is part of its exemplars, and is added to the questions of the test.
    for part in parts:
        part["top"] += f"data = [{{ split = [\"test\"], files = [\"juletxara/mgsm/mgsm_{{lang}}.tsv\", \"url-nlp/mgsm/mgsm_{{lang}}.tsv\", \"mt-mgsm/mgsm_{{lang}}.tsv*\"], " \
                       f"columns = [\"question\", \"answer\"], fields = {{ question = {toml(part['word'] + '{{question}}')}, target = \"{{{{answer | replace(',', '')}}}}\" }} }}]\n"
    head = f'''name = "mgsm_{variant}_{{lang}}"
group = "mgsm_{variant}"
version = {int(task["metadata"]["version"])}
source = "https://huggingface.co/datasets/juletxara/mgsm"
licence = "CC-BY-SA-4.0"
kind = "generate"
metrics = ["exact_match"]
delimiter = {toml(task.get("target_delimiter", " "))}
test = "test"
@BODY@'''
    write(f"mgsm_{variant}", head, parts)


def gsm8k_cot():
    task = load(TASKS / "gsm8k/gsm8k-cot.yaml")
    head = f'''name = "gsm8k_cot"
version = {int(task["metadata"]["version"])}
source = "https://huggingface.co/datasets/openai/gsm8k"
licence = "MIT"
kind = "generate"
metrics = ["exact_match"]
test = "test"
@BODY@
[[data]]
split = ["test"]
files = ["openai/gsm8k/main/test-*.parquet", "grade_school_math/data/test.jsonl", "exam-gsm8k/test.jsonl*"]
fields = {{ question = "{{{{question}}}}", target = "{{{{answer.split('####')[-1].strip()}}}}" }}
'''
    part = {"top": f"prompt = {toml(task['doc_to_text'])}\nabout = \"grade-school mathematics, reasoning shown by examples\"\n",
            "fewshot": f"draw = \"first\"\nshots = {task['num_fewshot']}\nsamples = {samples(task['fewshot_config']['samples'])}\n",
            "generate": generate(task), "each": ""}
    write("gsm8k_cot", head, [part])


if __name__ == "__main__":
    tree = ast.parse(Path(sys.argv[1]).read_text())
    exemplars = {s.targets[0].id: ast.literal_eval(s.value) for s in tree.body if isinstance(s, ast.Assign)}
    for variant in ("cot_fewshot", "fewshot", "cot_zeroshot", "zeroshot"):
        bbh(variant)
    for variant in ("direct", "en_cot", "native_cot"):
        mgsm(variant, exemplars)
    gsm8k_cot()
