"""The warning: whether a prediction reaches the operating point of its model."""


def suspicious(prediction, config: dict) -> dict | None:
    """{score, threshold, flag}: the summed probability of the suspicious labels, the model's
    operating point, and whether the sum reaches it; None if the model has no operating point."""
    calibration = config.get("calibration") or {}
    threshold, labels = calibration.get("threshold"), calibration.get("suspicious")
    if threshold is None or not labels:
        return None
    score = sum(prediction.probabilities.get(label, 0) for label in labels)
    return {"score": score, "threshold": threshold, "flag": bool(score >= threshold)}
