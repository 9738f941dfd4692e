"""The labels of a data set, and the diagnoses or labels of a model that they name."""

from collections import Counter

from model.data.layouts import check_classes, expected_columns
from model.data.tables import DatasetError, cells, is_blank, listed
from model.labels import LABELS, find_label


def read_labels(table, column: str, name: str) -> list:
    """The cells of a label column of a datasets.Dataset, or the names of its class folders.
    Raises DatasetError if it lacks the column."""
    if column not in table.column_names:
        for feature in table.features.values():
            check_classes(name, getattr(feature, "names", None) or [])
        message = missing_column(name, column, table.column_names)
        raise DatasetError(message + expected_columns(name))
    check_classes(name, getattr(table.features[column], "names", None) or [])
    return cells(table, column)


def missing_column(name: str, column: str, columns: list[str]) -> str:
    """The message for a data set that lacks a column."""
    hint = {
        "image_id": " It identifies pictures, so that none is in two parts.",
        "lesion_id": " Without it, views of one lesion cannot be kept together; if every "
        "picture shows a lesion of its own, use --split-by image.",
        "dx": " Name the column that holds the labels with --label-column.",
    }
    message = f"{name} has no column {column!r}; its columns are {', '.join(columns)}."
    message += hint.get(column, "")
    if set(columns) <= {"image", "image_id"} and column not in ("image_id", "lesion_id"):
        message += (
            " Pictures in folders take the folders' names as labels, in a column 'label', if there "
            "are two or more such folders."
        )
    return message


def clean_labels(
    values: list,
    places: list[str],
    name: str,
    column: str,
    labels: list[str] | None,
    classes: dict[str, list[str]] | None,
    as_is: bool,
) -> tuple[list[str], list[str]]:
    """The label of each row, and all labels in their order; arguments as in `load_rows`, `places`
    says where the rows are.

    For a model, each value becomes the label of it that has the same name or diagnosis. Otherwise
    the values of "dx" become the seven codes. Those of another column do if all are diagnoses; if
    not, they stay as they are. Raises DatasetError for values that are blank or no label.
    """
    if blank := [place for place, value in zip(places, values) if is_blank(value)]:
        raise DatasetError(
            f"{name} has no value in column {column!r} in {len(blank)} of {len(values)} rows: "
            f"{listed(blank)}."
        )
    values = [str(value) for value in values]
    counts = Counter(values)
    if as_is:
        return values, sorted(counts)
    members = {m: label for label, m_of in (classes or {}).items() for m in m_of}
    wanted = LABELS if labels is None else [*labels, *members]
    found = {value: find_label(value, wanted) for value in counts}
    strange = sorted(value for value in counts if not found[value])
    if strange and labels is None and column != "dx":
        if len(strange) < len(counts):
            print(
                f"{name}: all labels stay as they are, as some are no diagnoses: {listed(strange)}"
            )
        return values, sorted(counts)
    if strange:
        first = {value: place for place, value in zip(places[::-1], values[::-1])}
        shown = [f"{value!r} ({counts[value]}, first {first[value]})" for value in strange]
        remedy = "Leave these rows out."
        if labels is None:
            remedy = (
                "Leave these rows out, or train on all labels as they are in another column, named "
                "with --label-column."
            )
        raise DatasetError(
            f"{name}: these labels in column {column!r} are none of {', '.join(labels or LABELS)}: "
            f"{listed(shown)}. {remedy}"
        )
    renamed = [f"{value} as {found[value]}" for value in sorted(counts) if value != found[value]]
    if renamed and column != "dx":
        print(f"{name}: labels are read as diagnoses: {listed(renamed)}")
    cleaned = [members.get(found[value], found[value]) for value in values]
    if labels is None:
        labels = LABELS if column == "dx" else sorted(set(cleaned))
    return cleaned, list(labels)
