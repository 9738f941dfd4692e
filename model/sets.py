"""Prediction sets: the labels that a picture may have, where the model is unsure of the first.

config.json's `calibration.sets` holds the level and the quantile of each label that
model/evaluation/conformal.py found on the validation part.
"""


def prediction_set(probabilities: dict[str, float], config: dict) -> list[str] | None:
    """The labels whose 1 - probability is at most their quantile, most probable first; None if
    `config`, a model's config.json, has no quantiles.

    The most probable label is always among them. That makes no set smaller, so the level still
    holds.
    """
    sets = config["calibration"].get("sets")
    if not sets:
        return None
    ranked = sorted(probabilities, key=lambda label: -probabilities[label])
    return [
        label
        for label in ranked
        if label == ranked[0] or 1 - probabilities[label] <= sets["quantiles"][label]
    ]
