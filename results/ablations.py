"""What each setting of train.py is worth, by the validation part alone.

    python -m results.ablations results/runs.csv            writes ablations.md beside it
    python -m results.ablations results/runs.csv lite       and ablations_lite.md, of lite-...

Takes the rows of the table of runs (model/evaluation/runs.py) whose names begin with `ablation-`, or with
another name, as results/ablations.sh makes them: a baseline, the same with other seeds
(`seed-...`), and runs in which one setting differs.
"""

import shlex
import sys
from pathlib import Path

import numpy as np

from model.evaluation.runs import read_rows
from model.folder import ModelFolderError, write_text
from model.hub.tables import table

NAME, MAKER = "ablation", "results/ablations.sh"
BASELINE, SEED = "baseline", "seed-"
PLACES = ("--output", "--results", "--cache")
# Column of the table, heading, factor and decimals.
SHOWN = (
    ("balanced_accuracy", "balanced accuracy", 1, 3),
    ("roc_auc", "ROC AUC", 1, 3),
    ("log_loss", "log-loss", 1, 3),
    ("macro_f1", "macro F1", 1, 3),
    ("top_1", "top-1, %", 100, 2),
    ("ece", "ECE", 1, 3),
)


def write_ablations(path: "str | Path", name: str = NAME) -> str:
    """Write the page of the rows `name`-... of the table of runs at `path` beside it: ablations.md,
    or ablations_NAME.md. Returns it. Raises ModelFolderError."""
    rows = read_rows(path, f"{name}-", MAKER)
    named = {row["name"].removeprefix(f"{name}-"): row for row in rows}
    if BASELINE not in named:
        raise ModelFolderError(f"{path} has no row {name}-{BASELINE} to compare the others with.")
    text = "\n".join(page(named, name))
    file = "ablations.md" if name == NAME else f"ablations_{name}.md"
    write_text(Path(path).parent / file, text)
    return text


def page(named: dict[str, dict], name: str = NAME) -> list[str]:
    """The lines of the page, from each run's row by its name without `name`-."""
    base = named[BASELINE]
    seeds = [row for run, row in named.items() if run == BASELINE or run.startswith(SEED)]
    # Rows that were written before a figure existed lack it.
    shown = [column for column in SHOWN if all(_value(row, column[0]) for row in named.values())]
    body = []
    for run, row in named.items():
        figures = [
            f"{float(_value(row, key)) * scale:.{decimals}f}" for key, _, scale, decimals in shown
        ]
        low, high = (float(_value(row, f"{shown[0][0]}_{end}")) for end in ("low", "high"))
        figures[0] += f" ({low:.3f}–{high:.3f})"
        difference = "–" if row in seeds else f"{_difference(row, seeds, shown[0][0]):+.3f}"
        body.append(
            [
                run,
                f"`{changed(base, row)}`" if row is not base else "–",
                figures[0],
                difference,
                *figures[1:],
                row["minutes"],
            ]
        )
    heads = [heading for _, heading, *_ in shown]
    command = " ".join(["python -m results.ablations results/runs.csv", *[name] * (name != NAME)])
    start = {"none": "random weights", "imagenet": "ImageNet"}.get(base["weights"], base["weights"])
    epochs = f"{base['epochs']} epoch{'s' * (base['epochs'] != '1')}"
    first = any("--weights" in changed(base, row) for row in named.values())
    weights = " (in those with `--weights`, the backbone saw other pictures first)" * first
    return [
        "# What each setting is worth",
        "",
        f"Made by `{command}`; the runs by `results/ablations.sh`. "
        f"{base['backbone']} from {start}, {base['size']} pixels, {epochs}, "
        f"one setting changed a run{weights}; figures of the validation part alone, each run at "
        "its best epoch by balanced accuracy. In brackets a 95 % interval from a bootstrap over "
        "lesions; the difference is that to the mean of the seeds.",
        "",
        f"The {len(seeds)} seeds of the baseline alone differ: {_spread(seeds, shown)}. "
        "What lies within that is not shown to help or to harm.",
        "",
        *table(["run", "changed", heads[0], "difference", *heads[1:], "minutes"], body),
    ]


def _value(row, key):
    return row.get(f"validation_{key}")


def _difference(row, seeds, key):
    return float(_value(row, key)) - float(np.mean([float(_value(seed, key)) for seed in seeds]))


def _spread(seeds, shown):
    """The range of each of the first three figures: "balanced accuracy from 0.59 to 0.61, ..."."""
    told = []
    for key, heading, scale, decimals in shown[:3]:
        values = [float(_value(row, key)) * scale for row in seeds]
        told.append(f"{heading} from {min(values):.{decimals}f} to {max(values):.{decimals}f}")
    return ", ".join(told)


def changed(base: dict, row: dict) -> str:
    """What the command of `row` says other than that of `base`, but for where things lie."""

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
    try:
        print(write_ablations(*sys.argv[1:]))
    except ModelFolderError as error:
        sys.exit(f"ablations: {error}")
