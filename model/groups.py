"""How the figures of groups of pictures compare, from `subgroups` of metrics.json.

A group's figures are those of `subgroup_metrics` in model/evaluation/metrics.py. A share is one of
them that counts pictures: those that got the right first answer (`top_1`), or those of the right
kind that a warning caught or spared.
"""

import math
import re
from dataclasses import dataclass

UNKNOWN = "unknown"  # the group of pictures without a value
FLOOR = 10  # a share of fewer pictures is not compared
MANY = 8  # groups; more are sorted by their number of pictures
Z = 1.959964  # standard normal quantile of 95 % intervals

TOP = ("top_1",)
CAUGHT = ("suspicious", "sensitivity")
SPARED = ("suspicious", "specificity")
# Labels whose sensitivity and specificity (of the top-1 prediction) are also reported by name.
NAMED = {"melanoma": "mel", "malignant": "malignant"}


@dataclass(frozen=True)
class Gap:
    """The groups with the lowest and the highest share among the `compared` ones. `overlap`:
    whether their intervals do; None if there are none. Where all shares are the same, both groups
    are."""

    lowest: str
    highest: str
    compared: int
    overlap: bool | None


def ordered(groups: dict[str, dict]) -> dict[str, dict]:
    """The groups as a table shows them: numbers and bands by value, others by name or, if there are
    many, the largest first; "unknown" comes last."""
    names = [name for name in groups if name != UNKNOWN]
    starts = {name: re.match(r"-?\d+(\.\d+)?", name) for name in names}
    if all(starts.values()):
        names.sort(key=lambda name: float(starts[name][0]))
    elif len(names) > MANY:
        names.sort(key=lambda name: (-groups[name]["n"], name))
    else:
        names.sort()
    return {name: groups[name] for name in [*names, UNKNOWN] if name in groups}


def pictures(group: dict, path: tuple[str, ...]) -> int:
    """The number of pictures that a share of a group is of."""
    if path == TOP:
        return group["n"]
    kind, which = path
    support = group.get("support") or {}
    labels = group[kind]["labels"] if kind == "suspicious" else [NAMED[kind]]
    positive = sum(support.get(label, 0) for label in labels)
    return positive if which == "sensitivity" else group["n"] - positive


def is_share(path: tuple[str, ...]) -> bool:
    """Whether the figure at a path of metrics.json is a share."""
    return (
        path == TOP
        or path[0] in ("suspicious", *NAMED)
        and path[-1] in ("sensitivity", "specificity")
    )


def share(group: dict, path: tuple[str, ...]) -> dict | None:
    """A share of a group as {value, low, high}; None if it is missing or undefined.

    An interval without width becomes Wilson's (`widened`), with as many independent pictures as the
    group's ratio of lesions to pictures gives.
    """
    figure = group
    for key in path:
        figure = (figure or {}).get(key)
    if not figure or figure["value"] is None:
        return None
    return widened(figure, pictures(group, path) * group.get("lesions", group["n"]) / group["n"])


def widened(figure: dict, n: float) -> dict:
    """A share {value, low, high} of n independent pictures, with an interval that has a width.

    Where all pictures were right, or all wrong, every resample gives the same value, and the
    bootstrap's interval has no width. Wilson's takes its place (Probable inference, the law of
    succession, and statistical inference, JASA 22, 1927).
    """
    if figure["low"] is None or figure["low"] < figure["high"]:
        return figure
    p, square = figure["value"], Z * Z
    middle = (p + square / (2 * n)) / (1 + square / n)
    half = Z * math.sqrt(p * (1 - p) / n + square / (4 * n * n)) / (1 + square / n)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return {"value": p, "low": round(low, 6), "high": round(high, 6)}


def gap(groups: dict[str, dict], path: tuple[str, ...]) -> Gap | None:
    """The largest gap in a share, among groups of at least FLOOR pictures whose value is known;
    None if fewer than two can be compared."""
    shares = {
        name: found
        for name, group in ordered(groups).items()
        if name != UNKNOWN and (found := share(group, path)) and pictures(group, path) >= FLOOR
    }
    if len(shares) < 2:
        return None
    lowest = min(shares, key=lambda name: shares[name]["value"])
    highest = max(shares, key=lambda name: shares[name]["value"])
    ends = shares[lowest]["high"], shares[highest]["low"]
    return Gap(lowest, highest, len(shares), None if None in ends else ends[0] >= ends[1])


def too_few(groups: dict[str, dict], path: tuple[str, ...]) -> dict[str, int]:
    """{group: its number of pictures} of those that hold too few to compare in a share, whose value
    is known."""
    counts = {
        name: pictures(group, path)
        for name, group in ordered(groups).items()
        if name != UNKNOWN and path[0] in group
    }
    return {name: n for name, n in counts.items() if n < FLOOR}
