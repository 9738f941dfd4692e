"""Data sets: load and check the rows, and decode the pictures once.

`load_rows` reads a Hub id or a local folder with the library datasets. `decode` turns pictures into
one uint8 array, which is cached on disk. model/data/split.py splits the rows.
"""

import hashlib
import io
import math
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.folder import UserError, replacing
from model.labels import LABELS, to_code
from model.preprocessing import PREPROCESSING, PictureError, load_picture

# Bytes. Larger arrays are memory-mapped, others are read into memory.
MEMORY_BOUND = 4 * 2**30

# Optional columns, read in addition to image, image_id, lesion_id and the labels.
METADATA = ("dataset", "sex", "age", "localization", "dx_type")


class DatasetError(UserError):
    """A data set that cannot be used; the message names the column, row or id, and what to do."""


@dataclass
class Rows:
    """The rows of a data set, sorted by `image_id`. `dx` [n] holds the labels, "" for none;
    `repeated` is the number of rows that were dropped because they repeat an image; `fingerprints`
    is that of model/data/fingerprints.py, or None.

    Pictures stay encoded in `tables`, a list of datasets.Dataset, until `decode`. `index` [n, 2]
    holds the number of each row's table and the row in that table.
    """

    name: str
    labels: list[str]
    image_id: np.ndarray
    lesion_id: np.ndarray | None
    dx: np.ndarray
    repeated: int
    metadata: dict[str, np.ndarray] = field(default_factory=dict)
    tables: list = field(default_factory=list, repr=False)
    index: np.ndarray | None = field(default=None, repr=False)
    fingerprints: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.dx)

    @property
    def truth(self) -> np.ndarray:
        """int64 [n]: the index of each row's label in `labels`; -1 if it has none."""
        index_of = {label: i for i, label in enumerate(self.labels)} | {"": -1}
        return np.array([index_of[dx] for dx in self.dx], dtype=np.int64)

    def take(self, i: np.ndarray) -> "Rows":
        """The rows with the numbers `i`."""
        lesions, prints = self.lesion_id, self.fingerprints
        return replace(
            self,
            image_id=self.image_id[i],
            lesion_id=None if lesions is None else lesions[i],
            dx=self.dx[i],
            metadata={key: values[i] for key, values in self.metadata.items()},
            index=self.index[i],
            fingerprints=None if prints is None else prints[i],
        )

    def units(self, split_by: str) -> np.ndarray:
        """str [n]: what the split and the bootstrap keep together: the lesion of each image if
        `split_by` is "lesion" and the data set names lesions, otherwise each image itself."""
        by_lesion = split_by == "lesion" and self.lesion_id is not None
        return self.lesion_id if by_lesion else self.image_id

    def encoded(self, i: int) -> bytes:
        """The encoded picture of row `i`, as it is in the data set. Raises DatasetError."""
        table, row = self.index[i]
        cell = self.tables[table][int(row)]["image"]
        if cell is None or (cell.get("bytes") is None and cell.get("path") is None):
            raise DatasetError(f"image {self.image_id[i]} of {self.name} is empty.")
        if cell.get("bytes") is not None:
            return cell["bytes"]
        try:
            return Path(cell["path"]).read_bytes()
        except OSError as error:
            raise DatasetError(f"image {self.image_id[i]}: {error}.") from None

    def find(self, image_ids) -> np.ndarray:
        """int64 row numbers of `image_ids`, in their order. Raises DatasetError if one is
        missing."""
        row_of = {image_id: i for i, image_id in enumerate(self.image_id)}
        missing = [image_id for image_id in image_ids if image_id not in row_of]
        if missing:
            raise DatasetError(
                f"{len(missing)} images are not in {self.name}, the first {missing[0]}. Name the "
                "data set that they come from."
            )
        return np.array([row_of[image_id] for image_id in image_ids], dtype=np.int64)


def load_tables(name: str) -> list:
    """All splits of a Hub id or local folder, as a list of datasets.Dataset whose pictures stay
    encoded. Raises DatasetError."""
    import datasets

    datasets.disable_progress_bars()
    try:
        splits = datasets.load_dataset(str(name))
    except Exception as error:  # datasets raises many types, for the Hub, network and folder
        where = "the folder" if Path(name).exists() else "the Hub id"
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DatasetError(
            f"The data set {name!r} could not be loaded ({lines[0]}). "
            f"Check {where}, or name a local folder in its place."
        ) from None
    for split, table in splits.items():
        if "image" not in table.column_names:
            raise DatasetError(
                f"{name} (part {split}) has no column 'image'; "
                f"its columns are {', '.join(table.column_names)}."
            )
    return [table.cast_column("image", datasets.Image(decode=False)) for table in splits.values()]


