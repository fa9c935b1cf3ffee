"""Public tables of finished runs, as `run,n_params,n_tokens,flops,loss[,seed]`: what the forecast is back-tested on.

    python tools/reference/scaling_tables.py RAW OUT

RAW holds one folder a source; OUT receives one CSV a table, named after the table. C is compute in FLOPs, N parameters,
D tokens. Losses are those of the source to the last digit.

| Folder of RAW | Repository and commit | Licence |
|---|---|---|
| `scaling-chinchilla-epoch` | epoch-research/analyzing-chinchilla @ 92258837 | none stated |
| `scaling-chinchilla-tool` | kyo-takano/chinchilla @ 75e5858f | Apache-2.0 |
| `scaling-loss-to-loss` | KempnerInstitute/loss-to-loss-notebooks @ 457ce81a | none stated |
| `scaling-overtraining` | mlfoundations/scaling @ a003c491 | MIT |
| `scaling-steplaw` | step-law/steplaw @ 32a8f4cc | none stated |
| `scaling-supercollapse` | shikaiqiu/supercollapse @ 003336f6 | none stated |

Two folders hold files compiled from the repository rather than copied: `runs.csv` of overtraining joins its
`exp_data/models/*.json` with `exp_data/evals/*.json`, and `runs.csv` of supercollapse has one row for each run in its
`logs/*.pkl`.
"""

import csv
import gzip
import sys
from pathlib import Path

HEADER = ["run", "n_params", "n_tokens", "flops", "loss"]
OVERTRAINING_LOSSES = ["openlm", "c4_val"]
# The tables of compute-optimal runs, one learning-rate schedule each; those of several schedules are left out.
SUPERCOLLAPSE_FILES = ["c5m", "chess", "chess_const", "mlp", "mlp_const"]


def read(path):
    opened = gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")
    with opened as file:
        return list(csv.DictReader(file))


def chinchilla_epoch(folder):
    """Points read off figure 4 of Hoffmann et al. 2022, which gives N and C: D = C/6N."""
    rows = []
    for idx, row in enumerate(read(folder / "svg_extracted_data.csv")):
        n, c = float(row["Model Size"]), float(row["Training FLOP"])
        rows.append([f"point-{idx:03}", n, c / (6 * n), c, float(row["loss"])])
    yield "chinchilla-epoch", rows


def chinchilla_tool(folder):
    """Another reading of the same figure."""
    rows = [[f"run-{idx:03}", int(row["N"]), int(row["D"]), float(row["C"]), float(row["loss"])]
            for idx, row in enumerate(read(folder / "df.csv"))]
    yield "chinchilla-tool", rows


def loss_to_loss(folder):
    """A sweep at fixed compute and the run beyond it, by pretraining data: loss on data held out of it, and on C4."""
    runs = read(folder / "sweep.csv.gz") + read(folder / "extrapolation.csv")
    for data in sorted({run["data"] for run in runs}):
        for name, column in [("val", "val_loss"), ("c4", "eval/c4_val/CrossEntropyLoss")]:
            rows = [[run["id"], int(run["params"]), float(run["tokens"]), float(run["iso_flop"]), float(run[column])]
                    for run in runs if run["data"] == data]
            yield f"loss-to-loss-{data}-{name}", rows


def overtraining(folder):
    """All parameters counted, C = 6ND, by pretraining data."""
    runs = read(folder / "runs.csv")
    for data in sorted({run["dataset"] for run in runs}):
        for name in OVERTRAINING_LOSSES:
            rows = []
            for run in runs:
                if run["dataset"] == data:
                    n, d = int(run["params"]), int(run["tokens"])
                    rows.append([run["name"], n, d, float(6 * n * d), float(run[f"loss_{name}"])])
            yield f"overtraining-{data}-{name}", rows


def steplaw(folder):
    """Dense models: the least smoothed loss over learning rates and batch sizes at each (N, D), C = 6ND."""
    best = {}
    for row in read(folder / "dense_lr_bs_loss.csv.gz"):
        shape, loss = (int(row["N"]), int(row["D"])), float(row["smooth loss"])
        best[shape] = min(loss, best.get(shape, loss))
    yield "steplaw-dense", [[f"n{n}-d{d}", n, d, float(6 * n * d), loss] for (n, d), loss in sorted(best.items())]


def supercollapse(folder):
    """Compute-optimal models with several seeds: C is `opt_C` times 10^15, D = C/6N.

    Rows that repeat another to the last digit are dropped. The recorded back-tests have a thousandth of C, which changes no
    forecast: a factor that all runs of a table share moves target and threshold alike.
    """
    runs = read(folder / "runs.csv")
    for name in SUPERCOLLAPSE_FILES:
        rows = {}
        for run in runs:
            if run["file"] == name:
                n, c, seed = int(run["P"]), float(run["opt_C"]), int(float(run["seed"]))
                row = f"{name}-d{run['D']}-p{n}", n, c * 1e15 / (6 * n), c * 1e15, float(run["opt_L"]), seed
                rows[row] = None
        yield f"supercollapse-{name}", list(rows)


SOURCES = {
    "scaling-chinchilla-epoch": chinchilla_epoch,
    "scaling-chinchilla-tool": chinchilla_tool,
    "scaling-loss-to-loss": loss_to_loss,
    "scaling-overtraining": overtraining,
    "scaling-steplaw": steplaw,
    "scaling-supercollapse": supercollapse,
}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    raw, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for folder, convert in SOURCES.items():
        for name, rows in convert(raw / folder):
            with (out / f"{name}.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(HEADER + ["seed"] * (len(rows[0]) > len(HEADER)))
                writer.writerows(rows)
            print(f"{name}: {len(rows)} runs")


if __name__ == "__main__":
    main()
