"""What the validation part settles beside the weights: temperature and operating point."""

import numpy as np

from model.labels import suspicious_of
from model.metrics import fit_temperature, operating_point, suspicious_score
from model.network import softmax


def calibrate(logits: np.ndarray, truth: np.ndarray, labels: list[str]) -> dict:
    """Temperature and operating point from the validation part, as kept in config.json.

    logits: [n, k]; truth: [n] indices into labels. The operating point, of the seven diagnoses and
    of benign against malignant, is set for a sensitivity of 95 %.
    """
    calibration = {
        "temperature": round(float(fit_temperature(logits, truth)), 4),
        "part": "validation",
    }
    if suspicious := suspicious_of(labels):
        probabilities = softmax(logits, calibration["temperature"])
        score = suspicious_score(labels, probabilities, suspicious)
        positive = np.isin(truth, [labels.index(label) for label in suspicious])
        if positive.any() and not positive.all():
            threshold = float(operating_point(score, positive, sensitivity=0.95))
            calibration |= {"suspicious": suspicious, "threshold": threshold, "sensitivity": 0.95}
    return calibration
