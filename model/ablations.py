"""What each setting of train.py is worth, by the validation part alone.

    python -m model.ablations results/runs.csv      writes ablations.md beside it

Takes the rows of the table of runs (model/results.py) whose names begin with `ablation-`, as
results/ablations.sh makes them: a baseline, the same with other seeds (`seed-...`), and runs in
which one setting differs.
"""

import shlex
import sys
from pathlib import Path

import numpy as np

from model.folder import ModelFolderError, replacing
from model.results import read_rows
from model.tables import table

PREFIX, MAKER = "ablation-", "results/ablations.sh"
BASELINE, SEED = "baseline", "seed-"
PAGE = "ablations.md"
PLACES = ("--output", "--results", "--cache")
# Column of the table, heading, factor and decimals.
SHOWN = (
    ("balanced_accuracy", "balanced accuracy", 1, 3),
    ("macro_f1", "macro F1", 1, 3),
    ("top_1", "top-1, %", 100, 2),
    ("ece", "ECE", 1, 3),
)


def write_ablations(path: "str | Path") -> str:
    """Write the page beside the table of runs at `path`; returns it. Raises ModelFolderError."""
    rows = read_rows(path, PREFIX, MAKER)
    if all(row["name"] != PREFIX + BASELINE for row in rows):
        raise ModelFolderError(f"{path} has no row {PREFIX + BASELINE} to compare the others with.")
    text = "\n".join(page(rows))
    with replacing(Path(path).parent / PAGE) as beside:
        beside.write_text(text, encoding="utf-8")
    return text


def page(rows: list[dict]) -> list[str]:
    """The lines of ablations.md."""
    named = {row["name"].removeprefix(PREFIX): row for row in rows}
    base = named[BASELINE]
    seeds = [row for name, row in named.items() if name == BASELINE or name.startswith(SEED)]
    column = f"validation_{SHOWN[0][0]}"
    spread = [float(row[column]) for row in seeds]
    middle = float(np.mean(spread))
    body = []
    for name, row in named.items():
        figures = [
            f"{float(row[f'validation_{key}']) * scale:.{decimals}f}"
            for key, _, scale, decimals in SHOWN
        ]
        figures[0] += f" ({float(row[column + '_low']):.3f}–{float(row[column + '_high']):.3f})"
        difference = "–" if row in seeds else f"{float(row[column]) - middle:+.3f}"
        body.append([name, f"`{changed(base, row)}`" if row is not base else "–", figures[0],
                     difference, *figures[1:], row["minutes"]])  # fmt: skip
    heads = [heading for _, heading, *_ in SHOWN]
    return [
        "# What each setting is worth", "",
        "Made by `python -m model.ablations results/runs.csv`; the runs by `results/ablations.sh`. "
        f"{base['backbone']} from random weights, {base['size']} pixels, {base['epochs']} epochs, "
        "one setting changed a run (in those with `--weights`, the backbone saw other pictures "
        "first); figures of the validation part alone, each run at its best epoch by balanced "
        "accuracy. In brackets a 95 % interval from a bootstrap over lesions; "
        "the difference is that to the mean of the seeds.", "",
        f"The {len(spread)} seeds of the baseline alone run from {min(spread):.3f} to "
        f"{max(spread):.3f}: what differs by no more than that is not shown to help or to harm.",
        "",
        *table(["run", "changed", heads[0], "difference", *heads[1:], "minutes"], body),
    ]  # fmt: skip


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
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        print(write_ablations(sys.argv[1]))
    except ModelFolderError as error:
        sys.exit(f"ablations: {error}")
