"""Train, validation and test parts: the published split, held-out pictures, subsets for trial runs,
pictures of other data sets, and the two labels benign and malignant."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from model.data.dataset import Rows, load_rows
from model.data.fingerprints import are_among, copies, with_fingerprints
from model.data.label_column import missing_column
from model.data.tables import DatasetError, read_table
from model.folder import SPLIT, ModelFolderError, read_config, read_json
from model.labels import BINARY, LABELS, find_label, suspicious_of

SEED = 101  # of the published split


def split_rows(rows: Rows, by: str = "lesion") -> dict[str, np.ndarray]:
    """Split into "train", "validation" and "test": row numbers, with no lesion in two parts.

    This is the split of the published work. The test part is a 15 % sample, stratified by `dx`, of
    the lesions with one image, drawn by scikit-learn with seed 101 from rows sorted by `image_id`;
    for HAM10000 it has 828 images. The validation part is a stratified 10 % of the other lesions.
    `by="image"` treats each image as a lesion of its own. Raises DatasetError.
    """
    if by == "lesion" and rows.lesion_id is None:
        columns = ["image_id", "label", *rows.metadata]
        raise DatasetError(missing_column(rows.name, "lesion_id", columns))
    group = rows.units(by)
    image_count = Counter(group)
    single = np.flatnonzero([image_count[g] == 1 for g in group])
    test = _sample(single, rows.dx, 0.15, rows.name)
    rest = np.setdiff1d(np.arange(len(rows)), test)
    _, first = np.unique(group[rest], return_index=True)
    lesions = rest[np.sort(first)]  # one image of each
    chosen = group[_sample(lesions, rows.dx, 0.10, rows.name)]
    validation = np.isin(group[rest], chosen)
    return {"train": rest[~validation], "validation": rest[validation], "test": np.sort(test)}


def _sample(candidates, dx, share, name):
    try:
        _, drawn = train_test_split(
            candidates, test_size=share, random_state=SEED, stratify=dx[candidates]
        )
    except ValueError as error:
        counts = dict(Counter(dx[candidates].tolist()))
        raise DatasetError(
            f"{name} is too small to split: {share:.0%} cannot be drawn from the lesions {counts} "
            f"({error})"
        ) from None
    return drawn


def hold_out(rows: Rows, split: dict[str, np.ndarray], path: str) -> tuple[dict, dict]:
    """Remove the pictures that a CSV lists in its column `image_id` from "train" and "validation",
    with all other pictures of their lesions; "test" stays as it is. Prints how many are removed.

    Returns the split and a record for config.json: {"file": the CSV's name, "images": how many of
    the list are in `rows`, "lesions": how many lesions they show (None if `rows` has no lesions),
    "left_out": {"train": n, "validation": m}}. Raises DatasetError if the file cannot be read, if
    none of its pictures is in `rows`, or if a part would be empty.
    """
    ids = {row["image_id"] for row in read_table(path, ["image_id"])}
    listed = np.isin(rows.image_id, list(ids))
    if not listed.any():
        raise DatasetError(
            f"{path} lists {len(ids)} images, but none is in {rows.name}: name a list of this data "
            "set's image_id."
        )
    held, lesions = listed, None
    if rows.lesion_id is not None:
        lesions = np.unique(rows.lesion_id[listed])
        held = np.isin(rows.lesion_id, lesions)
    after, left_out = dict(split), {}
    for part in ("train", "validation"):
        out = held[split[part]]
        after[part], left_out[part] = split[part][~out], int(out.sum())
        if not len(after[part]):
            raise DatasetError(
                f"{path} leaves no image in the {part} part of {rows.name}: name a shorter list."
            )
    count = int(listed.sum())
    of = "" if lesions is None else f" of {len(lesions)} lesions, and all others of these,"
    more = f"; {len(ids) - count} more are not in {rows.name}" if len(ids) > count else ""
    print(
        f"{path}: {count} images{of} are held out: {left_out['train']} leave the train part and "
        f"{left_out['validation']} the validation part{more}"
    )
    return after, {
        "file": Path(path).name,
        "images": count,
        "lesions": None if lesions is None else len(lesions),
        "left_out": left_out,
    }


def keep_copies_together(rows: Rows, split: dict, by: str = "lesion") -> tuple[dict, dict]:
    """Move pictures that are copies or near-copies of each other, but in different parts, to
    "train", with all others of their lesions. Copies of pictures that are in no part, since they
    are held out, leave "train" and "validation". Prints how many.

    Returns the split and a record: {"moved": n, "left_out": m}. Raises DatasetError if a part would
    be empty.
    """
    part = np.full(len(rows), "", dtype="<U10")
    for name, i in split.items():
        part[i] = name
    before, unit = part.copy(), rows.units(by)
    pairs = copies(rows.fingerprints, rows.fingerprints)  # each in both directions
    first, second = pairs[pairs[:, 0] != pairs[:, 1]].T
    changed = True
    while changed:
        last = part.copy()
        apart = (part[first] != part[second]) & (part[first] != "")
        held = apart & (part[second] == "")
        part[np.isin(unit, unit[first[apart & ~held]]) & (part != "")] = "train"
        part[np.isin(unit, unit[first[held]]) & (part != "test")] = ""
        changed = (part != last).any()
    record = {
        "moved": int(((part == "train") & (before != "train")).sum()),
        "left_out": int(((part == "") & (before != "")).sum()),
    }
    if any(record.values()):
        print(
            f"{rows.name}: some pictures are copies or near-copies of pictures in another part: "
            f"with the others of their lesions, {record['moved']} move to the train part and "
            f"{record['left_out']} are left out as copies of pictures that are held out"
        )
    after = {name: np.flatnonzero(part == name) for name in split}
    if empty := [name for name in split if len(split[name]) and not len(after[name])]:
        raise DatasetError(
            f"{rows.name} has no picture left for the {empty[0]} part, since all of them are "
            "copies of others: name a data set with more different pictures."
        )
    return after, record


def limit_rows(split: dict[str, np.ndarray], dx: np.ndarray, limit: int) -> dict[str, np.ndarray]:
    """A subset for a trial run: about `limit` rows, 70 % to train, 15 % each to validate and test.
    The labels take turns, so that rare ones are present too."""
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
    rows: Rows,
    split: dict[str, np.ndarray],
    names: list[str],
    label_column: str = "label",
    cache: "str | Path | None" = None,
) -> tuple[Rows, list[dict]]:
    """Append further labelled data sets to train on. Returns the rows, with the new ones last, and
    a record of each set.

    These are left out, with a message: images with a label that `rows` lacks, images whose
    `image_id` is in `rows` or in an earlier set, images of lesions that `rows` has outside its
    train part, and copies and near-copies of images in `rows` or in an earlier set. So no picture
    or lesion of the validation and test parts is trained on. Raises DatasetError for a set without
    `image_id` and for one that adds nothing.

    `rows` needs fingerprints; cache: as in `decode`.
    """
    others = np.setdiff1d(np.arange(len(rows)), split["train"])
    lesions = [] if rows.lesion_id is None else rows.lesion_id[others]
    joined, records = rows, []
    for name in names:
        extra = load_rows(name, label_column, ("image_id",), as_is=True)
        dx = np.array([find_label(value, rows.labels) or "" for value in extra.dx])
        unknown, known = dx == "", np.isin(extra.image_id, joined.image_id)
        if extra.lesion_id is not None:
            known |= np.isin(extra.lesion_id, lesions)
        kept = np.flatnonzero(~unknown & ~known)
        new = with_fingerprints(extra.take(kept), cache)
        copied = are_among(new.fingerprints, joined.fingerprints)
        if new.lesion_id is not None:
            held = are_among(new.fingerprints, joined.fingerprints[others])
            copied |= np.isin(new.lesion_id, new.lesion_id[held])
        kept, new = kept[~copied], new.take(~copied)
        if unknown.any():
            counts = sorted(Counter(extra.dx[unknown]).items())
            listed = ", ".join(f"{label} ({n})" for label, n in counts)
            print(f"{name}: {rows.name} has no label {listed}: {unknown.sum()} images are left out")
        if known.any():
            print(
                f"{name}: {known.sum()} images are left out: they are in {rows.name} or another "
                f"set, or show a lesion that {rows.name} has outside its train part"
            )
        if copied.any():
            print(
                f"{name}: {copied.sum()} images are left out: they are copies or near-copies of "
                "images that are known under another image_id"
            )
        if not len(kept):
            raise DatasetError(
                f"{name} adds no image to {rows.name}: none is new and has one of the labels "
                f"{', '.join(rows.labels)} in the column {label_column!r}."
            )
        joined = _join(joined, new, dx[kept])
        records.append(
            {
                "dataset": name,
                "label_column": label_column,
                "images": len(kept),
                "left_out": {
                    "label": int(unknown.sum()),
                    "image": int((known & ~unknown).sum()),
                    "copies": int(copied.sum()),
                },
                "counts": {label: int((dx[kept] == label).sum()) for label in rows.labels},
            }
        )
    return joined, records


def add_unlabelled(
    rows: Rows, names: list[str], cache: "str | Path | None" = None
) -> tuple[Rows, list[dict]]:
    """Append further pictures without their labels. Returns the rows, with the new ones last and
    the label "" for these, and a record of each set. Pictures whose `image_id` is in `rows`, and
    copies and near-copies of pictures in `rows`, are left out. Raises DatasetError for a set that
    adds nothing. `rows` needs fingerprints; cache: as in `decode`.
    """
    records = []
    for name in names:
        more = load_rows(name, None, ("image_id",))
        new = more.take(~np.isin(more.image_id, rows.image_id))
        known = len(more) - len(new)
        new = with_fingerprints(new, cache)
        new = new.take(~are_among(new.fingerprints, rows.fingerprints))
        copied = len(more) - known - len(new)
        if not len(new):
            raise DatasetError(f"{name} adds no picture to {rows.name}: none is new.")
        rows = _join(rows, new, new.dx)
        print(
            f"{name}: {len(new)} pictures without labels, {known} left out as known and {copied} "
            "as copies or near-copies of known ones"
        )
        records.append(
            {"dataset": name, "images": len(new), "left_out": known + copied, "copies": copied}
        )
    return rows, records


def _join(rows, new, dx):
    lesions = rows.lesion_id
    if lesions is not None:
        lesions = np.concatenate([lesions, new.image_id])
    return replace(
        rows,
        image_id=np.concatenate([rows.image_id, new.image_id]),
        lesion_id=lesions,
        dx=np.concatenate([rows.dx, dx]),
        metadata={},
        tables=rows.tables + new.tables,
        index=np.concatenate([rows.index, new.index + [len(rows.tables), 0]]),
        fingerprints=np.concatenate([rows.fingerprints, new.fingerprints]),
    )


def check_selected(folder: str, rows, split: dict) -> dict:
    """The config of the run in `folder`. Raises ModelFolderError if its parts are not those of
    `split`, row numbers of `rows`."""
    theirs = read_json(Path(folder) / SPLIT)
    for part, i in split.items():
        if rows.image_id[i].tolist() != theirs[part]:
            raise ModelFolderError(
                f"the {part} part of {folder} is another one: name the data set it was trained on "
                "with --dataset."
            )
    return read_config(folder)


def count(dx, labels, part) -> dict:
    """How many images of a part have each label. Prints the total, and the counts if there are at
    most twenty labels."""
    counts = {label: int((dx == label).sum()) for label in labels}
    if len(dx):
        shown = "  ".join(f"{k} {v}" for k, v in counts.items()) if len(labels) <= 20 else ""
        print(f"{part:10} {len(dx):6} images  {shown}")
    return counts


def malignant_labels(rows: Rows, named: list[str] | None) -> list[str]:
    """The labels of `rows` that are malignant, sorted: those `named`; by default mel, bcc and akiec
    of the seven diagnoses, or the label "malignant". Raises DatasetError if one is not a label of
    `rows` or if no benign label is left."""
    if named:
        malignant = sorted({find_label(label, rows.labels) or label for label in named})
    else:
        malignant = suspicious_of(LABELS) if rows.labels == LABELS else BINARY[1:]
    if missing := [label for label in malignant if label not in rows.labels]:
        raise DatasetError(
            f"{rows.name} has no label {', '.join(missing)}: name those that are malignant with "
            f"--set malignant=LABEL; its labels are {', '.join(rows.labels)}."
        )
    if set(malignant) == set(rows.labels):
        raise DatasetError(f"{rows.name}: if all its labels are malignant, none is left as benign.")
    return malignant


def to_binary(rows: Rows, malignant: list[str]) -> Rows:
    """The rows with the labels benign and malignant in place of their own."""
    dx = np.where(np.isin(rows.dx, malignant), BINARY[1], BINARY[0])
    return replace(rows, labels=list(BINARY), dx=dx)


def classes_of(labels: list[str], malignant: list[str]) -> dict[str, list[str]]:
    """The labels of a data set, grouped by the label that `to_binary` turns them into. config.json
    keeps them, so that `load_rows` can read the data set again."""
    return {
        BINARY[0]: [label for label in labels if label not in malignant],
        BINARY[1]: list(malignant),
    }
