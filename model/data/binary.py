"""Benign against malignant: two labels in place of those that a data set has."""

from dataclasses import replace

import numpy as np

from model.data.dataset import DatasetError, Rows
from model.labels import BINARY, LABELS, suspicious_of


def malignant_labels(rows: Rows, named: list[str] | None) -> list[str]:
    """Which labels of `rows` are malignant: those `named`, else mel, bcc and akiec of the seven
    diagnoses, or "malignant" itself. Raises DatasetError where that leaves one class empty."""
    malignant = sorted(named or (suspicious_of(LABELS) if rows.labels == LABELS else BINARY[1:]))
    if missing := [label for label in malignant if label not in rows.labels]:
        raise DatasetError(
            f"{rows.name} has no label {', '.join(missing)}: name those that are malignant with "
            f"--malignant; its labels are {', '.join(rows.labels)}."
        )
    if set(malignant) == set(rows.labels):
        raise DatasetError(f"{rows.name}: if all its labels are malignant, none is left as benign.")
    return malignant


def to_binary(rows: Rows, malignant: list[str]) -> Rows:
    """The same rows with the labels benign and malignant."""
    dx = np.where(np.isin(rows.dx, malignant), BINARY[1], BINARY[0])
    return replace(rows, labels=list(BINARY), dx=dx)


def classes_of(labels: list[str], malignant: list[str]) -> dict[str, list[str]]:
    """What config.json keeps under data, so that the same data set can be measured: its labels by
    what they became."""
    return {
        BINARY[0]: [label for label in labels if label not in malignant],
        BINARY[1]: list(malignant),
    }
