#!/usr/bin/env python3
"""Times `maquette bench train` and the same work in PyTorch in turns, and writes every run and a table.

    python benches/peers/compare_train.py --python VENV/bin/python --out benches/results/NAME.json

For each shape and dtype there are --pairs rounds; a round runs ours, PyTorch eager, PyTorch compiled, one after the
other, so that a ratio compares numbers of the same minute. NAME.json holds every run, NAME.md the table; both are
written after every run. An interrupted comparison goes on with `--resume --out NAME.json` and needs no other option.

Shapes:
{shapes}

Exit status: 0 when every run succeeded, 1 when one failed, 2 when something could not be run, 130 when interrupted.
"""

import argparse
import datetime
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import peer_bench
from peer_bench import CannotRun, Results

REPOSITORY = Path(__file__).resolve().parents[2]
KIND = "bench train"

SHAPE_FLAGS = ["n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "vocab_size", "batch", "seq_len"]
SHAPES = {
    name: dict(zip(SHAPE_FLAGS, sizes))
    for name, sizes in {
        "S1": (6, 384, 6, 6, 1024, 8192, 8, 256),
        "S2": (12, 768, 12, 12, 2048, 32768, 4, 512),
        "S3": (4, 256, 4, 4, 704, 4096, 1, 4096),
        "S4": (3, 64, 2, 2, 176, 1024, 16, 128),
        "S5": (6, 384, 6, 2, 1024, 8192, 8, 256),
    }.items()
}
DTYPES = ["bf16", "f32"]

OURS = "maquette"
# Name of each peer mode and what it adds to the command of train_torch.py.
PEERS = {"torch eager": [], "torch compile": ["--compile"]}
SYSTEMS = [OURS, *PEERS]

DEFAULTS = {
    "shapes": SHAPES,
    "dtypes": DTYPES,
    "pairs": 5,
    "threads": 2,
    "steps": 9,
    "python": sys.executable,
    "maquette": str(REPOSITORY / "target/release/maquette"),
    "timeout_s": 3600.0,
}
# Options that may differ when a comparison goes on; the others are what was measured.
CHANGEABLE = {"pairs", "python", "maquette", "timeout_s"}

PEER_KEYS = ["tokens_per_second", "gflops", "peak_rss_mb"]
OUR_KEYS = [*PEER_KEYS, "peak_gflops"]
# The two count FLOPs alike but for the gains of the norms and the diagonal of attention: 0.5 % at the smallest shapes.
# More means that they did not train the same model.
SAME_FLOPS = 0.02


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the running command ends with us
    try:
        results, settings = prepare(parse())
        return compare(results, settings)
    except CannotRun as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted\nhint: go on with --resume and the same --out", file=sys.stderr)
        return 130


def compare(results, settings):
    """Runs what is missing in `results`; the exit status."""
    done = {key(run) for run in results.runs}
    todo = [planned for planned in plan(settings) if planned not in done]
    for i, planned in enumerate(todo, 1):
        shape, dtype, pair, system = planned
        print(f"[{i}/{len(todo)}] {shape} {dtype} pair {pair}: {system} ..", end=" ", file=sys.stderr, flush=True)
        run = peer_bench.run_json(
            command(settings, shape, dtype, system),
            OUR_KEYS if system == OURS else PEER_KEYS,
            settings["timeout_s"],
        )
        results.runs.append({"shape": shape, "dtype": dtype, "pair": pair, "system": system, **run})
        save(results, settings)
        result = run.get("result")
        print(f"{result['tokens_per_second']:,.0f} tokens/s" if result else run["error"]["message"], file=sys.stderr)
    print(save(results, settings))
    failed = [run for run in results.runs if "error" in run]
    if failed:
        print(
            f"error: expected {len(results.runs)} runs to succeed, {len(failed)} failed; `{results.path}` holds their "
            "standard error\nhint: after a repair, --resume --retry-failed measures their rounds again",
            file=sys.stderr,
        )
    return 1 if failed else 0


def plan(settings):
    """Every run in order."""
    return [
        (shape, dtype, pair, system)
        for shape in settings["shapes"]
        for dtype in settings["dtypes"]
        for pair in range(1, settings["pairs"] + 1)
        for system in SYSTEMS
    ]


def command(settings, shape, dtype, system):
    if system == OURS:
        program = [settings["maquette"], "bench", "train"]
    else:
        program = [settings["python"], REPOSITORY / "benches/peers/train_torch.py", *PEERS[system]]
    work = settings["shapes"][shape] | {"dtype": dtype, "steps": settings["steps"], "threads": settings["threads"]}
    return [*program, *flags(work), "--json"]


def flags(work):
    return [part for name, value in work.items() for part in ("--" + name.replace("_", "-"), str(value))]


def key(run):
    return run["shape"], run["dtype"], run["pair"], run["system"]


# Preparing


def prepare(args):
    """New results, or those to resume, and the settings; every mistake that can be seen before measuring ends here."""
    out = args.out or REPOSITORY / f"benches/results/{datetime.date.today()}-train-peers.json"
    if out.suffix != ".json":
        raise CannotRun(f"expected a name that ends in .json, found --out `{out}`")
    if not out.parent.is_dir():
        raise CannotRun(f"expected a folder `{out.parent}` for --out, found none\nhint: mkdir -p {out.parent}")
    if out.exists() and not args.resume:
        raise CannotRun(f"`{out}` exists already\nhint: go on with --resume, or choose another --out")
    results = Results.load(out, KIND) if args.resume else None
    settings = settle(args, results and results.about["settings"])
    conditions = {
        "cpu_model": peer_bench.cpu_model(),
        **describe_maquette(settings["maquette"]),
        "torch": torch_version(settings["python"]),
    }
    if results is None:
        results = Results(out, {"kind": KIND, "format_version": peer_bench.FORMAT_VERSION})
    else:
        agree(results.about["conditions"], conditions)
        rounds = {}
        for run in results.runs:
            rounds.setdefault(key(run)[:3], []).append(run)
        unfinished = {
            named
            for named, runs in rounds.items()
            if len(runs) < len(SYSTEMS) or args.retry_failed and any("error" in run for run in runs)
        }
        results.put_aside(lambda run: key(run)[:3] in unfinished)
    results.about |= {"machine": peer_bench.machine(), "conditions": conditions, "settings": settings}
    save(results, settings)
    return results, settings


def settle(args, stored):
    """The options given, over those of the results to resume, over the defaults."""
    settings = dict(stored or DEFAULTS)
    for name in DEFAULTS:
        given = getattr(args, name)
        if given is None:
            continue
        if stored and name not in CHANGEABLE and given != stored[name]:
            option = "--" + name.replace("_", "-")
            raise CannotRun(
                f"expected {option} as in the results to resume, {shown(stored[name])}, found {shown(given)}\n"
                f"hint: leave {option} out, or begin anew with another --out"
            )
        settings[name] = given
    return settings


def shown(value):
    return ",".join(value) if isinstance(value, (list, dict)) else value


def describe_maquette(path):
    hint = "hint: cargo build --release, or give its place with --maquette PATH"
    found = shutil.which(path)
    if found is None:
        raise CannotRun(f"expected the maquette binary at `{path}`, found none\n{hint}")
    try:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"cannot run `{found}`: {error}\n{hint}") from error
    return {"maquette": version.stdout.strip(), "maquette_sha256": peer_bench.sha256(found)}


