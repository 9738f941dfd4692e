"""Prediction sets: the diagnoses that a picture may be, so that a set holds the true one of at
least a given share of the lesions of each class.

Class-conditional ("Mondrian") split conformal prediction (Vovk, Conditional validity of inductive
conformal predictors, 2012; Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with
bounded error levels, 2019). The score of a picture is 1 - the probability of its true class. A
class is in a set if its score there is at most the class's quantile; see model/sets.py.

Lesions are exchangeable, pictures of one lesion are not independent. So a lesion counts once, with
its worst picture: then the level holds whichever picture of a lesion is sent.
"""

import math
from collections.abc import Sequence

import numpy as np

from model.evaluation.metrics import clusters_of
from model.sets import LEVELS, METHOD, rank


def sets_of(
    labels: Sequence[str], truth: np.ndarray, probabilities: np.ndarray, lesions: Sequence[str]
) -> dict:
    """`method`, `lesions` and `quantiles` of config.json's `calibration.sets`: by what, from how
    many lesions of each class, and at each of model/sets.py's LEVELS, the largest score, 0 to 1,
    with which each class is in a set.

    truth: [n] indices into labels; probabilities: [n, k]; lesions: [n], the lesion of each picture.

    A class with too few lesions for a level has the quantile 1 there, which puts it into every set.
    """
    scores = 1 - np.asarray(probabilities, np.float64)
    worst = dict(zip(labels, worst_scores(truth, scores, clusters_of(lesions))))
    return {
        "method": METHOD,
        "lesions": {label: len(of_class) for label, of_class in worst.items()},
        "quantiles": {
            str(level): {
                label: rounded(quantile(of_class, level)) for label, of_class in worst.items()
            }
            for level in LEVELS
        },
    }


def worst_scores(truth: np.ndarray, scores: np.ndarray, clusters: np.ndarray) -> list[np.ndarray]:
    """For each of k classes the highest score of each of its lesions, in ascending order.

    truth: [n] indices of classes; scores: [n, k]; clusters: [n] indices of lesions.
    """
    truth, clusters = np.asarray(truth), np.asarray(clusters)
    worst = []
    for index, column in enumerate(np.asarray(scores).T):
        highest = np.full(clusters.max() + 1, -np.inf)
        rows = truth == index
        np.maximum.at(highest, clusters[rows], column[rows])
        worst.append(np.sort(highest[highest > -np.inf]))
    return worst


def quantile(scores: Sequence[float], level: float) -> float:
    """The score that a further one, exchangeable with these n, does not exceed with a probability
    of at least `level`, 0 to 1: the ceil((n + 1) level)-th smallest; infinite if that is more than
    n. `scores`: in ascending order."""
    place = rank(len(scores), level)
    return float(scores[place - 1]) if place <= len(scores) else math.inf


def rounded(limit: float) -> float:
    """A quantile as config.json holds it: at most 1, and rounded up to six decimals, so that the
    score it was taken from stays within."""
    return math.ceil(min(limit, 1.0) * 1e6) / 1e6
