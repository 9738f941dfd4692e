"""What drawn artefacts do to a model: the validation part with each of them on every picture.

    python -m results.artefacts runs/A runs/B      writes results/artefacts.md

What is served is measured: model.tflite where a folder has it, the Keras weights otherwise. Each
model sees the same artefacts (model/data/artefacts.py), drawn at its own size. The pictures are those of
the validation part, because models are chosen by these figures too.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from convert import answers as tflite_answers
from evaluate import keras_probabilities
from model.data import dataset as data
from model.data.artefacts import KINDS, drawn
from model.evaluation.metrics import classification_metrics
from model.folder import (
    SPLIT,
    TFLITE,
    ModelFolderError,
    disk_error,
    read_config,
    read_json,
    write_text,
)
from model.hub.tables import at, table, text

NONE = "none"
# Heading, path in the metrics, decimals.
SHOWN = (("Balanced accuracy", ("balanced_accuracy",), 3), ("Log-loss", ("log_loss",), 3))


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folders", nargs="+", metavar="MODEL_FOLDER")
    add("--dataset", default="../shared/ham10000", help="what they were trained on: Hub id, folder")
    add("--output", default="results/artefacts.md", help="the page to write")
    add("--resamples", type=int, default=1000, help="of the bootstrap")
    add("--cache", help="folder of decoded pictures (default: ~/.cache/skin-lesion)")
    return parser.parse_args(arguments)


def with_artefacts(images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """`images` uint8 [n, h, w, 3] without any (NONE), and then with each of KINDS on all of them.

    One after the other, because each is a copy of the pictures."""
    yield NONE, images
    for number, kind in enumerate(KINDS):
        yield kind, drawn(images, [kind], 1.0, np.random.default_rng(number))


def answers(folder: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Probabilities [n, k] of uint8 [n, h, w, 3], and which of the images count as unfamiliar,
    bool [n]; None of a model that does not tell."""
    if not (folder / TFLITE).is_file():
        return keras_probabilities(folder, images, timed=False)[0], None
    probabilities, familiar = tflite_answers(folder / TFLITE, images)
    threshold = read_config(folder).get("familiarity", {}).get("threshold")
    if threshold is None or np.isnan(familiar).any():
        return probabilities, None
    return probabilities, familiar < threshold


def measure(folder: Path, dataset: str, resamples: int, cache=None) -> dict[str, dict]:
    """The figures of model/evaluation/metrics.py without artefacts (NONE) and with each of KINDS, and
    `unfamiliar`, the share of the pictures that the model refuses to name, None where it cannot.
    """
    config = read_config(folder)
    rows = data.load_rows(
        dataset,
        config["data"]["label_column"],
        ("image_id",),
        labels=config["labels"],
        classes=config["data"].get("classes"),
    )
    chosen = rows.find(read_json(folder / SPLIT)["validation"])
    size = config["input"]["height"], config["input"]["width"]
    images = data.decode(rows, chosen, *size, cache)
    lesions = (rows.image_id if rows.lesion_id is None else rows.lesion_id)[chosen]
    found = {}
    for kind, pictures in with_artefacts(images):
        print(f"{folder}: {kind}")
        probabilities, unfamiliar = answers(folder, pictures)
        found[kind] = classification_metrics(
            config["labels"], rows.truth[chosen], probabilities, lesions, resamples=resamples
        )
        found[kind]["unfamiliar"] = None if unfamiliar is None else float(unfamiliar.mean())
    return found


def page(measured: list[tuple[str, dict[str, dict]]]) -> list[str]:
    """The lines of artefacts.md, from the name of each model and what `measure` found of it."""
    head = ["", NONE, *KINDS]
    images = {found[NONE]["n"] for _, found in measured}
    lines = [
        "# What drawn artefacts do",
        "",
        "Made by `python -m results.artefacts`. The validation part of each model, "
        f"{', '.join(f'{n:,}' for n in sorted(images))} pictures, as it is (*none*) and with one "
        "artefact drawn on every picture. In brackets 95 % intervals from a bootstrap over "
        "lesions. All columns show the same lesions, so a difference along a row is more certain "
        "than the intervals suggest.",
        "",
    ]
    for title, path, decimals in SHOWN:
        body = [
            [name, *(text(at(found[kind], path), 1, decimals) for kind in head[1:])]
            for name, found in measured
        ]
        lines += [f"## {title}", "", *table(head, body)]
    body = [
        [name, *(f"{100 * found[kind]['unfamiliar']:.1f} %" for kind in head[1:])]
        for name, found in measured
        if found[NONE]["unfamiliar"] is not None
    ]
    if body:
        lines += ["## Called unfamiliar, and so not named", "", *table(head, body)]
    return lines


def main(arguments=None) -> str:
    args = parse(arguments)
    measured = [
        (folder.resolve().name, measure(folder, args.dataset, args.resamples, args.cache))
        for folder in map(Path, args.folders)
    ]
    told = "\n".join(page(measured))
    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, told)
    return told


if __name__ == "__main__":
    try:
        print(main())
    except (data.DatasetError, ModelFolderError) as error:
        sys.exit(f"artefacts: {error}")
    except OSError as error:
        sys.exit(f"artefacts: {disk_error(error)}")
