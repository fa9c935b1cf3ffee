"""What every comparison with a peer shares: running commands that print JSON, keeping every run, medians, tables.

Plain Python 3.11. `compare_train.py` shows the use: open a `Results`, `run_json` each command, `add` the run at once.
"""

import datetime
import hashlib
import json
import math
import os
import platform
import re
import resource
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

FORMAT_VERSION = 1
KEPT_STDERR_CHARS = 2000
# Cores that other processes may keep busy during a run before it counts as disturbed.
NOISY_CORES = 0.1


class CannotRun(Exception):
    """What stopped the whole comparison, with a hint."""


# Running


def run_json(command, required, timeout_s):
    """Runs `command` and returns a record of it: conditions, and either `result` or `error`.

    `result` is the last line of its standard output that is a JSON object; each key in `required` must be a positive
    number there. Nothing that the command does raises; only an interruption of this process does, and that ends the
    command with everything it started.
    """
    command = [str(part) for part in command]
    record = {
        "started_at": now(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "command": command,
    }
    before, start = busy_cpu_s(), time.perf_counter()
    result, problem, stderr = execute(command, timeout_s)
    elapsed_s = time.perf_counter() - start
    record["elapsed_s"] = round(elapsed_s, 2)
    others = (busy_cpu_s() - before) / elapsed_s
    # The system counts in hundredths of a second: a short run cannot tell.
    record["others_busy_cores"] = round(max(0.0, others), 3) if elapsed_s > 1 else None
    if problem is None:
        wrong = [key for key in required if not is_positive(result.get(key))]
        if wrong:
            problem = f"expected positive numbers for {', '.join(wrong)}, found {[result.get(key) for key in wrong]}"
    if result is not None:
        record["result"] = result
    if problem is not None:
        record.pop("result", None)
        record["error"] = {"message": problem, "stderr": stderr[-KEPT_STDERR_CHARS:]}
    return record


def execute(command, timeout_s):
    """The JSON object that `command` printed, what went wrong (or None), and its standard error."""
    # Files, not pipes: a worker that outlives the command would keep a pipe open.
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:

        def text(stream):
            stream.seek(0)
            return stream.read().decode("utf-8", "replace")

        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
            )
        except OSError as error:
            return None, f"cannot start: {error}", ""
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None, f"took more than {timeout_s} s", text(stderr)
        finally:
            if process.returncode is None:
                end_group(process)
        if status < 0:
            return None, f"ended by signal {-status}" + (" (out of memory?)" if status == -9 else ""), text(stderr)
        if status != 0:
            said = text(stderr)
            return None, reason(said) or f"ended with status {status} and said nothing", said
        result = last_json_object(text(stdout))
        problem = "expected a JSON object on standard output, found none" if result is None else None
        return result, problem, text(stderr)


def end_group(process):
    """Ends a command of ours and what it started: it leads a process group of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def last_json_object(text):
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except json.JSONDecodeError:
                continue
    return None


def reason(stderr):
    """The line of `stderr` that says most: an `error:` of ours, the last exception of Python, else the last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("error:")]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Exit|Unsupported|Failure)\b.*:", line)]
    return (said or raised[-1:] or lines[-1:] or [""])[0]


def is_positive(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0


# The machine


def machine():
    """What the numbers depend on besides the programs."""
    return {
        "cpu_model": cpu_model(),
        "n_cpus": os.cpu_count(),
        "memory_mb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6),
        "kernel": platform.platform(),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("OMP_", "GOMP_", "KMP_", "MKL_", "TORCH", "LD_PRELOAD", "MALLOC_"))
        },
    }


def cpu_model():
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    named = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return named.group(1) if named else platform.processor() or "unknown"


def busy_cpu_s():
    """CPU seconds since boot that were spent on anything but our finished commands; 0 where the system does not say.

    Time that a hypervisor took away counts as spent. Taken before and after a run, the difference is what others did.
    """
    try:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(
            int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        )
    except (OSError, ValueError):
        return 0.0
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    all_s = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return all_s - ours.ru_utime - ours.ru_stime


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def now():
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


