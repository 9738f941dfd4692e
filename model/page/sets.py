"""Prediction sets on the page: those of one answer at each level, and what is known of a level."""

from model.page import about
from model.sets import LEVEL, LEVELS, prediction_set


def sets_of(probabilities: dict[str, float], config: dict) -> dict[str, list[str]] | None:
    """{"0.9": the labels of the set at that level}; None if the model, whose config.json is
    `config`, has no sets."""
    found = {str(level): prediction_set(probabilities, config, level) for level in LEVELS}
    return None if None in found.values() else found


def in_every_set(config: dict, level: float) -> dict[str, int | None]:
    """The labels that are in every set at `level`, as their lesions in the validation part were too
    few to set a limit, each with the number of these lesions, or None if unknown. `config` is that
    of a model with sets."""
    sets = config["calibration"]["sets"]
    lesions = sets.get("lesions") or {}
    limits = sets["quantiles"][str(level)]
    return {label: lesions.get(label) for label, limit in limits.items() if limit >= 1}


def view(classifier, language: str) -> dict | None:
    """What sets.js, verdict.js and worker.js need; None if the model has no sets.

    level: what the page names first; quantiles: {level: {label: 0..1}}; always: {level: what
    `in_every_set` returns}; measured: {level: sentence}, for the levels that were tested.
    """
    config = classifier.config
    if sets_of(dict.fromkeys(classifier.labels, 0.0), config) is None:
        return None
    quantiles = config["calibration"]["sets"]["quantiles"]
    return {
        "level": str(LEVEL),
        "quantiles": {str(level): quantiles[str(level)] for level in LEVELS},
        "always": {str(level): in_every_set(config, level) for level in LEVELS},
        "measured": about.sets(classifier, language),
    }
