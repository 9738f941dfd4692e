"""The table of runs, a CSV with a row for each model folder: how it was made and its figures.

    python -m model.evaluation.runs runs/NAME results/runs.csv     write the row of a model folder

train.py, convert.py and evaluate.py write it where --results names the table. Every cell comes
from the folder's config.json and metrics.json, and is empty where they hold nothing. The name of
the run is the key: writing a row again replaces it. results/README.md explains the columns.
"""

import csv
import subprocess
import sys
from pathlib import Path

from model.folder import (
    TFLITE,
    ModelFolderError,
    errors_in_words,
    read_config,
    read_metrics,
    replacing,
)

# Column, path in the figures of metrics.py.
FIGURES = (
    ("top_1", ("top_1",)),
    ("top_2", ("top_2",)),
    ("top_3", ("top_3",)),
    ("balanced_accuracy", ("balanced_accuracy",)),
    ("macro_precision", ("macro", "precision")),
    ("macro_f1", ("macro_f1",)),
    ("roc_auc", ("roc_auc",)),
    ("log_loss", ("log_loss",)),
    ("melanoma_sensitivity", ("melanoma", "sensitivity")),
    ("malignant_sensitivity", ("malignant", "sensitivity")),
    ("malignant_specificity", ("malignant", "specificity")),
    ("ece", ("ece",)),
)


def row_of(folder: "str | Path") -> dict:
    """The row of a model folder: {column: value}, values as in its JSON, "" for a missing one."""
    from model.network.backbones import BACKBONES

    folder = Path(folder)
    config, metrics = read_config(folder), read_metrics(folder)
    training, data = config.get("training") or {}, config.get("data") or {}
    final = training.get("final") or {}
    fast = training.get("speed") or {}  # in older runs only
    size, backbone = config["input"], config["architecture"]
    tested = (metrics.get("data") or {}).get("part") == "test"
    runtime = next((name for name in ("tflite", "keras") if name in metrics and tested), None)
    tflite = folder / TFLITE
    row = {
        "name": config.get("name") or folder.resolve().name,
        "date": training.get("finished"),
        "command": training.get("command"),
        "commit": training.get("commit"),
        "data": data_sets(data),
        "labels": len(config["labels"]),
        "images": data.get("trained_on") or sum(data.get("counts", {}).get("train", {}).values()),
        "final_of": final.get("like"),
        "backbone": BACKBONES[backbone].title if backbone in BACKBONES else backbone,
        "weights": _chain(config.get("weights")),
        "teachers": " + ".join(teacher["name"] for teacher in training.get("teachers") or []),
        "size": f"{size['height']}x{size['width']}",
        "epochs": training.get("epochs_run"),
        "best_epoch": training.get("best_epoch"),
        "hardware": ", ".join(filter(None, (training.get("device"), training.get("machine")))),
        "precision": training.get("precision"),
        "minutes": training.get("minutes"),
        "images_per_second": training.get("images_per_second"),
        "tflops": fast.get("tflops"),
        "share_of_peak": fast.get("share_of_peak"),
        "parameters": config.get("parameters"),
        # A final run has none: it was trained on its own validation part.
        **_figures("validation", training.get("validation")),
        **_figures("test", metrics.get(runtime)),
        "test_images": metrics["data"]["images"] if runtime else None,
        "test_runtime": runtime,
        "tflite_mb": round(tflite.stat().st_size / 1e6, 2) if tflite.is_file() else None,
        "quantize": (metrics.get("conversion") or {}).get("quantize"),
        "tflite_ms": at(metrics, ("tflite", "latency_ms", "mean")),
    }
    return {column: "" if value is None else value for column, value in row.items()}


def write_row(folder: "str | Path", path: "str | Path") -> dict:
    """Write the row of a model folder into the table at `path`, making it if necessary.

    Returns the row. Raises ModelFolderError where `path` holds another table.
    """
    path, row = Path(path), row_of(folder)
    rows = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if rows and "name" not in rows[0]:
            raise ModelFolderError(f"{path} is not a table of runs: it has no column 'name'.")
    table = {old["name"]: old for old in rows} | {row["name"]: row}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        # Old rows lose columns that no longer exist and have empty cells for new ones.
        writer = csv.DictWriter(file, list(row), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table.values())
    print(f"{path}: the row of {row['name']}")
    return row


def read_rows(path: "str | Path", prefix: str, maker: str) -> list[dict]:
    """The rows whose names begin with `prefix`, all values as text.

    Raises ModelFolderError where there are none, naming `maker`, the script that makes them.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("name", "").startswith(prefix)]
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read ({error}).") from None
    if not rows:
        raise ModelFolderError(
            f"{path} has no row whose name begins with {prefix}: run {maker} first."
        )
    return rows


def data_sets(data: dict) -> str:
    """The data set of config.json's `data`, and those of --extra: "ham10000 + isic2017"."""
    extra = (entry["dataset"] for entry in data.get("extra") or [])
    return " + ".join([data.get("dataset") or "", *extra])


def commit() -> str | None:
    """The commit of this checkout, "+" appended where files differ from it; None without git."""
    here = Path(__file__).parents[1]

    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        head = git("rev-parse", "--short=10", "HEAD")
        return head and head + ("+" if git("status", "--porcelain", "-uno") else "")
    except OSError:
        return None


def _figures(part, figures):
    row = {}
    for column, path in FIGURES:
        figure = at(figures, path) or {}
        row[f"{part}_{column}"] = figure.get("value")
        if column == "balanced_accuracy":
            row |= {f"{part}_{column}_{end}": figure.get(end) for end in ("low", "high")}
    return row


def at(tree: dict | None, path: tuple):
    """The value at a path of keys; None where a key on the way is missing."""
    for key in path:
        tree = (tree or {}).get(key)
    return tree


def _chain(weights):
    """What the backbone started from, the latest first: "isic2019 < none"."""
    names = []
    while weights:
        names.append(str(weights.get("start")))
        weights = weights.get("before")
    return " < ".join(names)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with errors_in_words("runs"):
        write_row(*sys.argv[1:])
