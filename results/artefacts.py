"""The effect of drawn artefacts: a model's validation part with each of them on every picture.

    python -m results.artefacts runs/A runs/B      writes results/artefacts.md

Measures what is served: model.tflite, or the Keras weights of a folder without it. Each model sees
the same artefacts (model/data/artefacts.py), drawn at its own input size. The pictures are those of
the validation part, because these figures also serve to choose models.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from convert import answers as tflite_answers
from evaluate import keras_probabilities
from model.data import dataset as data
from model.data.artefacts import KINDS, add_artefacts
from model.evaluation.metrics import classification_metrics
from model.evaluation.runs import at
from model.folder import SPLIT, TFLITE, read_config, read_json
from model.hub.tables import table, text
from results.reports import parser, run, write_report

NONE = "none"
# Heading, path in the metrics, decimals.
SHOWN = (("Balanced accuracy", ("balanced_accuracy",), 3), ("Log-loss", ("log_loss",), 3))


def with_artefacts(images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `images` uint8 [n, h, w, 3] as they are (NONE), and then with each of KINDS on all of
    them. One copy at a time is in memory."""
    yield NONE, images
    for number, kind in enumerate(KINDS):
        yield kind, add_artefacts(images, [kind], 1.0, np.random.default_rng(number))


def answers(folder: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Probabilities [n, k] of images uint8 [n, h, w, 3], and bool [n], whether each is unfamiliar;
    None for a model that does not measure familiarity."""
    if not (folder / TFLITE).is_file():
        return keras_probabilities(folder, images, timed=False)[0], None
    probabilities, familiar, _ = tflite_answers(folder / TFLITE, images)
    threshold = read_config(folder).get("familiarity", {}).get("threshold")
    if threshold is None or np.isnan(familiar).any():
        return probabilities, None
    return probabilities, familiar < threshold


def measure(folder: Path, dataset: str, resamples: int, cache=None) -> dict[str, dict]:
    """{kind: metrics} for the pictures as they are (NONE) and with each of KINDS: the figures of
    model/evaluation/metrics.py, and `unfamiliar`, the share of pictures that the model finds unlike
    those of its training (None if not measured). Raises DatasetError and ModelFolderError."""
    config = read_config(folder)
    rows = data.rows_of_model(config, dataset)
    chosen = rows.find(read_json(folder / SPLIT)["validation"])
    size = config["input"]["height"], config["input"]["width"]
    images = data.decode(rows, chosen, *size, cache)
    split_by = config["data"]["split_by"]
    lesions, unit = rows.units(split_by)[chosen], rows.unit(split_by)
    metrics = {}
    for kind, pictures in with_artefacts(images):
        print(f"{folder}: {kind}")
        probabilities, unfamiliar = answers(folder, pictures)
        metrics[kind] = classification_metrics(
            config["labels"],
            rows.truth[chosen],
            probabilities,
            lesions,
            unit=unit,
            resamples=resamples,
        )
        metrics[kind]["unfamiliar"] = None if unfamiliar is None else float(unfamiliar.mean())
    return metrics


def report_lines(measured: list[tuple[str, dict[str, dict]]]) -> list[str]:
    """The lines of artefacts.md, from each model's name and what `measure` returns."""
    head = ["", NONE, *KINDS]
    images = {metrics[NONE]["n"] for _, metrics in measured}
    lines = [
        "# The effect of drawn artefacts",
        "",
        "Made by `python -m results.artefacts`. The validation part of each model, "
        f"{', '.join(f'{n:,}' for n in sorted(images))} pictures, as it is (*none*) and with one "
        "artefact drawn on every picture. Brackets hold 95 % intervals from a bootstrap over "
        "lesions, or over pictures for a model whose split is by picture. All columns show the "
        "same lesions, so a difference along a row is more certain than the intervals suggest.",
        "",
    ]
    for title, path, decimals in SHOWN:
        body = [
            [name, *(text(at(metrics[kind], path), 1, decimals) for kind in head[1:])]
            for name, metrics in measured
        ]
        lines += [f"## {title}", "", *table(head, body)]
    body = [
        [name, *(f"{100 * metrics[kind]['unfamiliar']:.1f} %" for kind in head[1:])]
        for name, metrics in measured
        if metrics[NONE]["unfamiliar"] is not None
    ]
    if body:
        lines += ["## Refused as unfamiliar", "", *table(head, body)]
    return lines


def main(arguments=None) -> str:
    """Measure the models that `arguments` name and write the report; returns it."""
    options = parser(__doc__, "results/artefacts.md")
    options.add_argument("folders", nargs="+", metavar="MODEL_FOLDER")
    args = options.parse_args(arguments)
    measured = [
        (folder.resolve().name, measure(folder, args.dataset, args.resamples, args.cache))
        for folder in map(Path, args.folders)
    ]
    return write_report(args.output, report_lines(measured))


if __name__ == "__main__":
    run("artefacts", main)
