"""The effect of each setting of train.py, measured on the validation part alone.

    python -m results.ablations results/runs.csv            writes ablations.md beside it
    python -m results.ablations results/runs.csv lite       writes ablations_lite.md, from lite-...

Reads the rows of the table of runs (model/evaluation/runs.py) whose names begin with `ablation-`,
or with the name given, as results/ablations.sh makes them: a baseline, the same with other seeds
(`seed-...`), and runs that differ in one setting.
"""

import shlex
import sys
from pathlib import Path

import numpy as np

from model.evaluation.runs import read_rows
from model.folder import ModelFolderError
from model.hub.tables import table
from results.reports import run, write_report

NAME, MAKER = "ablation", "results/ablations.sh"
BASELINE, SEED = "baseline", "seed-"
PLACES = ("--output", "--results", "--cache")
# Figure of the validation part, heading, factor and decimals.
SHOWN = (
    ("balanced_accuracy", "balanced accuracy", 1, 3),
    ("roc_auc", "ROC AUC", 1, 3),
    ("log_loss", "log-loss", 1, 3),
    ("macro_f1", "macro F1", 1, 3),
    ("top_1", "top-1, %", 100, 2),
    ("ece", "ECE", 1, 3),
)


def write_ablations(path: "str | Path", name: str = NAME) -> str:
    """Write ablations.md, or ablations_NAME.md, beside the table of runs at `path`, from its rows
    `name`-... Returns the text. Raises ModelFolderError without a baseline among them."""
    rows = read_rows(path, f"{name}-", MAKER)
    named = {row["name"].removeprefix(f"{name}-"): row for row in rows}
    if BASELINE not in named:
        raise ModelFolderError(f"{path} has no row {name}-{BASELINE} to compare the others with.")
    file = "ablations.md" if name == NAME else f"ablations_{name}.md"
    return write_report(Path(path).parent / file, report_lines(named, name))


def report_lines(named: dict[str, dict], name: str = NAME) -> list[str]:
    """The lines of the report. `named`: {a run's name without `name`-: its row}."""
    base = named[BASELINE]
    seeds = [row for run, row in named.items() if run == BASELINE or run.startswith(SEED)]
    # Rows that were written before a figure existed lack it.
    shown = [each for each in SHOWN if all(row.get(_key(each)) for row in named.values())]
    mean = np.mean([float(row[_key(shown[0])]) for row in seeds])
    body = []
    for run_name, row in named.items():
        accuracy, *others = (_figure(row, each) for each in shown)
        low, high = (float(row[f"{_key(shown[0])}_{end}"]) for end in ("low", "high"))
        difference = "–" if row in seeds else f"{float(row[_key(shown[0])]) - mean:+.3f}"
        change = "–" if row is base else f"`{changed(base, row)}`"
        accuracy += f" ({low:.3f}–{high:.3f})"
        body.append([run_name, change, accuracy, difference, *others, row["minutes"]])
    heads = [heading for _, heading, *_ in shown]
    command = " ".join(["python -m results.ablations results/runs.csv", *[name] * (name != NAME)])
    start = {"none": "random weights", "imagenet": "ImageNet"}.get(base["weights"], base["weights"])
    epochs = f"{base['epochs']} epoch{'s' * (base['epochs'] != '1')}"
    first = any("--weights" in changed(base, row) for row in named.values())
    weights = " (in those with `--weights`, the backbone saw other pictures first)" * first
    return [
        "# The effect of each setting",
        "",
        f"Made by `{command}`; the runs by `results/ablations.sh`. "
        f"{base['backbone']} from {start}, {base['size']} pixels, {epochs}, "
        f"one setting changed in each run{weights}; figures of the validation part alone, each run "
        "at its best epoch by balanced accuracy. Brackets hold 95 % intervals from a bootstrap "
        "over lesions; differences are to the mean of the seeds.",
        "",
        f"Range over the {len(seeds)} seeds of the baseline: {_spread(seeds, shown)}. "
        "A difference within that range shows neither a gain nor a loss.",
        "",
        *table(["run", "changed", heads[0], "difference", *heads[1:], "minutes"], body),
    ]


def _key(figure) -> str:
    return f"validation_{figure[0]}"


def _figure(row, figure) -> str:
    _, _, scale, decimals = figure
    return f"{float(row[_key(figure)]) * scale:.{decimals}f}"


def _spread(seeds, shown):
    """The range of the first three figures: "balanced accuracy 0.59 to 0.61, ..."."""
    ranges = []
    for figure in shown[:3]:
        ordered = sorted(seeds, key=lambda row: float(row[_key(figure)]))
        ranges.append(
            f"{figure[1]} {_figure(ordered[0], figure)} to {_figure(ordered[-1], figure)}"
        )
    return ", ".join(ranges)


def changed(base: dict, row: dict) -> str:
    """The options that the command of `row` adds to that of `base`, without the paths; the whole
    command if it does not begin like that of `base`."""

    def words(command):
        parts = shlex.split(command)
        for option in PLACES:
            if option in parts:
                at = parts.index(option)
                del parts[at : at + 2]
        return parts

    before, after = words(base["command"]), words(row["command"])
    return " ".join(after[len(before) :] if after[: len(before)] == before else after)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    run("ablations", lambda: write_ablations(*sys.argv[1:]))
