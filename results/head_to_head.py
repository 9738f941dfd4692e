"""Compare one of our models with seven foundation models on the 1,503 pictures for which their
predictions are published.

    python train.py --dataset ../shared/ham10000 --hold-out ../shared/head_to_head/images.csv ... \\
        --output runs/held_out
    python convert.py runs/held_out
    python -m results.head_to_head runs/held_out      writes results/head_to_head.md

The folder of --answers holds the list images.csv (`image_id`, `dx`) and a CSV for each encoder of
ENCODERS: `image_id` and the seven probabilities that were published. A model that has seen one of
the pictures, or another picture of their lesions, is refused.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluate import tflite_probabilities
from model.data import dataset as data
from model.data.tables import read_table
from model.evaluation.metrics import BINS, classification_metrics, draws, interval
from model.evaluation.runs import at, row_of
from model.folder import SPLIT, ModelFolderError, read_config, read_json, read_metrics
from model.hub.tables import conversion_text, counts, drawn, table, text
from model.labels import LABELS
from results.reports import parser, run, write_report

LIST = "images.csv"
SEED = 0
# File of answers, without .csv: name and image encoder. All are linear probes.
ENCODERS = {
    "dermfm_zero": "DermFM-Zero, ViT-L (private weights)",
    "dermlip_panderm": "DermLIP, PanDerm encoder",
    "panderm_large": "PanDerm, ViT-L",
    "dinov3_l16": "DINOv3, ViT-L/16",
    "dermlip_vit_b16": "DermLIP, ViT-B/16",
    "clip_vit_l14": "CLIP, ViT-L/14",
    "monet": "MONET, ViT-L/14",
}
# Heading, path in the metrics, scale (100: per cent), decimals, whether more is better.
SHOWN = (
    ("accuracy, %", ("top_1",), 100, 2, True),
    ("balanced accuracy", ("balanced_accuracy",), 1, 3, True),
    ("macro F1", ("macro_f1",), 1, 3, True),
    ("melanoma recall", ("melanoma", "sensitivity"), 1, 3, True),
    ("ECE", ("ece",), 1, 3, False),
)


@dataclass
class Pictures:
    """The listed pictures, in the order of the list. `rows` int64 [n]: row numbers of the data set;
    `truth` int64 [n]: indices into LABELS; `lesions` [n]: lesion ids; `sibling` bool [n]: whether
    the data set has another picture of the same lesion that is not in the list."""

    image_id: list[str]
    rows: np.ndarray
    truth: np.ndarray
    lesions: np.ndarray
    sibling: np.ndarray


def read_pictures(path: "str | Path", rows: data.Rows) -> Pictures:
    """The list at `path` (columns image_id and dx), matched with the data set.

    Raises DatasetError for a picture that the data set lacks or labels differently."""
    listed = read_table(path, ["image_id", "dx"])
    ids = [row["image_id"] for row in listed]
    _once(ids, path)
    if not ids:
        raise data.DatasetError(f"{path} lists no image.")
    chosen = rows.find(ids)
    for i, row in zip(chosen, listed):
        if row["dx"] != rows.dx[i]:
            raise data.DatasetError(
                f"{row['image_id']} is {row['dx']} in {path} and {rows.dx[i]} in {rows.name}: they "
                "are of different versions."
            )
    lesions = rows.lesion_id[chosen]
    views, inside = Counter(rows.lesion_id), Counter(lesions)
    sibling = np.array([views[lesion] > inside[lesion] for lesion in lesions])
    return Pictures(ids, chosen, rows.truth[chosen], lesions, sibling)


def read_answers(path: "str | Path", image_ids: list[str]) -> np.ndarray:
    """Probabilities float64 [n, 7] of the images, in their order and that of LABELS.

    Raises DatasetError if the file has other images, or a row whose probabilities do not lie
    between 0 and 1 or do not sum to 1 (within 0.001).
    """
    answers = read_table(path, ["image_id", *LABELS])
    ids = [row["image_id"] for row in answers]
    _once(ids, path)
    if differing := set(ids) ^ set(image_ids):
        raise data.DatasetError(
            f"{path} does not answer the images of {LIST}: {len(set(image_ids) - set(ids))} are "
            f"missing and {len(set(ids) - set(image_ids))} are others, the first {min(differing)}."
        )
    values = {row["image_id"]: _probabilities(row, path) for row in answers}
    return np.array([values[image_id] for image_id in image_ids])


def _once(ids, path):
    repeated = [image_id for image_id, number in Counter(ids).items() if number > 1]
    if repeated:
        raise data.DatasetError(f"{path} has {repeated[0]} more than once: leave one row of it.")


def _probabilities(row, path):
    try:
        values = [float(row[label]) for label in LABELS]
    except ValueError:
        values = [-1.0]
    if not all(0 <= value <= 1 for value in values) or abs(sum(values) - 1) > 0.001:
        raise data.DatasetError(
            f"{row['image_id']} of {path} has no probabilities: its {', '.join(LABELS)} must lie "
            "between 0 and 1 and sum to 1."
        )
    return values


def check_unseen(folder: "str | Path", rows: data.Rows, pictures: Pictures, path: Path) -> None:
    """Refuse a model that has seen the pictures of the list at `path`, or others of their lesions.

    The train and validation parts of split.json, which must be of this data set, must not hold
    them. A model that it started from, or a teacher, must have held out as many pictures if it
    learned from this data set. Raises ModelFolderError and DatasetError.
    """
    split, config = read_json(Path(folder) / SPLIT), read_config(folder)
    lesions = set(pictures.lesions)
    cure = f"Train it with --hold-out {path}"
    for part in ("train", "validation"):
        try:
            known = rows.find(split[part])
        except (KeyError, TypeError):
            raise ModelFolderError(f"{Path(folder) / SPLIT} lacks its {part} part.") from None
        seen = [str(rows.image_id[i]) for i in known if rows.lesion_id[i] in lesions]
        if seen:
            raise ModelFolderError(
                f"{folder} has {len(seen)} pictures of the lesions of {path} in its {part} part, "
                f"the first {seen[0]}, so they measure nothing. {cure}."
            )
    own = at(config, ("data", "dataset"))
    for source in _sources(config):
        held_out = at(source, ("held_out", "images")) or 0
        if own in (source.get("dataset") or "").split(" + ") and held_out < len(pictures.image_id):
            raise ModelFolderError(
                f"{folder} learned from {source.get('name') or source.get('start')}, a model that "
                f"was trained on {own} and may have seen pictures of {path}. {cure}, and its start "
                "weights and teachers too."
            )


def _sources(config):
    """The records of the models that this one started from or learned from."""
    records, before = list(at(config, ("training", "teachers")) or []), config.get("weights")
    while before:
        records.append(before)
        before = before.get("before")
    return records


def measure(
    truth: np.ndarray, answers: dict[str, np.ndarray], lesions: np.ndarray, resamples: int
) -> tuple[dict, dict]:
    """({name: classification_metrics}, {name: {path: difference}}) on one set of pictures.

    answers: {name: probabilities [n, 7]}, ours first. A difference is a figure of ours minus that
    of another, with the interval of a paired bootstrap: both answer the same lesions.
    """
    options = {"resamples": resamples, "seed": SEED}
    metrics, drawn_figures = {}, {}
    for name, answer in answers.items():
        metrics[name] = classification_metrics(LABELS, truth, answer, lesions, **options)
        drawn_figures[name] = draws(LABELS, truth, answer, lesions, **options)
    ours, *others = answers
    differences = {
        name: {
            path: interval(drawn_figures[ours][path] - drawn_figures[name][path])
            for _, path, *_ in SHOWN
        }
        for name in others
    }
    return metrics, differences


def report_lines(
    folder: "str | Path", pictures: Pictures, answers: dict, resamples: int
) -> list[str]:
    """The lines of head_to_head.md; answers: {name: probabilities [n, 7]}, ours first."""
    n, siblings = len(pictures.image_id), int(pictures.sibling.sum())
    ours = next(iter(answers))
    lines = [
        "# Head to head with foundation models",
        "",
        f"Made by `python -m results.head_to_head {folder}`. {_model(folder, ours)}",
        "",
        "Each of the others is an image encoder with a linear probe. Their predictions for these "
        f"{n:,} pictures of HAM10000 are those that the authors of DermFM-Zero published. This "
        "program measures all models alike, but they were not trained alike. For the others the "
        f"data were split by picture: {siblings:,} of the {n:,} share a lesion with a picture "
        "outside the list, from which the probes could learn, so figures on all may flatter them. "
        f"For ours they were split by lesion: it saw none of the {n:,} and no other picture of "
        f"their lesions, in training or in validation. The {n - siblings:,} pictures without such "
        "a sibling are the fairer comparison.",
        "",
    ]
    sections = {f"All {n:,} pictures": np.arange(n)}
    if 0 < siblings < n:
        alone = f"The {n - siblings:,} pictures without a sibling outside the list"
        sections[alone] = np.flatnonzero(~pictures.sibling)
    for title, i in sections.items():
        part = {name: probabilities[i] for name, probabilities in answers.items()}
        measured = measure(pictures.truth[i], part, pictures.lesions[i], resamples)
        lines += [f"## {title}", "", *section(*measured)]
    number = len(sections) * (len(answers) - 1) * len(SHOWN)
    return lines + [
        "## How to read it",
        "",
        "The bootstrap draws a lesion with all its pictures; a resample without a picture of a "
        f"class averages over the other classes. ECE is the expected calibration error, {BINS} "
        "bins; resampling adds noise to every bin, which biases its interval upwards. A difference "
        "is ours minus theirs, with both on the same lesions in each resample. *Better* and "
        "*worse* mean that ours is, and that the interval excludes 0; a lower ECE is better. These "
        f"are {number} intervals without a correction for their number: some may exclude 0 by "
        "chance.",
        "",
    ]


def _model(folder, ours):
    row = row_of(folder)
    conversion = read_metrics(folder).get("conversion")
    served = conversion_text(conversion) if conversion else f"model.tflite, {row['tflite_mb']} MB."
    parameters = f"{row['parameters']:,}" if row["parameters"] else "an unknown number of"
    teachers = f", teachers {row['teachers']}" if row.get("teachers") else ""
    return (
        f"Ours, {ours}, is {row['backbone']} at {row['size']} pixels with {parameters} parameters; "
        f"training start {row['weights'] or 'unknown'}{teachers}; trained on {row['images']:,} "
        f"pictures of {row['data']}. What is served is measured: {served}"
    )


def section(metrics: dict, differences: dict) -> list[str]:
    """The tables of one set of pictures, from what `measure` returns."""
    ours = next(iter(metrics.values()))
    figures = [
        [name, *(text(at(entry, path), scale, places) for _, path, scale, places, _ in SHOWN)]
        for name, entry in metrics.items()
    ]
    differing = [
        [name, *(difference(entry[path], *how) for _, path, *how in SHOWN)]
        for name, entry in differences.items()
    ]
    heads = [heading for heading, *_ in SHOWN]
    return [
        f"Pictures: {counts(ours['support'])}. {drawn(ours)}".strip(),
        "",
        *table(["", *heads], figures),
        "Ours minus theirs:",
        "",
        *table(["", *heads], differing),
    ]


def difference(figure: dict, scale: float, decimals: int, more: bool) -> str:
    """As "+0.034 (+0.010 to +0.058) *better*"."""

    def signed(value):
        return f"{round(value * scale, decimals) + 0.0:+.{decimals}f}"  # + 0.0: no "-0.000"

    if figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return signed(figure["value"])
    cell = f"{signed(figure['value'])} ({signed(figure['low'])} to {signed(figure['high'])})"
    if figure["low"] <= 0 <= figure["high"]:
        return cell
    return f"{cell} *{'better' if (figure['low'] > 0) == more else 'worse'}*"


def main(arguments=None) -> str:
    """Compare the model that `arguments` name and write the report; returns it."""
    options = parser(__doc__, "results/head_to_head.md")
    options.add_argument("folder", metavar="MODEL_FOLDER", help="with model.tflite")
    options.add_argument(
        "--answers",
        default="../shared/head_to_head",
        help="folder of images.csv and the answers (default: %(default)s)",
    )
    args = options.parse_args(arguments)
    config, path = read_config(args.folder), Path(args.answers) / LIST
    if config["labels"] != LABELS:
        raise ModelFolderError(
            f"{args.folder} knows {', '.join(config['labels'])}; the others answer "
            f"{', '.join(LABELS)}."
        )
    rows = data.load_rows(args.dataset, need=("image_id", "lesion_id"))
    pictures = read_pictures(path, rows)
    check_unseen(args.folder, rows, pictures, path)
    theirs = {
        name: read_answers(path.with_name(f"{stem}.csv"), pictures.image_id)
        for stem, name in ENCODERS.items()
    }
    size = config["input"]["height"], config["input"]["width"]
    images = data.decode(rows, pictures.rows, *size, args.cache, mapped=True)
    ours, _ = tflite_probabilities(Path(args.folder), images, timed=False)
    answers = {f"**{config.get('name') or Path(args.folder).resolve().name}**": ours, **theirs}
    return write_report(args.output, report_lines(args.folder, pictures, answers, args.resamples))


if __name__ == "__main__":
    run("head_to_head", main)
