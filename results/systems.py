"""The published systems, retrained here on one budget, next to their published figures.

    python -m results.systems results/runs.csv   writes systems.md and accuracy_vs_ms.png beside it

Reads the rows of the table of runs (model/evaluation/runs.py) whose names begin with `systems-`,
as results/systems.sh makes them.
"""

import sys
from pathlib import Path

from model.evaluation.figures import time_figure
from model.evaluation.runs import read_rows
from model.hub.card import PUBLISHED
from model.hub.tables import span, table
from model.labels import SUSPICIOUS
from model.network.backbones import BACKBONES
from results.reports import run, write_report

PREFIX, MAKER = "systems-", "results/systems.sh"
REPORT, FIGURE = "systems.md", "accuracy_vs_ms.png"


def write_systems(path: "str | Path") -> str:
    """Write the report and the figure beside the table of runs at `path`. Returns the report."""
    rows, folder = read_rows(path, PREFIX, MAKER), Path(path).parent
    seven = [row for row in rows if row["labels"] == "7"]
    time_figure([point(row) for row in seven], baselines(seven), folder / FIGURE)
    return write_report(folder / REPORT, report_lines(rows))


def report_lines(rows: list[dict]) -> list[str]:
    """The lines of systems.md."""
    seven = [row for row in rows if row["labels"] == "7"]
    two = [row for row in rows if row["labels"] == "2"]
    lines = [
        "# The published systems on one budget",
        "",
        "Made by `python -m results.systems results/runs.csv`; the runs by `results/systems.sh`. "
        f"{_budget(rows)} The published figures come from other budgets, sizes, start weights and, "
        "except those of P1, other test images. They are shown for orientation only; nothing here "
        "disproves them.",
        "",
    ]
    if seven:
        lines += ["## Seven diagnoses: top-k accuracy", "", *_test(seven), *_top_k(seven)]
        lines += ["## Seven diagnoses: means over the classes", "", *_means(seven)]
    if two:
        lines += ["## Benign or malignant", "", *_test(two), *_binary(two)]
    lines += ["## Cost", "", *_cost(rows), f"![Accuracy and time]({FIGURE})", ""]
    return lines + [
        "## Sources",
        "",
        *(f"- {key}: {PUBLISHED['citations'][key]['text']}" for key in _sources(rows)),
        "",
    ]


def theirs(row: dict) -> dict:
    """The published figures of a row's system; {} if there are none."""
    for system in PUBLISHED["systems"]:
        name = BACKBONES[system["backbone"]].title
        if (name, str(system["labels"])) == (row["backbone"], row["labels"]):
            return system
    return {}


def _budget(rows):
    def same(column):
        return " or ".join(sorted({row[column] or "–" for row in rows}))

    minutes = sorted(float(row["minutes"]) for row in rows if row["minutes"])
    span = f", {minutes[0]:g} to {minutes[-1]:g} minutes" if minutes else ""
    return (
        f"All of them: input {same('size')} pixels, {same('epochs')} epochs{span}, start weights "
        f"{same('weights')}, {same('images')} images of {same('data')}, {same('precision')}, "
        f"{same('hardware')}."
    )


def _test(rows):
    counts = sorted({row["test_images"] for row in rows if row["test_images"]})
    images = f"{' or '.join(counts)} images" if counts else "not measured yet"
    sentences = f"Test part: {images}."
    if baseline := baselines(rows):
        label, share = baseline["label"], baseline["top_1"]
        sentences += f" Always answering {label} would be right for {share:.2%} of them."
    return [f"{sentences} Figures in brackets are of the validation part.", ""]


def baselines(rows: list[dict]) -> dict:
    """What always answering the most common label reaches on the published test part, for rows
    with the same number of labels; {} if they were measured on other images."""
    images, support = PUBLISHED["test_images"], PUBLISHED["test_support"]
    if {row["test_images"] for row in rows} - {""} != {str(images)}:
        return {}
    if rows[0]["labels"] == "2":
        malignant = sum(support[label] for label in SUSPICIOUS)
        support = {"benign": images - malignant, "malignant": malignant}
    label = max(support, key=support.get)
    top_1 = support[label] / images
    return {"label": label, "top_1": top_1, "balanced_accuracy": 1 / len(support)}


def _ours(row, key, scale=1, decimals=3):
    """A figure of the test part, with that of the validation part in brackets."""
    texts = [
        f"{float(row[f'{part}_{key}']) * scale:.{decimals}f}" if row.get(f"{part}_{key}") else "–"
        for part in ("test", "validation")
    ]
    return f"{texts[0]} ({texts[1]})"


def _top_k(rows):
    body = []
    for row in rows:
        known = theirs(row)
        ours = [_ours(row, f"top_{k}", 100, 2) for k in (1, 2, 3)]
        first = "top_1" if "top_1" in known else "accuracy"
        printed = [span(known.get(key), 100) for key in (first, "top_2", "top_3")]
        source = known["source"] if set(printed) != {"–"} else "–"
        body.append([row["backbone"], *ours, *printed, source])
    head = [f"top-{k}, %" for k in (1, 2, 3)]
    return table(["network", *head, *(f"published {name}" for name in head), "source"], body)


def _means(rows):
    body = []
    for row in rows:
        ours = [_ours(row, key) for key in ("macro_precision", "balanced_accuracy", "macro_f1")]
        printed = [span(theirs(row).get(key)) for key in ("precision", "recall", "f1")]
        body.append([row["backbone"], *ours, *printed])
    head = ["precision", "recall", "F1"]
    return [
        "Ours are unweighted means over the seven classes, so recall is balanced accuracy. The "
        "published ones are those that P1 lists; a range is over the classes.",
        "",
        *table(["network", *head, *(f"published {name}" for name in head)], body),
    ]


def _binary(rows):
    head = "network; accuracy, %; sensitivity; specificity; ROC AUC; published accuracy, %; source"
    body = []
    for row in rows:
        keys = ("malignant_sensitivity", "malignant_specificity", "roc_auc")
        ours = [_ours(row, "top_1", 100, 2), *(_ours(row, key) for key in keys)]
        known = theirs(row)
        printed = span(known.get("accuracy"), 100)
        body.append([row["backbone"], *ours, printed, known.get("source", "–")])
    return table(head.split("; "), body)


def _cost(rows):
    head = (
        "network; labels; parameters; published, at 224x224; `.tflite`, MB; `--quantize`; "
        "one image, ms; training, min"
    )
    body = []
    for row in rows:
        known = theirs(row)
        printed = f"{known['parameters']:,}" if "parameters" in known else "–"
        more = [row[key] or "–" for key in ("tflite_mb", "quantize", "tflite_ms", "minutes")]
        body.append([row["backbone"], row["labels"], f"{int(row['parameters']):,}", printed, *more])
    return table(head.split("; "), body)


def _sources(rows):
    known = [theirs(row) for row in rows if theirs(row)]
    listed = {"P1"} if any("precision" in system for system in known) else set()
    return sorted({system["source"] for system in known} | listed)


def point(row: dict) -> dict:
    """What time_figure draws of a row: {name, ms, top_1, balanced_accuracy, low, high}; None where
    it was not measured."""
    columns = {
        "ms": "tflite_ms",
        "top_1": "test_top_1",
        "balanced_accuracy": "test_balanced_accuracy",
        "low": "test_balanced_accuracy_low",
        "high": "test_balanced_accuracy_high",
    }
    figures = {key: float(row[column]) if row[column] else None for key, column in columns.items()}
    return {"name": row["backbone"]} | figures


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run("systems", lambda: write_systems(sys.argv[1]))
