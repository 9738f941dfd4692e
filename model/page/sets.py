"""Prediction sets on the page: those of one answer at each level, and what is known of a level."""

from model.page import about
from model.sets import LEVEL, LEVELS, always, prediction_set


def sets_of(probabilities: dict[str, float], config: dict) -> dict[str, list[str]] | None:
    """{"0.9": the labels of the set at that level}; None if the model, whose config.json is
    `config`, has no sets."""
    found = {str(level): prediction_set(probabilities, config, level) for level in LEVELS}
    return None if None in found.values() else found


def view(classifier, language: str) -> dict | None:
    """What sets.js, verdict.js and worker.js need; None if the model has no sets.

    level: what the page names first; quantiles: {level: {label: 0..1}}; always: what
    model/sets.py's `always` returns; measured: {level: sentence}, for the levels that were tested;
    inherited: whether another run's validation part set the limits, so that they promise nothing of
    this model.
    """
    config = classifier.config
    if sets_of(dict.fromkeys(classifier.labels, 0.0), config) is None:
        return None
    found = config["calibration"]["sets"]
    return {
        "level": str(LEVEL),
        "quantiles": {str(level): found["quantiles"][str(level)] for level in LEVELS},
        "always": always(found),
        "measured": about.sets(classifier, language),
        "inherited": "inherited" in config["calibration"],
    }
