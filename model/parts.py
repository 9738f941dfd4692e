"""Who trains, validates and tests: the published split, trial runs, pictures of further sets."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from model.dataset import DatasetError, Rows, load_rows, missing_column
from model.folder import SPLIT, ModelFolderError, read_config, read_json
from model.labels import LABELS, to_code


def split_rows(rows: Rows, by: str = "lesion", seed: int = 101) -> dict[str, np.ndarray]:
    """Row numbers {"train", "validation", "test"}, no lesion in two of them.

    The split of the published work: the test part is a 15 % sample, stratified by `dx`, of the
    lesions that have one image, drawn by scikit-learn with seed 101 from rows sorted by
    `image_id`; on HAM10000, 828 images. Of the other lesions a stratified 10 % validates.
    `by="image"` takes each image for a lesion of its own. Raises DatasetError.
    """
    if by == "lesion" and rows.lesion_id is None:
        columns = ["image_id", "label", *rows.metadata]
        raise DatasetError(missing_column(rows.name, "lesion_id", columns))
    group = rows.lesion_id if by == "lesion" else rows.image_id
    views = Counter(group)
    single = np.array([i for i, g in enumerate(group) if views[g] == 1], dtype=np.int64)
    test = _sample(single, rows.dx, 0.15, seed, rows.name)
    taken = set(test)
    rest = np.array([i for i in range(len(rows)) if i not in taken], dtype=np.int64)
    first = {}
    for i in rest:
        first.setdefault(group[i], i)
    lesions = np.array(list(first.values()), dtype=np.int64)
    validating = set(group[_sample(lesions, rows.dx, 0.10, seed, rows.name)])
    validation = np.array([i for i in rest if group[i] in validating], dtype=np.int64)
    train = np.array([i for i in rest if group[i] not in validating], dtype=np.int64)
    return {"train": train, "validation": validation, "test": np.sort(test)}


def _sample(candidates, dx, share, seed, name):
    try:
        _, drawn = train_test_split(
            candidates, test_size=share, random_state=seed, stratify=dx[candidates]
        )
    except ValueError as error:
        counts = dict(Counter(dx[candidates].tolist()))
        raise DatasetError(
            f"{name} is too small to split, with {counts} lesions to draw {share:.0%} from: {error}"
        ) from None
    return drawn


def limit_rows(split: dict[str, np.ndarray], dx: np.ndarray, limit: int) -> dict[str, np.ndarray]:
    """About `limit` rows, 70/15/15 over the parts, the rare labels first: for a trial run."""
    shares = {"train": 0.70, "validation": 0.15, "test": 0.15}
    limited = {}
    for part, rows in split.items():
        queues = [[i for i in rows if dx[i] == label] for label in sorted(set(dx[rows]))]
        picked = []
        while len(picked) < min(len(rows), max(1, round(limit * shares[part]))):
            for queue in queues:
                if queue:
                    picked.append(queue.pop(0))
        limited[part] = np.sort(np.array(picked, dtype=np.int64))
    return limited


def add_extra(
    rows: Rows, split: dict[str, np.ndarray], names: list[str], label_column: str = "label"
) -> tuple[Rows, list[dict]]:
    """Further labelled sets for the training part: all rows, the new ones last, and the record.

    A row of `rows` keeps its number. Left out, with a sentence printed: labels that `rows` does
    not have, images that are in `rows` by their `image_id` (so none of its validation and test
    parts comes in by another door), other views of a lesion of those parts, and images that an
    earlier set brought. Raises DatasetError for a set without `image_id`, or with nothing left.
    """
    held_out = np.concatenate([split["validation"], split["test"]])
    lesions = set() if rows.lesion_id is None else set(rows.lesion_id[held_out])
    seen, joined, records = set(rows.image_id), rows, []
    for name in names:
        extra = load_rows(name, label_column, ("image_id",), as_is=True)
        dx = np.array([_label(value, rows.labels) for value in extra.dx])
        unknown = dx == ""
        known = np.array([image_id in seen for image_id in extra.image_id])
        if extra.lesion_id is not None:
            known |= np.array([lesion in lesions for lesion in extra.lesion_id])
        kept = np.flatnonzero(~unknown & ~known)
        if unknown.any():
            told = ", ".join(f"{k} ({n})" for k, n in sorted(Counter(extra.dx[unknown]).items()))
            print(f"{name}: {rows.name} has no label {told}: {unknown.sum()} images are left out")
        if known.any():
            print(f"{name}: {known.sum()} images are in {rows.name} or another set, or show a "
                  "lesion of its validation or test part: they are left out")  # fmt: skip
        if not len(kept):
            raise DatasetError(
                f"{name} adds no image to {rows.name}: none is new and has one of the labels "
                f"{', '.join(rows.labels)} in the column {label_column!r}."
            )
        seen |= set(extra.image_id[kept])
        joined = _join(joined, extra, kept, dx)
        records.append({
            "dataset": name,
            "label_column": label_column,
            "images": len(kept),
            "left_out": {"label": int(unknown.sum()), "image": int((known & ~unknown).sum())},
            "counts": {label: int((dx[kept] == label).sum()) for label in rows.labels},
        })  # fmt: skip
    return joined, records


def _label(value, labels):
    """`value` as one of `labels`, or "" where it is none."""
    if value in labels:
        return value
    try:
        return to_code(value) if labels == LABELS else ""
    except ValueError:
        return ""


def _join(rows, extra, kept, dx):
    index = extra.index[kept] + [len(rows.tables), 0]
    lesions = rows.lesion_id
    if lesions is not None:
        lesions = np.concatenate([lesions, extra.image_id[kept]])
    return replace(
        rows,
        image_id=np.concatenate([rows.image_id, extra.image_id[kept]]),
        lesion_id=lesions,
        dx=np.concatenate([rows.dx, dx[kept]]),
        metadata={},
        tables=rows.tables + extra.tables,
        index=np.concatenate([rows.index, index]),
    )


def check_selected(folder: str, rows, split: dict) -> dict:
    """config.json of the selected run, whose parts must be those of this one."""
    theirs = read_json(Path(folder) / SPLIT)
    for part, i in split.items():
        if rows.image_id[i].tolist() != theirs[part]:
            raise ModelFolderError(
                f"the {part} part of {folder} is another one: name the data set it was trained on "
                "with --dataset."
            )
    return read_config(folder)


def count(dx, labels, part) -> dict:
    """How many images each label has in a part; prints it, up to twenty labels."""
    counts = {label: int((dx == label).sum()) for label in labels}
    if len(dx):
        shown = "  ".join(f"{k} {v}" for k, v in counts.items()) if len(labels) <= 20 else ""
        print(f"{part:10} {len(dx):6} images  {shown}")
    return counts
