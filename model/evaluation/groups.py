"""The groups that pictures belong to, by columns of their data set: their sex, their clinic."""

from collections.abc import Sequence

import numpy as np

from model.evaluation.metrics import age_band
from model.folder import UserError
from model.groups import UNKNOWN

# Those that are measured without being asked for.
COLUMNS = ("dataset", "sex", "age", "localization")
MISSING = {"", "nan", "none", "null", "<na>", "n/a", "unk", UNKNOWN}
MOST = 50  # groups of a column
STEPS = 12  # different numbers that are groups of their own: scales of skin tone have up to 10


def groups_of(metadata: dict[str, np.ndarray], asked: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """{column: [n] names of groups} for those of COLUMNS that tell pictures apart, and `asked`.

    metadata: {column: [n] values}, of which None, NaN and words such as "n/a" become "unknown".
    Ages become bands. A column of more than STEPS different numbers is cut at its quartiles, and a
    group is named by its lowest and highest number. Raises UserError if a column that was asked for
    has no values, or more than MOST different ones.
    """
    groups = {}
    for column in dict.fromkeys([*COLUMNS, *asked]):
        if column not in metadata:
            continue
        names = _names(column, metadata[column])
        known = set(names) - {UNKNOWN}
        if column in asked and not known:
            raise UserError(
                f"--group-by: none of the {len(names)} pictures to measure has a value in column "
                f"{column!r}."
            )
        if column in asked and len(known) > MOST:
            raise UserError(
                f"--group-by: column {column!r} has {len(known)} different values, and at most "
                f"{MOST} make groups that say something. Merge values in a column of your own."
            )
        if column in asked or 1 < len(set(names)) and len(known) <= MOST:
            groups[column] = names
    return groups


def _names(column, values):
    if column == "age":
        return np.array([age_band(age) for age in values])
    texts = [" ".join(str(value).split()) for value in values]
    texts = [UNKNOWN if text.lower() in MISSING else text for text in texts]
    numbers = [_number(text) for text in texts]
    if None in numbers:
        return np.array(texts)
    return _of_numbers(np.array(numbers))


def _number(text):
    """NaN for a missing value; None for one that is no number."""
    if text == UNKNOWN:
        return np.nan
    try:
        return float(text)
    except ValueError:
        return None


def _of_numbers(numbers):
    known = ~np.isnan(numbers)
    low = high = numbers
    if len(np.unique(numbers[known])) > STEPS:
        cuts = np.unique(np.quantile(numbers[known], (0.25, 0.5, 0.75)))
        bands = np.searchsorted(cuts, numbers, side="right")
        low, high = np.empty_like(numbers), np.empty_like(numbers)
        for band in np.unique(bands[known]):
            inside = known & (bands == band)
            low[inside], high[inside] = numbers[inside].min(), numbers[inside].max()
    return np.array(
        [
            UNKNOWN if not here else f"{a:g}" if a == b else f"{a:g} to {b:g}"
            for here, a, b in zip(known, low, high)
        ]
    )
