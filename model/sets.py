"""Prediction sets: the labels that a picture may have, where the model is unsure of the first.

config.json's `calibration.sets` holds, for each of LEVELS, the quantile of each label that
model/evaluation/conformal.py found on the validation part.
"""

import math

LEVELS = (0.8, 0.9, 0.95)
LEVEL = 0.9  # what the page names first
METHOD = "threshold"  # results/sets.md compares it with others


def prediction_set(
    probabilities: dict[str, float], config: dict, level: float = LEVEL
) -> list[str] | None:
    """The labels whose 1 - probability is at most their quantile at `level`, one of LEVELS, most
    probable first; None if `config`, a model's config.json, has no such quantiles.

    The most probable label is always among them. That makes no set smaller, so the level still
    holds. The set of a higher level holds that of a lower one.
    """
    sets = config["calibration"].get("sets") or {}
    if sets.get("method") != METHOD:
        return None
    quantiles = sets["quantiles"][str(level)]
    ranked = sorted(probabilities, key=lambda label: -probabilities[label])
    return [
        label
        for label in ranked
        if label == ranked[0] or 1 - probabilities[label] <= quantiles[label]
    ]


def always(sets: dict) -> dict[str, dict[str, int]]:
    """{level: {label: the lesions that its quantile is from}} of the labels that are in every set
    of a level, as these lesions are too few to leave it out. `sets`: `calibration.sets`.

    Their number decides, not the quantile, since one near 1 is rounded up to 1 too.
    """
    return {
        level: {label: n for label in limits if rank(n := sets["lesions"][label], float(level)) > n}
        for level, limits in sets["quantiles"].items()
    }


def rank(lesions: int, level: float) -> int:
    """Which of the scores of so many lesions, the smallest being 1, is their quantile at `level`, 0
    to 1; more than `lesions` if these are too few."""
    return math.ceil((lesions + 1) * level - 1e-9)  # 0.9 * 10 must stay 9
