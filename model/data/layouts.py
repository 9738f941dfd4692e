"""Data sets as their publishers hand them out: folders of pictures beside a CSV.

The columns of the CSV tell which set it is. Pictures are found by their name, with any ending, in
the folder and all folders below it. Other CSVs of the folder that name the same pictures add their
columns, as ISIC 2019 has its lesions in a file of their own.
"""

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from model.data.tables import DatasetError, listed, read_heading, read_table
from model.labels import LABELS, find_label

PICTURES = ".jpg .jpeg .jfif .png .webp .tif .tiff .bmp .gif .heic .heif .hif".split()
# Folders that hold a part of a set and not a class, as of HAM10000, PAD-UFES-20 and ISIC 2018.
PART = re.compile(r"(_part_?\d+|_input)$", re.IGNORECASE)
ISIC_COLUMNS = {
    "age_approx": "age",
    "anatom_site_general": "localization",
    "anatom_site_1": "localization",  # the archive's later name
    "diagnosis_confirm_type": "dx_type",
}


@dataclass(frozen=True)
class Layout:
    """`picture`: the column of the pictures' names; `labels`: the columns of the diagnosis, the
    finest first, or with `one_hot` a column for each, 1 in one of them and 0 in the others;
    `ours`: our names of further columns."""

    name: str
    picture: str
    labels: tuple[str, ...]
    one_hot: bool = False
    ours: dict[str, str] = field(default_factory=dict)

    def fits(self, heading: list[str]) -> bool:
        # The library datasets reads a metadata.csv with file_name.
        known = self.picture in heading and any(label in heading for label in self.labels)
        return known and "file_name" not in heading

    def label(self, row: dict) -> str | None:
        """The diagnosis of a row: the finest that is one of the seven, or else the finest."""
        if self.one_hot:
            ones = [label for label in self.labels if _number(row.get(label)) == 1]
            return ones[0] if len(ones) == 1 else None
        given = [row[column] for column in self.labels if row.get(column)]
        return next((x for x in given if find_label(x, LABELS)), given[0] if given else None)


LAYOUTS = (
    Layout("HAM10000", "image_id", ("dx",)),
    Layout(
        "ISIC archive",
        "isic_id",
        ("diagnosis", *(f"diagnosis_{level}" for level in (5, 4, 3, 2, 1))),
        ours=ISIC_COLUMNS,
    ),
    Layout(
        "PAD-UFES-20", "img_id", ("diagnostic",), ours={"gender": "sex", "region": "localization"}
    ),
    Layout(
        "ISIC 2018 or 2019",
        "image",
        ("MEL", "NV", "BCC", "AKIEC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"),
        one_hot=True,
        ours=ISIC_COLUMNS,
    ),
)


def files_of(folder: str | Path) -> list[Path]:
    """All files in a folder and the folders below it, without hidden ones, sorted."""
    found = []
    for here, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in names if not name.startswith(".")]
    return sorted(found)


def read_layout(folder: str | Path):
    """The data set in a folder with a CSV of one of LAYOUTS, as a datasets.Dataset; None if there
    is no such CSV, or if the folder holds Parquet.

    It has the columns of the CSV, and `image`, `image_id` (the picture's name without ending), `dx`
    and `label` (both the diagnosis as it is there) and our names of optional ones. Prints what was
    read. Raises DatasetError if a row has no picture.
    """
    files = files_of(folder)
    headings = {path: _heading(path) for path in files if path.suffix.lower() == ".csv"}
    layout = next((x for x in LAYOUTS if any(map(x.fits, headings.values()))), None)
    if layout is None or any(path.suffix == ".parquet" for path in files):
        return None
    rows, further, names = [], {}, []
    for path, heading in headings.items():
        if layout.fits(heading):
            rows += _rows(path, layout)
            names.append(path.name)
        elif layout.picture in heading:
            further |= {row["image_id"]: row for row in _rows(path, layout)}
    pictures = _pictures(files)
    if missing := [row["image_id"] for row in rows if row["image_id"] not in pictures]:
        raise DatasetError(
            f"{len(missing)} of the {len(rows)} pictures that {listed(names)} lists are not in "
            f"{folder}: {listed(missing)}. Add them, or remove their rows."
        )
    print(f"{folder}: {len(rows)} rows of {listed(names)}, the layout of {layout.name}")
    if unused := len(pictures.keys() - {row["image_id"] for row in rows}):
        print(f"{folder}: {unused} pictures have no row in {listed(names)} and are left out")
    return _table([further.get(row["image_id"], {}) | row for row in rows], layout, pictures)