def torch_version(python):
    """None where this interpreter has no PyTorch that works: the peer will fail and ours can still be measured."""
    code = "import torch; print(torch.__version__)"
    try:
        asked = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=300)
        if asked.returncode == 0:
            return asked.stdout.strip().splitlines()[-1]
        problem = peer_bench.reason(asked.stderr)
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = error
    print(
        f"warning: `{python}` cannot import torch, so every run of the peer will fail: {problem}\n"
        "hint: python3 -m venv VENV && VENV/bin/pip install torch numpy, then --python VENV/bin/python",
        file=sys.stderr,
    )
    return None


def agree(stored, found):
    """One table, one machine, one build: whatever differs would be mistaken for a result."""
    for name, value in found.items():
        if stored[name] not in (None, value):  # a PyTorch that was missing may have come
            raise CannotRun(
                f"expected {name} as in the results to resume, `{stored[name]}`, found `{value}`\n"
                "hint: begin anew with another --out"
            )


# The table


def summarize(runs, shape, dtype):
    """Medians of one shape and dtype; ratios are taken within a pair, then their median."""
    runs = [run for run in runs if (run["shape"], run["dtype"]) == (shape, dtype)]
    of = {
        system: {run["pair"]: run["result"] for run in runs if run["system"] == system and "result" in run}
        for system in SYSTEMS
    }
    ours, peers = of[OURS], [of[peer] for peer in PEERS]

    def ratio(name, best):
        n_runs = Counter(run["pair"] for run in runs)  # a pair that still runs may lack its faster peer
        pairs = [pair for pair in ours if n_runs[pair] == len(SYSTEMS) and any(pair in peer for peer in peers)]
        return peer_bench.spread(
            ours[pair][name] / best(peer[pair][name] for peer in peers if pair in peer) for pair in pairs
        )

    def medians(name):
        return {system: peer_bench.median(result[name] for result in of[system].values()) for system in SYSTEMS}

    def flops_per_token(system):
        return peer_bench.median(1e9 * r["gflops"] / r["tokens_per_second"] for r in of[system].values())

    return {
        "shape": shape,
        "dtype": dtype,
        "n_ok": {system: len(of[system]) for system in SYSTEMS},
        "n_failed": {system: sum(run["system"] == system and "error" in run for run in runs) for system in SYSTEMS},
        "tokens_per_second": medians("tokens_per_second"),
        "speed_ratio": ratio("tokens_per_second", max),
        "gflops": medians("gflops"),
        "fraction_of_peak": peer_bench.median(r["gflops"] / r["peak_gflops"] for r in ours.values()),
        "peak_rss_mb": medians("peak_rss_mb"),
        "memory_ratio": ratio("peak_rss_mb", min),
        "flops_per_token": {system: flops_per_token(system) for system in SYSTEMS},
    }


