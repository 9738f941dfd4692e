"""Prediction sets: the diagnoses that a picture may be, so that a set holds the true one of at
least a given share of the lesions of each class.

Class-conditional ("Mondrian") split conformal prediction (Vovk, Conditional validity of inductive
conformal predictors, 2012; Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with
bounded error levels, 2019). The score of a picture is 1 - the probability of its true class. A
class is in a set if its score there is at most the class's quantile; see model/sets.py.
"""

import math
from collections.abc import Sequence

import numpy as np

from model.evaluation.metrics import clusters_of

LEVEL = 0.9


def class_quantiles(
    labels: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    lesions: Sequence[str],
    level: float = LEVEL,
) -> dict[str, float]:
    """The largest score, 0 to 1, with which each class is in a set.

    truth: [n] indices into labels; probabilities: [n, k]; lesions: [n], the lesion of each picture;
    level: the share of lesions, 0 to 1, whose sets are to hold the true class.

    Lesions are exchangeable, pictures of one lesion are not independent. So a lesion counts once,
    with its worst picture: then the level holds whichever picture of a lesion is sent. A class with
    too few lesions to tell has the quantile 1, which puts it into every set.
    """
    clusters = clusters_of(lesions)
    truth, quantiles = np.asarray(truth), {}
    for index, label in enumerate(labels):
        rows = truth == index
        scores = 1 - np.asarray(probabilities, np.float64)[rows, index]
        worst = {}
        for lesion, score in zip(clusters[rows].tolist(), scores.tolist()):
            worst[lesion] = max(score, worst.get(lesion, 0.0))
        quantiles[label] = quantile(list(worst.values()), level)
    return quantiles


def quantile(scores: Sequence[float], level: float) -> float:
    """The score that a further one, exchangeable with these n, does not exceed with a probability
    of at least `level`: the ceil((n + 1) level)-th smallest, rounded up to six decimals; 1.0 if
    that is more than n."""
    rank = math.ceil((len(scores) + 1) * level - 1e-9)  # 0.9 * 10 must stay 9
    if rank > len(scores):
        return 1.0
    return math.ceil(sorted(scores)[rank - 1] * 1e6) / 1e6
