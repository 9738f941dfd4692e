"""Data sets: load and check the rows, and decode the pictures once.

`load_rows` reads a Hub id or a local folder. `decode` turns pictures into one uint8 array, which is
cached on disk. model/data/split.py splits the rows.
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

from model.data.label_column import clean_labels, missing_column, read_labels
from model.data.loading import load_tables, with_ids
from model.data.tables import DatasetError, cells, is_blank, listed
from model.folder import replacing, shareable, training_of
from model.preprocessing import PREPROCESSING, PictureError, load_picture

# Bytes. Larger arrays are memory-mapped, others are read into memory.
MEMORY_BOUND = 4 * 2**30

# Optional columns, read in addition to image, image_id, lesion_id and the labels.
METADATA = ("dataset", "sex", "age", "localization", "dx_type")

# What a lesion_id becomes when a program writes a missing one as text.
NO_LESION = {"nan", "none", "null", "<na>"}


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
        return self.lesion_id if self.unit(split_by) == "lesion" else self.image_id

    def unit(self, split_by: str) -> str:
        """What `units` names: "lesion" or "image"."""
        return "lesion" if split_by == "lesion" and self.lesion_id is not None else "image"

    def encoded(self, i: int) -> bytes:
        """The encoded picture of row `i`, as it is in the data set. Raises DatasetError."""
        cell = self._cell(i)
        if cell.get("bytes") is not None:
            return cell["bytes"]
        if cell.get("path") is None:
            raise DatasetError(f"{self.place(i)}: the picture is missing.")
        try:
            return Path(cell["path"]).read_bytes()
        except OSError as error:
            raise DatasetError(f"{self.place(i)}: {error.strerror}.") from None

    def place(self, i: int) -> str:
        """Where the picture of row `i` is: its file, or the row of a table."""
        cell = self._cell(i)
        if cell.get("bytes") is None and cell.get("path") is not None:
            return os.path.relpath(cell["path"], self.name)
        table, row = self.index[i]
        return _place(self.image_id[i], self.tables[table], row)

    def _cell(self, i):
        table, row = self.index[i]
        return self.tables[table][int(row)]["image"] or {}

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


def load_rows(
    name: str,
    label_column: str | None = "dx",
    need: tuple[str, ...] = ("image_id",),
    labels: list[str] | None = None,
    as_is: bool = False,
    classes: dict[str, list[str]] | None = None,
    keep: Sequence[str] = (),
) -> Rows:
    """Read the rows of a data set, with all splits merged and one row per `image_id`.

    label_column: "dx" holds diagnoses, by code or name (see `to_code`), and yields the seven labels
        in their order. Any other column holds labels that are sorted; they become codes if all of
        them are diagnoses. With None, every label is "".
    need: columns that must exist, with a value in each row. If `image_id` is needed and missing in
        a local folder of picture files, their relative paths are used instead. If it is not needed,
        rows are numbered. If `lesion_id` is not needed, a picture without one is a lesion of its
        own.
    labels: the labels that are allowed, in their order (default: all that occur).
    as_is: take the labels as they are, and do not replace a missing `image_id`.
    classes: for a model of two labels, {its label: labels that it stands for}, as `classes_of` in
        model/data/split.py returns it.
    keep: columns that `metadata` holds in addition to METADATA. Their values are as they are, None
        if blank.

    Prints how many rows repeat an image or have no lesion. Raises DatasetError.
    """
    name = str(name)
    tables = load_tables(name)
    values: dict[str, list] = {}
    index, dx = [], []
    _check_columns(name, tables, keep)
    if "image_id" in need and not as_is:
        tables = [with_ids(table, name) for table in tables]
    for t, table in enumerate(tables):
        read = read_labels(table, label_column, name) if label_column else [""] * len(table)
        for wanted in need:
            if wanted not in table.column_names:
                raise DatasetError(missing_column(name, wanted, table.column_names))
        for key in dict.fromkeys(("image_id", "lesion_id", *METADATA, *keep)):
            if key in table.column_names:
                values.setdefault(key, [None] * len(index)).extend(cells(table, key))
        dx += read
        index += [(t, row) for row in range(len(table))]
        for column_values in values.values():
            column_values += [None] * (len(index) - len(column_values))
    n = len(index)
    if n == 0:
        raise DatasetError(f"{name} has no rows.")
    ids = values.get("image_id") or [f"{i:07d}" for i in range(n)]
    places = [_place(ids[i], tables[t], row) for i, (t, row) in enumerate(index)]
    if blank := [i for i in range(n) if is_blank(ids[i])]:
        if "image_id" in need:
            raise DatasetError(_without(name, "image_id", blank, places))
        ids = [f"row {i + 1}" if is_blank(ids[i]) else ids[i] for i in range(n)]
    if len({type(image_id) for image_id in ids}) > 1:
        ids = [str(image_id) for image_id in ids]
    lesions = values.get("lesion_id")
    if lesions is not None:
        lesions = _lesions(lesions, ids, places, name, "lesion_id" in need)
    known = labels or [""]
    if label_column:
        dx, known = clean_labels(dx, places, name, label_column, labels, classes, as_is)

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

    def column(key, empty="", dtype=None):
        found = [empty if is_blank(values[key][i]) else values[key][i] for i in kept]
        return np.array(found, dtype)

    return Rows(
        name=name,
        labels=known,
        image_id=np.array([ids[i] for i in kept]).astype(str),
        lesion_id=None if lesions is None else np.array([lesions[i] for i in kept]),
        dx=np.array([dx[i] for i in kept]),
        repeated=n - len(kept),
        metadata={
            key: column(key, np.nan if key == "age" else "unknown")
            for key in METADATA
            if key in values
        }
        | {key: column(key, None, object) for key in keep if key not in METADATA},
        tables=tables,
        index=np.array([index[i] for i in kept]),
    )


def _check_columns(name, tables, wanted):
    """Raises DatasetError for a wanted column that no table has, or that holds the pictures."""
    columns = {column for table in tables for column in table.column_names} - {"image"}
    if missing := [column for column in wanted if column not in columns]:
        raise DatasetError(
            f"{name} has no column {missing[0]!r} to group by; its columns are "
            f"{', '.join(sorted(columns)) or 'none'}."
        )


def _place(image_id, table, row):
    """Where a row is, for messages: "ISIC_0024306 (row 5 of the part train)"."""
    place = f"row {row + 1}" + (f" of the part {table.split}" if table.split else "")
    return place if is_blank(image_id) else f"{image_id} ({place})"


def _without(name, column, wrong, places):
    shown = listed([places[i] for i in wrong])
    return f"{name} has no {column} in {len(wrong)} of {len(places)} rows: {shown}."


def _lesions(values, ids, places, name, needed):
    """The lesion of each row as text; a row without is a lesion of its own unless `needed`."""
    lesions = [str(value) for value in values]
    without = [
        i
        for i, value in enumerate(values)
        if is_blank(value) or lesions[i].strip().lower() in NO_LESION
    ]
    if without and needed:
        raise DatasetError(
            _without(name, "lesion_id", without, places)
            + " Fill them in, or use --split-by image if every picture shows a lesion of its own."
        )
    for i in without:
        lesions[i] = f"of image {ids[i]}"
    if without:
        print(
            f"{name}: {len(without)} of {len(values)} rows have no lesion_id; each of them counts "
            "as a lesion of its own"
        )
    return lesions


def rows_of_model(
    config: dict,
    name: str,
    label_column: str | None = None,
    need=("image_id",),
    keep: Sequence[str] = (),
) -> Rows:
    """`load_rows` for a model with the content of its config.json: with its labels, and by default
    from the label column that it was trained on. Raises DatasetError."""
    return load_rows(
        name,
        label_column or config["data"]["label_column"],
        need,
        labels=config["labels"],
        classes=config["data"].get("classes"),
        keep=keep,
    )


def dataset_of(folder: "str | Path", config: dict, named: str | None) -> str:
    """The data set to read for a model folder: the one `named` or else that of its training. Raises
    DatasetError if that was a folder that is not here, whose name the Hub may know too."""
    dataset = named or training_of(folder, config)["dataset"]
    local = "/" not in dataset or shareable(dataset) != dataset
    if not named and local and not Path(dataset).exists():
        raise DatasetError(
            f"{folder} was trained on {dataset}, a folder that is not here: name the data set with "
            "--dataset."
        )
    return dataset


def data_name(dataset: str) -> str:
    """The name of a data set for config.json: a Hub id as it is, a local folder without its path,
    which means nothing on other machines."""
    return Path(dataset).name if Path(dataset).exists() else dataset


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
    than MEMORY_BOUND. Raises DatasetError that lists the pictures that cannot be decoded.
    """
    cache = Path(cache or default_cache())
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(f"{PREPROCESSING}{height}x{width}".encode(), digest_size=16)
    for i in indices:
        digest.update(hashlib.blake2b(_bytes_or_place(rows, i), digest_size=16).digest())
    path = cache / f"{digest.hexdigest()}.npy"
    if not path.exists():
        _decode_to(path, rows, indices, height, width)
    size = len(indices) * height * width * 3
    return np.load(path, mmap_mode="r" if mapped or size > MEMORY_BOUND else None)


def _bytes_or_place(rows, i):
    try:
        return rows.encoded(i)
    except DatasetError as error:  # `_decode_to` lists all that cannot be read
        return str(error).encode()


def _decode_to(path, rows, indices, height, width):
    broken = []

    def one(i):
        try:
            return load_picture(io.BytesIO(rows.encoded(i)), height, width)
        except PictureError as error:
            broken.append(f"{rows.place(i)}: {error}")
        except DatasetError as error:
            broken.append(str(error))
        return 0

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
        if broken:
            lines = listed(sorted(broken), "\n  ")
            count = f"{len(broken)} of {len(indices)}"
            raise DatasetError(f"{count} pictures of {rows.name} cannot be read:\n  {lines}")