def load_rows(
    name: str,
    label_column: str | None = "dx",
    need: tuple[str, ...] = ("image_id",),
    labels: list[str] | None = None,
    as_is: bool = False,
    classes: dict[str, list[str]] | None = None,
) -> Rows:
    """Read the rows of a data set, with all splits merged and one row per `image_id`.

    label_column: "dx" holds the codes of HAM10000 or the long names of the public Hub copy and
        yields the seven labels in their order. Any other column holds labels that are taken as they
        are, sorted. With None, every label is "".
    need: columns that must exist. If `image_id` is needed and missing in a local folder of picture
        files, their relative paths are used instead. If it is not needed, rows are numbered.
    labels: the labels that are allowed, in their order (default: all that occur).
    as_is: take the labels of "dx" as they are, and do not replace a missing `image_id`.
    classes: for a model of two labels, {its label: labels that it stands for}, as `classes_of` in
        model/data/split.py returns it.

    Prints how many rows repeat an image. Raises DatasetError.
    """
    tables = load_tables(name)
    codes = label_column == "dx" and not as_is
    values: dict[str, list] = {}
    index = []
    if "image_id" in need and not as_is:
        tables = [_with_ids(table, name) for table in tables]
    for t, table in enumerate(tables):
        labelled = _label_values(table, label_column, name) if label_column else [""] * len(table)
        for wanted in need:
            if wanted not in table.column_names:
                raise DatasetError(missing_column(name, wanted, table.column_names))
        for key in ("image_id", "lesion_id", *METADATA):
            if key in table.column_names:
                values.setdefault(key, [None] * len(index)).extend(table[key])
        values.setdefault("label", []).extend(labelled)
        index += [(t, row) for row in range(len(table))]
        for column_values in values.values():
            column_values += [None] * (len(index) - len(column_values))
    n = len(index)
    if n == 0:
        raise DatasetError(f"{name} has no rows.")
    ids = values.get("image_id") or [f"{i:07d}" for i in range(n)]
    for i, image_id in enumerate(ids):
        if not image_id:
            raise DatasetError(f"row {i} of {name} has no image_id.")
    dx = values["label"]
    if label_column:
        dx = _clean_labels(dx, ids, label_column, codes, labels, name, classes)

    first: dict[str, int] = {}
    for i in sorted(range(n), key=lambda i: ids[i]):
        same = first.setdefault(ids[i], i)
        if dx[same] != dx[i]:
            raise DatasetError(
                f"image {ids[i]} appears twice in {name} with different labels: "
                f"{dx[same]} and {dx[i]}."
            )
    kept = list(first.values())
    if n > len(kept):
        print(
            f"{name}: {n} rows, {n - len(kept)} repeat an image and are dropped: {len(kept)} left"
        )

    def column(key, empty=""):
        return np.array([empty if values[key][i] is None else values[key][i] for i in kept])

    lesions = None
    if "lesion_id" in values:
        if None in values["lesion_id"]:
            i = values["lesion_id"].index(None)
            raise DatasetError(f"image {ids[i]} of {name} has no lesion_id.")
        lesions = column("lesion_id").astype(str)
    known = labels or (LABELS if codes else sorted(set(dx)))
    return Rows(
        name=str(name),
        labels=list(known),
        image_id=np.array([ids[i] for i in kept]).astype(str),
        lesion_id=lesions,
        dx=np.array([dx[i] for i in kept]),
        repeated=n - len(kept),
        metadata={
            key: column(key, np.nan if key == "age" else "unknown")
            for key in METADATA
            if key in values
        },
        tables=tables,
        index=np.array([index[i] for i in kept]),
    )


def rows_of_model(
    config: dict, name: str | None = None, label_column: str | None = None, need=("image_id",)
) -> Rows:
    """`load_rows` for a model with the content of its config.json: with its labels, and by default
    from the data set and label column that it was trained on. Raises DatasetError."""
    return load_rows(
        name or config["training"]["dataset"],
        label_column or config["data"]["label_column"],
        need,
        labels=config["labels"],
        classes=config["data"].get("classes"),
    )


def data_name(dataset: str) -> str:
    """The name of a data set for config.json: a Hub id as it is, a local folder without its path,
    which means nothing on other machines."""
    return Path(dataset).name if Path(dataset).exists() else dataset


