"""The data of a training run: the parts of its data set and further images, all decoded."""

import hashlib
from dataclasses import dataclass

import numpy as np

from model.data.dataset import DatasetError, data_name, decode, load_rows
from model.data.fingerprints import Record, none, with_fingerprints
from model.data.licence import licence_of
from model.data.split import (
    SEED,
    add_extra,
    add_unlabelled,
    check_selected,
    classes_of,
    count,
    hold_out,
    keep_copies_together,
    limit_rows,
    malignant_labels,
    split_rows,
    to_binary,
)


@dataclass
class Prepared:
    """The images and labels of a run.

    `labels`: the names of the classes; `split`: {part: image ids}; `images` (uint8 [n, height,
    width, 3]) and `truth` (int64 [n], -1 without a label): to train on; `validation_...`: those of
    the validation part, with the lesion of each image, or None in a final run; `held_ids`,
    `held_fingerprints`: of the images that the run must not be trained on; `pictures`: the record
    of those that it is trained on and validated with; `digests`: {part: its number of images and a
    hash of their ids, labels and fingerprints}; `record`: `data` in config.json.
    """

    labels: list[str]
    split: dict[str, list[str]]
    images: np.ndarray
    truth: np.ndarray
    validation_images: np.ndarray | None
    validation_truth: np.ndarray | None
    validation_lesions: np.ndarray | None
    held_ids: np.ndarray
    held_fingerprints: np.ndarray
    pictures: Record
    digests: dict[str, list]
    record: dict


def prepare(settings) -> Prepared:
    """Load, split and decode the data sets of `settings`, the arguments of train.py. Prints the
    number of images in each part. Raises DatasetError, and ModelFolderError if the parts of a final
    run are not those of the selected run."""
    needed = ("image_id", "lesion_id") if settings.split_by == "lesion" else ("image_id",)
    rows = load_rows(settings.dataset, settings.label_column, needed)
    split, held_out = split_rows(rows, settings.split_by), None
    if settings.hold_out:
        split, held_out = hold_out(rows, split, settings.hold_out)
    images = len(rows)
    if settings.limit:
        # A trial run knows no other pictures than those of its parts, and those held out.
        held = np.setdiff1d(np.arange(len(rows)), np.concatenate(list(split.values())))
        split = limit_rows(split, rows.dx, settings.limit)
        taken = np.sort(np.concatenate([held, *split.values()]))
        rows = rows.take(taken)
        split = {part: np.searchsorted(taken, i) for part, i in split.items()}
    rows = with_fingerprints(rows, settings.cache)
    split, copied = keep_copies_together(rows, split, settings.split_by)
    label_column = settings.extra_label_column
    joined, extra = add_extra(rows, split, settings.extra, label_column, settings.cache)
    further = np.arange(len(rows), len(joined))
    if settings.limit:
        further = limit_rows({"train": further}, joined.dx, settings.limit)["train"]
    if settings.final:
        check_selected(settings.final, rows, split)
    classes = {}
    if settings.task == "binary":
        malignant = malignant_labels(rows, settings.malignant)
        classes = {"classes": classes_of(rows.labels, malignant)}
        rows, joined = to_binary(rows, malignant), to_binary(joined, malignant)
    counts = {part: count(joined.dx[i], rows.labels, part) for part, i in split.items()}
    more = count(joined.dx[further], rows.labels, "extra")
    _check_labels(rows.name, {label: n + more[label] for label, n in counts["train"].items()})
    joined, unlabelled = add_unlabelled(joined, settings.unlabelled, settings.cache)
    without_label = np.flatnonzero(joined.dx == "")[: settings.limit]
    validation = split["validation"]
    train = [split["train"], *([validation] if settings.final else []), further, without_label]
    train = np.concatenate(train).astype(np.int64)
    held = np.setdiff1d(np.arange(len(rows)), train)
    trained, selected_by = joined.fingerprints[train], rows.fingerprints[validation]
    size_and_cache = settings.height, settings.width, settings.cache
    return Prepared(
        labels=rows.labels,
        split={part: rows.image_id[i].tolist() for part, i in split.items()},
        images=decode(joined, train, *size_and_cache),
        truth=joined.truth[train],
        validation_images=None if settings.final else decode(rows, validation, *size_and_cache),
        validation_truth=None if settings.final else rows.truth[validation],
        validation_lesions=None if settings.final else rows.units(settings.split_by)[validation],
        held_ids=rows.image_id[held],
        held_fingerprints=rows.fingerprints[held],
        pictures=Record(trained, none() if settings.final else selected_by),
        digests={part: _digest(joined, i) for part, i in (split | {"train": train}).items()},
        record={
            "dataset": data_name(settings.dataset),
            "label_column": settings.label_column,
            "licence": settings.licence or licence_of(settings.dataset),
            "images": images,
            "repeated_rows_dropped": rows.repeated,
            "split_by": settings.split_by,
            "split_seed": SEED,
            "counts": counts,
            "extra": _named(extra),
            **({"copies": copied} if any(copied.values()) else {}),
            **({"held_out": held_out} if held_out else {}),
            **({"unlabelled": _named(unlabelled)} if unlabelled else {}),
            "trained_on": len(train),
            **classes,
        },
    )


def _check_labels(name, counts):
    """Say which labels no training image has. Raises DatasetError if all have the same label."""
    present = [label for label, images in counts.items() if images]
    if len(present) < 2:
        raise DatasetError(
            f"{name}: all images to train on have the label {', '.join(present)}, so there is "
            "nothing to tell apart."
        )
    if absent := [label for label in counts if label not in present]:
        print(f"No image to train on has the label {', '.join(absent)}: it cannot be learned.")


def _digest(rows, i):
    digest = hashlib.blake2b(rows.fingerprints[i].tobytes(), digest_size=16)
    for text in (*rows.image_id[i], *rows.dx[i]):
        digest.update(f"{text}\n".encode())
    return [len(i), digest.hexdigest()]


def _named(records):
    return [record | {"dataset": data_name(record["dataset"])} for record in records]