def save(results, settings):
    """Writes both files; the Markdown."""
    rows = [summarize(results.runs, shape, dtype) for shape in settings["shapes"] for dtype in settings["dtypes"]]
    markdown = render(results, settings, rows)
    results.save(rows, markdown)
    return markdown


def render(results, settings, rows):
    about = results.about
    head = ["Shape", "tokens/s: ours", "tokens/s: eager", "tokens/s: compile", "**ours / faster peer**"]
    head += ["GFLOP/s: ours", "of peak", "MB: ours", "MB: eager", "MB: compile", "ours / smaller peer"]
    table = []
    for row in rows:
        line = [f"{row['shape']} {row['dtype']}"]
        line += [cell(row, "tokens_per_second", system) for system in SYSTEMS]
        line += [f"**{peer_bench.show_spread(row['speed_ratio'])}**", cell(row, "gflops", OURS)]
        line += ["–" if row["fraction_of_peak"] is None else f"{100 * row['fraction_of_peak']:.0f} %"]
        line += [cell(row, "peak_rss_mb", system) for system in SYSTEMS]
        line += [peer_bench.show_spread(row["memory_ratio"])]
        table.append(line)
    n_planned = len(plan(settings))
    sections = [
        "# Training steps: Maquette and PyTorch",
        f"{about['machine']['cpu_model']}, {settings['threads']} of {about['machine']['n_cpus']} cores; "
        f"{about['conditions']['maquette']} (binary {about['conditions']['maquette_sha256'][:12]}), "
        f"PyTorch {about['conditions']['torch'] or 'missing'}. Pairs: {settings['pairs']}; measured steps of a run: "
        f"{settings['steps']}. Numbers are medians, ratios those within a pair: median (least to greatest). "
        f"Every run: `{results.path.name}`; how to read it: `benches/peers/README.md`.",
        peer_bench.show_quietness(results.runs),
        peer_bench.markdown_table(head, table).rstrip(),
    ]
    if len(results.runs) < n_planned:
        sections.append(f"**Unfinished**: {len(results.runs)} of {n_planned} runs.")
    failures = peer_bench.show_failures(results.runs, lambda run: f"{run['shape']} {run['dtype']}, {run['system']}")
    if failures:
        sections.append(f"**Failed**, left out of the medians:\n\n{failures}")
    sections += [f"**Not the same work**: {line}" for row in rows for line in differences(row)]
    shapes = [f"- {name}: `{shlex.join(flags(sizes))}`" for name, sizes in settings["shapes"].items()]
    sections.append("Shapes:\n\n" + "\n".join(shapes))
    return "\n\n".join(section for section in sections if section) + "\n"


