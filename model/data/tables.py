"""CSV files, cells, and how messages list what cannot be used."""

import csv
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from model.folder import UserError

MOST = 20  # items that a message lists


class DatasetError(UserError):
    """A data set that cannot be used; the message names the column, row or id, and what to do."""


@contextmanager
def _opened(path):
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            yield csv.DictReader(file)
    except FileNotFoundError:
        raise DatasetError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read as a CSV ({error}).") from None


def read_heading(path: str | Path) -> list[str]:
    """The names of the columns of a CSV. Raises DatasetError if it cannot be read."""
    with _opened(path) as reader:
        return list(reader.fieldnames or [])


def read_table(path: str | Path, columns: list[str]) -> list[dict]:
    """The rows of a CSV with a heading, as {column: text}. Raises DatasetError if it cannot be
    read, lacks one of `columns`, or has a row without a value in one of them."""
    with _opened(path) as reader:
        names, table = reader.fieldnames or [], list(reader)
    for column in columns:
        if column not in names:
            listed = ", ".join(names) or "none"
            raise DatasetError(f"{path} has no column {column!r}; its columns are {listed}.")
        for number, row in enumerate(table, start=1):
            if not row[column]:
                raise DatasetError(f"row {number} of {path} has no value in column {column!r}.")
    return table


def cells(table, column: str) -> list:
    """The cells of a column of a datasets.Dataset; those of class labels as their names, or None
    for a missing one."""
    feature = table.features[column]
    if not hasattr(feature, "int2str"):
        return table[column]
    return [None if v is None or v < 0 else feature.int2str(v) for v in table[column]]


def listed(items: Sequence, between: str = ", ") -> str:
    """`items` as text, at most MOST of them: "a, b" or "a, b, ... (30 in all)"."""
    text = between.join(str(item) for item in items[:MOST])
    return text if len(items) <= MOST else f"{text}{between}... ({len(items)} in all)"


def is_blank(value) -> bool:
    """Whether a cell holds nothing: None, NaN or white space."""
    return value is None or value != value or not str(value).strip()