def expected_columns(folder: str | Path) -> str:
    """Sentences about a folder whose CSV files are of no layout; "" for one without CSV files."""
    found = [
        f"{path.name} has the columns {listed(_heading(path))}"
        for path in files_of(folder)
        if path.suffix.lower() == ".csv"
    ]
    if not found:
        return ""
    known = [
        f"{x.picture} and {', '.join(x.labels if x.one_hot else x.labels[:1])} ({x.name})"
        for x in LAYOUTS
    ]
    return (
        f" {listed(found, '; ')}. A CSV beside pictures needs {'; '.join(known)}; or, named "
        "metadata.csv, file_name and a column of labels."
    )


def check_classes(name: str, classes: list[str]) -> None:
    """Raises DatasetError if folders that are read as classes are parts of a set."""
    if parts := [folder for folder in classes if PART.search(folder)]:
        raise DatasetError(
            f"{name}: the folders {listed(parts)} are parts of a set and not diagnoses. Put the "
            "CSV with the diagnoses beside them (for HAM10000, HAM10000_metadata.csv)."
            + expected_columns(name)
        )


def _heading(path):
    try:
        return read_heading(path)
    except DatasetError:
        return []


def _rows(path, layout):
    """The rows of a CSV: {column: text or None}, with `image_id`, and `dx` if they have a label."""
    rows, unnamed, unclear = [], [], []
    for number, cells in enumerate(read_table(path, []), start=1):
        cells.pop(None, None)  # what is beyond the heading
        row = {column: (text or "").strip() or None for column, text in cells.items()}
        name = Path(row[layout.picture] or "")
        row["image_id"] = name.stem if name.suffix.lower() in PICTURES else name.name
        if layout.fits([*row]):
            row["dx"] = layout.label(row)
        rows.append(row)
        if not row["image_id"]:
            unnamed.append(number)
        elif layout.one_hot and row.get("dx", "") is None:
            unclear.append(number)
    if unnamed:
        raise DatasetError(f"{path} has no {layout.picture} in row {listed(unnamed)}.")
    if unclear:
        raise DatasetError(f"{path} has not exactly one 1 in row {listed(unclear)}.")
    return rows


def _pictures(files):
    """{name without ending: file}. Raises DatasetError if two that differ have one name."""
    found = {}
    for path in files:
        if path.suffix.lower() in PICTURES:
            same = found.setdefault(path.stem, path)
            # The set on Kaggle holds each of its two folders twice.
            if same != path and same.stat().st_size != path.stat().st_size:
                raise DatasetError(f"{same} and {path} differ and have one name: remove one.")
    return found


def _table(rows, layout, pictures):
    import datasets

    names = dict.fromkeys(column for row in rows for column in row)
    table = {column: [row.get(column) for row in rows] for column in names}
    for theirs, ours in layout.ours.items():
        if theirs in table:
            table.setdefault(ours, table[theirs])
    if "age" in table:
        table["age"] = [_number(age) for age in table["age"]]
    table.setdefault("label", table["dx"])
    table["image"] = [str(pictures[row["image_id"]]) for row in rows]
    return datasets.Dataset.from_dict(table).cast_column("image", datasets.Image(decode=False))


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