def cell(row, name, system):
    """A median; beside it, where runs failed, of how many it is."""
    value, n_ok, n_failed = row[name][system], row["n_ok"][system], row["n_failed"][system]
    if value is None:
        return "failed" if n_failed else "–"
    return f"{value:,.0f}" + (f" ({n_ok} of {n_ok + n_failed})" if n_failed else "")


def differences(row):
    """Peers whose FLOPs a token are not ours."""
    ours = row["flops_per_token"][OURS]
    for peer in PEERS:
        theirs = row["flops_per_token"][peer]
        if ours and theirs and abs(theirs / ours - 1) > SAME_FLOPS:
            yield f"{row['shape']} {row['dtype']}: ours counts {ours:.4g} FLOPs a token, {peer} {theirs:.4g}"


# Options


def parse():
    listed = "\n".join(f"    {name}  {shlex.join(flags(sizes))}" for name, sizes in SHAPES.items())
    parser = argparse.ArgumentParser(
        description=__doc__.format(shapes=listed), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", metavar="PATH", help="interpreter that has torch (default: this one)")
    parser.add_argument("--maquette", metavar="PATH", help="default: target/release/maquette of this checkout")
    parser.add_argument("--shapes", dest="named", type=shape_names, metavar="S1,S2", help="default: all")
    parser.add_argument(
        "--shape",
        dest="own",
        type=own_shape,
        action="append",
        default=[],
        metavar='"NAME=--d-model 64 .."',
        help="a shape of your own, instead of or besides --shapes; sizes left out are those of S1",
    )
    parser.add_argument("--dtypes", type=dtypes, metavar="bf16,f32", help="default: both")
    parser.add_argument("--pairs", type=at_least_one, metavar="N", help="default: {pairs}".format(**DEFAULTS))
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="default: {threads}".format(**DEFAULTS))
    parser.add_argument("--steps", type=at_least_one, metavar="N", help="of a run; default: {steps}".format(**DEFAULTS))
    parser.add_argument("--timeout-s", type=float, metavar="S", help=f"of a run; default: {DEFAULTS['timeout_s']:.0f}")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="default: benches/results/DATE-train-peers.json")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted --out")
    parser.add_argument("--retry-failed", action="store_true", help="with --resume: rounds with a failed run as well")
    args = parser.parse_args()
    if args.retry_failed and not args.resume:
        parser.error("expected --retry-failed together with --resume")
    shapes = (args.named or {}) | dict(args.own)
    args.shapes = shapes or None
    return args


def shape_names(text):
    names = text.split(",")
    unknown = [name for name in names if name not in SHAPES]
    if unknown:
        raise argparse.ArgumentTypeError(f"expected names among {','.join(SHAPES)}, found `{','.join(unknown)}`")
    return {name: SHAPES[name] for name in names}


def own_shape(text):
    name, _, given = text.partition("=")
    if not name.strip() or name in SHAPES or "|" in name:
        taken = ",".join(SHAPES)
        raise argparse.ArgumentTypeError(f"expected NAME=FLAGS with a name other than {taken}, found `{text}`")
    words = shlex.split(given)
    sizes = dict(SHAPES["S1"])
    for flag, value in zip(words[::2], words[1::2] + [""]):
        size = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or size not in sizes or not value.isdecimal() or int(value) < 1:
            allowed = " ".join("--" + size.replace("_", "-") for size in SHAPE_FLAGS)
            raise argparse.ArgumentTypeError(f"expected `FLAG N` with FLAG among {allowed}, found `{flag} {value}`")
        sizes[size] = int(value)
    return name.strip(), sizes


def dtypes(text):
    names = text.split(",")
    unknown = [name for name in names if name not in DTYPES]
    if unknown:
        raise argparse.ArgumentTypeError(f"expected names among {','.join(DTYPES)}, found `{','.join(unknown)}`")
    return list(dict.fromkeys(names))


def at_least_one(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, found `{text}`")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