def missing_column(name: str, column: str, columns: list[str]) -> str:
    """The message for a data set that lacks a column."""
    hint = {
        "image_id": " It identifies pictures, so that none is in two parts.",
        "lesion_id": " Without it, views of one lesion cannot be kept together; if every "
        "picture shows a lesion of its own, use --split-by image.",
        "dx": " Name the column that holds the labels with --label-column.",
    }
    listed = ", ".join(columns)
    return f"{name} has no column {column!r}; its columns are {listed}.{hint.get(column, '')}"


def _with_ids(table, name):
    """The table with its pictures' paths as `image_id`, if it has none and is a folder of files."""
    if "image_id" in table.column_names or not Path(name).is_dir():
        return table
    paths = [(cell or {}).get("path") for cell in table["image"]]
    here = Path(name).resolve()
    if not all(path and Path(path).is_file() for path in paths):
        return table
    return table.add_column("image_id", [os.path.relpath(path, here) for path in paths])


def _label_values(table, column, name):
    if column not in table.column_names:
        raise DatasetError(missing_column(name, column, table.column_names))
    feature = table.features[column]
    if hasattr(feature, "int2str"):  # a ClassLabel, as of an imagefolder
        return [None if v is None or v < 0 else feature.int2str(v) for v in table[column]]
    return table[column]


def _clean_labels(values, ids, label_column, codes, labels, name, classes):
    known = {}
    group = {m: label for label, members in (classes or {}).items() for m in (*members, label)}
    for i, value in enumerate(values):
        if value is None or str(value).strip() == "":
            raise DatasetError(f"image {ids[i]} of {name} has no value in column {label_column!r}.")
        if value not in known:
            try:
                as_code = codes and str(value) not in group
                label = to_code(value) if as_code else str(value)
                known[value] = group.get(label, label)
            except ValueError as error:
                raise DatasetError(f"image {ids[i]} of {name}: {error}.") from None
            if labels is not None and known[value] not in labels:
                raise DatasetError(
                    f"image {ids[i]} of {name} has the label {known[value]!r}; "
                    f"the model knows {', '.join(labels)}."
                )
    return [known[value] for value in values]


def evenly(rows: Sequence, count: int) -> Sequence:
    """At most `count` of `rows`, evenly spaced; `rows` is a sequence that is not empty."""
    return rows[:: math.ceil(len(rows) / count)]


def default_cache() -> Path:
    """The folder of decoded arrays: that of the variable LESION_CACHE, or ~/.cache/skin-lesion."""
    return Path(os.environ.get("LESION_CACHE", Path.home() / ".cache" / "skin-lesion"))


def decode(
    rows: Rows,
    indices: np.ndarray,
    height: int,
    width: int,
    cache: Path | None = None,
    mapped: bool = False,
) -> np.ndarray:
    """Decode the pictures of `indices` in parallel: uint8 [n, height, width, 3].

    The array is cached in the folder `cache` as a .npy file, named by a hash of the encoded
    pictures, the size and the preprocessing. It is memory-mapped if `mapped` or if it is larger
    than MEMORY_BOUND. Raises DatasetError with the `image_id` of a picture that cannot be decoded.
    """
    cache = Path(cache or default_cache())
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(f"{PREPROCESSING}{height}x{width}".encode(), digest_size=16)
    for i in indices:
        digest.update(hashlib.blake2b(rows.encoded(i), digest_size=16).digest())
    path = cache / f"{digest.hexdigest()}.npy"
    if not path.exists():
        _decode_to(path, rows, indices, height, width)
    size = len(indices) * height * width * 3
    return np.load(path, mmap_mode="r" if mapped or size > MEMORY_BOUND else None)


def _decode_to(path, rows, indices, height, width):
    def one(i):
        try:
            return load_picture(io.BytesIO(rows.encoded(i)), height, width)
        except PictureError as error:
            raise DatasetError(f"image {rows.image_id[i]} of {rows.name}: {error}") from None

    with replacing(path) as beside, ThreadPoolExecutor(os.cpu_count()) as pool:
        array = np.lib.format.open_memmap(
            beside, mode="w+", dtype=np.uint8, shape=(len(indices), height, width, 3)
        )
        with tqdm(total=len(indices), desc=f"decoding to {height}x{width}", file=sys.stdout) as bar:
            # In chunks, so that few decoded pictures wait in memory if the disk is slow.
            for start in range(0, len(indices), 256):
                chunk = indices[start : start + 256]
                for k, image in enumerate(pool.map(one, chunk)):
                    array[start + k] = image
                bar.update(len(chunk))
        array.flush()
        del array
