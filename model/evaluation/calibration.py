"""Temperature, operating points and prediction sets, fitted on the validation part.

train.py fits them to the answers of the Keras weights, convert.py to those of `model.tflite`. Then
config.json's `calibration` is that of `model.tflite`, and `keras_calibration` that of the weights.
"""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from model.evaluation import conformal
from model.evaluation.metrics import classification_metrics, suspicious_score
from model.labels import suspicious_of

SENSITIVITY = 0.95  # of the operating point
# Those of the points that a user of the page may choose instead.
SENSITIVITIES = [percent / 100 for percent in (*range(50, 80, 5), *range(80, 101))]
# Figures of the validation part that config.json keeps.
VALIDATED = (
    "top_1 top_2 top_3 balanced_accuracy macro macro_f1 roc_auc log_loss melanoma malignant ece"
).split()


def validated(
    labels: list[str], truth: np.ndarray, logits: np.ndarray, lesions: np.ndarray
) -> tuple[dict, dict]:
    """Calibration on the validation part, and the part's calibrated figures, for config.json.

    truth: [n] indices into labels; logits: [n, k]; lesions: [n], the lesion of each image.
    """
    calibration = calibrate(logits, truth, labels)
    probabilities = calibrated(logits, calibration["temperature"])
    figures = classification_metrics(labels, truth, probabilities, lesions, resamples=200)
    return calibration, {key: figures[key] for key in VALIDATED if key in figures}


def calibrate(logits: np.ndarray, truth: np.ndarray, labels: list[str]) -> dict:
    """Temperature and operating point for config.json, from the validation part.

    logits: [n, k]; truth: [n] indices into labels.
    """
    temperature = fit_temperature(logits, truth)
    return calibration_at(temperature, calibrated(logits, temperature), truth, labels)


def calibration_at(
    temperature: float, probabilities: np.ndarray, truth: np.ndarray, labels: list[str]
) -> dict:
    """`calibration` of config.json with this temperature, and the operating point from the
    probabilities [n, k] that it gives; truth: [n] indices into labels.

    The operating point is set for a sensitivity of 95 %; only the seven diagnoses and benign
    against malignant have one.
    """
    calibration = {"temperature": temperature, "part": "validation"}
    if suspicious := suspicious_of(labels):
        score, positive = _scores(probabilities, truth, labels, suspicious)
        if positive.any() and not positive.all():
            threshold = operating_point(score, positive, SENSITIVITY)
            calibration |= {"suspicious": suspicious, "threshold": threshold}
            calibration |= {"sensitivity": SENSITIVITY}
    return calibration


def served_calibration(
    temperature: float,
    probabilities: np.ndarray,
    truth: np.ndarray,
    lesions: np.ndarray,
    labels: list[str],
) -> dict:
    """`calibration_at` of what is served, and what the page needs besides: `points`, if there is an
    operating point, and `sets`, the quantiles of model/sets.py.

    lesions: [n], the lesion of each picture; the others as in `calibration_at`.
    """
    calibration = calibration_at(temperature, probabilities, truth, labels)
    if "threshold" in calibration:
        scores = _scores(probabilities, truth, labels, calibration["suspicious"])
        calibration["points"] = operating_points(*scores)
    sets = conformal.sets_of(labels, truth, probabilities, lesions)
    return calibration | {"sets": {"part": "validation"} | sets}


def _scores(probabilities, truth, labels, suspicious):
    """The suspicious score [n] of each picture, and whether it is suspicious [n]."""
    positive = np.isin(truth, [labels.index(label) for label in suspicious])
    return suspicious_score(labels, probabilities, suspicious), positive


def keras_calibration(config: dict) -> dict:
    """The calibration of a model folder's Keras weights; `config`: its config.json."""
    return config.get("keras_calibration", config["calibration"])


def calibrated(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """float64 probabilities [n, k] of logits [n, k] (temperature scaling, Guo et al. 2017)."""
    return softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature in 0.05..20 whose softmax(logits / temperature) fits the truth best, to four
    decimals, as config.json holds it.

    logits: [n, k], or log-probabilities. Minimises the mean negative log-likelihood (Guo et al.
    2017), which has a single minimum over the logarithm of the temperature.
    """
    logits, truth = np.asarray(logits, np.float64), np.asarray(truth)
    if logits.ndim != 2 or len(logits) != len(truth) or not np.isfinite(logits).all():
        raise ValueError(f"Logits {logits.shape} must be finite, one row for each of {len(truth)}.")

    def loss(log_temperature):
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -scaled[np.arange(len(truth)), truth].mean()

    bounds = (math.log(0.05), math.log(20))
    best = minimize_scalar(loss, bounds=bounds, options={"xatol": 1e-6}).x
    return round(float(np.exp(best)), 4)


def operating_point(
    score: np.ndarray, positive: np.ndarray, sensitivity: float = SENSITIVITY
) -> float:
    """The highest threshold that at least a share `sensitivity` of the positives reach.

    score: [n], 0 to 1; positive: [n] bool. Raises ValueError if no image is positive.
    """
    positives = np.sort(np.asarray(score, np.float64)[np.asarray(positive, bool)])[::-1]
    if len(positives) == 0:
        raise ValueError("No image is positive, so no threshold gives a sensitivity.")
    if not 0 < sensitivity <= 1:
        raise ValueError(f"A sensitivity lies in (0, 1], not at {sensitivity}.")
    needed = math.ceil(sensitivity * len(positives) - 1e-9)  # 0.95 * 20 must stay 19
    return float(positives[needed - 1])


def operating_points(score: np.ndarray, positive: np.ndarray) -> list[dict]:
    """Operating points from the lowest threshold to the highest: {threshold, sensitivity,
    specificity}, among them those of all SENSITIVITIES; as for `operating_point`."""
    thresholds = {operating_point(score, positive, sensitivity) for sensitivity in SENSITIVITIES}
    return [
        {
            "threshold": threshold,
            "sensitivity": round(float((score[positive] >= threshold).mean()), 4),
            "specificity": round(float((score[~positive] < threshold).mean()), 4),
        }
        for threshold in sorted(thresholds)
    ]