# Results


class Results:
    """A JSON file of every run, and its table in Markdown beside it; both are whole after every run.

    `about` is the head of the file; `runs` holds the records in order. `set_aside` holds runs of a round that an
    interruption cut short: a round is measured in one go, so they are kept but not counted.
    """

    def __init__(self, path, about, runs=(), set_aside=()):
        self.path = Path(path)
        self.about = about
        self.runs = list(runs)
        self.set_aside = list(set_aside)

    @classmethod
    def load(cls, path, kind):
        try:
            text = Path(path).read_text()
        except FileNotFoundError as error:
            raise CannotRun(f"expected results to resume at `{path}`, found none\nhint: leave out --resume") from error
        try:
            stored = json.loads(text)
            about, runs, set_aside = stored["about"], stored["runs"], stored["set_aside"]
            found = (about["kind"], about["format_version"])
        except (ValueError, KeyError, TypeError) as error:
            raise CannotRun(f"`{path}` holds no results of a comparison\nhint: choose another --out") from error
        if found != (kind, FORMAT_VERSION):
            raise CannotRun(
                f"expected results of {kind}, format {FORMAT_VERSION}, at `{path}`, found {found[0]}, format {found[1]}"
                "\nhint: choose another --out"
            )
        return cls(path, about, runs, set_aside)

    def put_aside(self, is_unfinished):
        self.set_aside += [run for run in self.runs if is_unfinished(run)]
        self.runs = [run for run in self.runs if not is_unfinished(run)]

    def save(self, medians, markdown):
        self.about["written_at"] = now()
        lines = [f'{{"about": {json.dumps(self.about, indent=1)}']
        for name, records in (("medians", medians), ("runs", self.runs), ("set_aside", self.set_aside)):
            lines.append(f'"{name}": [\n' + ",\n".join(json.dumps(record) for record in records) + "\n]")
        write(self.path, ",\n".join(lines) + "}\n")
        write(self.path.with_suffix(".md"), markdown)


def write(path, text):
    """The whole file or none of it, whatever happens."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# Numbers and tables


def median(values):
    """Median, or None of nothing."""
    values = list(values)
    return statistics.median(values) if values else None


def spread(values):
    """`{"median", "min", "max"}`, or None of nothing."""
    values = list(values)
    return {"median": median(values), "min": min(values), "max": max(values)} if values else None


def show_spread(ratio):
    return "–" if ratio is None else f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"


def markdown_table(head, rows):
    """Columns after the first are numbers and stand to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def show_failures(runs, name):
    """One line for each different failure, with the number of runs it spoiled; `name` names a run."""
    counts = {}
    for run in runs:
        if "error" in run:
            key = (name(run), run["error"]["message"])
            counts[key] = counts.get(key, 0) + 1
    lines = []
    for (named, message), n_runs in counts.items():
        message = message.replace("`", "'")  # it stands between backticks
        lines.append(f"- {named}, {n_runs} run{'s' if n_runs > 1 else ''}: `{message[:300]}`")
    return "\n".join(lines)


def show_quietness(runs):
    """How much else this machine had to do: read it before the table."""
    if not runs:
        return ""
    others = [run["others_busy_cores"] for run in runs if run["others_busy_cores"] is not None]
    n_noisy, most = sum(cores > NOISY_CORES for cores in others), max(others, default=0.0)
    if not others:
        text = "Not known to be quiet: no run took longer than a second."
    elif n_noisy == 0:
        text = f"Quiet: during a run other processes kept at most {most:.2f} cores busy."
    else:
        text = (
            f"**Not quiet**: in {n_noisy} of {len(others)} runs other processes kept more than {NOISY_CORES} cores "
            f"busy, up to {most:.2f}. Measure again before believing the table."
        )
    loads = [run["load_average"][0] for run in runs]
    return f"{text} One-minute load before a run: {min(loads):.2f} to {max(loads):.2f}, earlier runs included."
