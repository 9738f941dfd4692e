"""Dataset shift: how a model holds up on pictures unlike those that it was calibrated on.

`clinics` leaves out one clinic at a time from the calibration, and measures on it. `corruptions`
measures on pictures of model/evaluation/corruptions.py. model/hub/shift.py writes what they return.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.classifier import Classifier
from model.evaluation import corruptions as c
from model.evaluation.calibration import calibrate, calibrated
from model.evaluation.conformal import sets_of
from model.evaluation.coverage import members
from model.evaluation.metrics import (
    bootstrap,
    clusters_of,
    draws,
    interval,
    names_of,
    suspicious_score,
)
from model.folder import UserError
from model.labels import suspicious_of
from model.preprocessing import open_picture
from model.sets import LEVELS

# Figures of a corruption, by their path in `draws`.
DRAWN = {
    "balanced_accuracy": ("balanced_accuracy",),
    "log_loss": ("log_loss",),
    "sensitivity": ("suspicious", "sensitivity"),
    "specificity": ("suspicious", "specificity"),
}


@dataclass(frozen=True)
class Answers:
    """A model's answers to n pictures.

    logits: [n, k], or log-probabilities; truth: [n] indices into the labels; lesions: [n], the
    lesion of each picture; clinics: [n] names, "" or None where unknown.
    """

    logits: np.ndarray
    truth: np.ndarray
    lesions: np.ndarray
    clinics: np.ndarray

    def take(self, rows: np.ndarray) -> "Answers":
        """The answers to some of the pictures; rows: their numbers, or bool [n]."""
        return Answers(self.logits[rows], self.truth[rows], self.lesions[rows], self.clinics[rows])


def several(folder) -> Classifier:
    """The model of `folder`, for as many pictures at a time as there are cores. That is faster than
    one picture at a time on all cores."""
    return Classifier(folder, threads=1, workers=os.cpu_count())


def logits_of(classifier: Classifier, images: np.ndarray, name: str) -> np.ndarray:
    """The calibrated logits [n, k] of images, uint8 [n, height, width, 3], prepared as for
    training. `name`: for the progress bar."""

    def ask(image):
        _, evidence, _, _ = classifier.run(image)
        return evidence.mean(axis=(0, 1), dtype=np.float64)

    with ThreadPoolExecutor(classifier.idle.qsize()) as pool:
        bar = tqdm(pool.map(ask, images), name, len(images), file=sys.stdout, mininterval=1)
        return np.stack(list(bar))


# --- clinics


def clinics(
    labels: Sequence[str], validation: Answers, measured: Answers | None, resamples: int
) -> dict:
    """{clinic: figures} of each clinic of `measured`, or of the validation part if that is None.

    The figures of a clinic are those with a calibration on the validation part's lesions of the
    other clinics (`others`), and on those of all clinics (`all`): temperature, operating point and
    prediction sets. No picture is measured with a calibration that its own lesion was part of:
    within the validation part, `all` leaves out one lesion at a time. Raises UserError unless there
    are two clinics.
    """
    where = measured or validation
    names = names_of(where.clinics)
    if len(set(names_of(validation.clinics))) < 2:
        raise UserError("Nothing can be left out: the validation part has one clinic alone.")
    if measured:
        every = apply(labels, calibration_of(labels, validation), measured)
    else:
        every = one_lesion_out(labels, validation)
    result = {}
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        calibration = calibration_of(labels, without(validation, name))
        answers = where.take(rows)
        result[str(name)] = {
            "n": len(rows),
            "lesions": int(clusters_of(answers.lesions).max()) + 1,
            "suspicious": suspicious_rows(labels, answers.truth).sum().item(),
            "others": figures(labels, answers, apply(labels, calibration, answers), resamples),
            "all": figures(labels, answers, {k: v[rows] for k, v in every.items()}, resamples),
        }
    return result


def without(answers: Answers, clinic: str) -> Answers:
    """The answers to the lesions that have no picture from `clinic`."""
    clusters = clusters_of(answers.lesions)
    left_out = clusters[names_of(answers.clinics) == clinic]
    return answers.take(~np.isin(clusters, left_out))


def calibration_of(labels: Sequence[str], answers: Answers) -> dict:
    """What calibrate (model/evaluation/calibration.py) finds, and `sets` (`sets_of` of
    model/evaluation/conformal.py)."""
    calibration = calibrate(answers.logits, answers.truth, list(labels))
    shares = calibrated(answers.logits, calibration["temperature"])
    return calibration | {"sets": sets_of(labels, answers.truth, shares, answers.lesions)}


def apply(labels: Sequence[str], calibration: dict, answers: Answers) -> dict[str, np.ndarray]:
    """What a calibration makes of the answers to n pictures.

    `probabilities` [n, k]; `sets` bool [n, levels, k], the labels in the set of each of LEVELS;
    `flags` [n], 1 for a warning, NaN if the calibration has no operating point.
    """
    probabilities = calibrated(answers.logits, calibration["temperature"])
    config = {"calibration": calibration}
    sets = np.stack([members(labels, probabilities, config, level) for level in LEVELS], axis=1)
    flags = np.full(len(probabilities), np.nan)
    if "threshold" in calibration:
        score = suspicious_score(labels, probabilities, calibration["suspicious"])
        flags[:] = score >= calibration["threshold"]
    return {"probabilities": probabilities, "sets": sets, "flags": flags}


def one_lesion_out(labels: Sequence[str], answers: Answers) -> dict[str, np.ndarray]:
    """`apply` for all pictures, each with the calibration on all lesions but its own."""
    clusters, parts, order = clusters_of(answers.lesions), [], []
    bar = tqdm(range(clusters.max() + 1), "leaving out a lesion", file=sys.stdout, mininterval=1)
    for lesion in bar:
        own = np.flatnonzero(clusters == lesion)
        calibration = calibration_of(labels, answers.take(clusters != lesion))
        parts.append(apply(labels, calibration, answers.take(own)))
        order.append(own)
    back = np.argsort(np.concatenate(order))
    return {key: np.concatenate([part[key] for part in parts])[back] for key in parts[0]}


def figures(labels: Sequence[str], answers: Answers, applied: dict, resamples: int) -> dict:
    """Figures with intervals of what `apply` returned for `answers`: `coverage` and `size` of the
    sets by level, `sensitivity` and `specificity` of the warning, `ece`."""
    truth, clusters = answers.truth, clusters_of(answers.lesions)
    positive, flags = suspicious_rows(labels, truth), applied["flags"]
    everything = np.ones(len(truth), bool)
    asked = {
        "sensitivity": (flags == 1, positive & ~np.isnan(flags)),
        "specificity": (flags == 0, ~positive & ~np.isnan(flags)),
    }
    for number, level in enumerate(LEVELS):
        sets = applied["sets"][:, number]
        asked["coverage", level] = sets[np.arange(len(truth)), truth], everything
        asked["size", level] = sets.sum(axis=1), everything
    found = shares(asked, clusters, resamples)
    ece = draws(labels, truth, applied["probabilities"], answers.lesions, resamples=resamples)
    return {
        "coverage": {str(level): found["coverage", level] for level in LEVELS},
        "size": {str(level): found["size", level] for level in LEVELS},
        "sensitivity": found["sensitivity"],
        "specificity": found["specificity"],
        "ece": interval(ece["ece",]),
    }


def suspicious_rows(labels: Sequence[str], truth: np.ndarray) -> np.ndarray:
    """bool [n]: whether the diagnosis of each picture is one that the warning is for."""
    return np.isin(truth, [list(labels).index(code) for code in suspicious_of(list(labels))])


def shares(asked: dict, clusters: np.ndarray, resamples: int) -> dict:
    """{name: figure with its interval}: the mean of `values` [n] over the pictures `among`, bool
    [n], from asked: {name: (values, among)}; clusters: as for `bootstrap`."""

    def means(weights):
        sums = {}
        for name, (values, among) in asked.items():
            part, whole = (values * among) @ weights, among @ weights
            sums[name] = np.divide(part, whole, np.full_like(whole, np.nan), where=whole > 0)
        return sums

    return {key: interval(drawn) for key, drawn in bootstrap(means, clusters, resamples, 0).items()}


# --- corruptions


def corruptions(
    classifier: Classifier,
    encoded: Iterable[bytes],
    truth: np.ndarray,
    lesions: Sequence[str],
    resamples: int,
) -> dict:
    """{"none": figures, kind: [figures of strength 1, 2 and 3]} for the KINDS of corruptions.py.

    encoded: the n files, each put at the scale of `at_scale`; truth: [n] indices into the labels;
    lesions: [n]. The model answers every picture as on the page, and the figures are those of all
    pictures, whatever their notices. In addition: `refused`, the share of pictures without a
    reliable answer, and `silent`, the share of suspicious pictures that get neither a warning nor
    such a notice.
    """
    versions = [("none", 0), *((kind, s) for kind in c.KINDS for s in c.STRENGTHS)]
    shape = len(versions), len(truth)
    probabilities = np.zeros((*shape, len(classifier.labels)))
    refused = np.zeros(shape, bool)
    with ThreadPoolExecutor(classifier.idle.qsize()) as pool:
        bar = tqdm(encoded, "pictures", len(truth), file=sys.stdout, mininterval=1)
        for number, file in enumerate(bar):
            picture = np.asarray(c.at_scale(open_picture(file)))

            def ask(version, picture=picture, number=number):
                kind, strength = version
                seen = picture
                if strength:
                    seen = c.corrupt(picture, kind, strength, c.generator(kind, number))
                return classifier.predict(Image.fromarray(seen))

            for row, prediction in enumerate(pool.map(ask, versions)):
                probabilities[row, number] = list(prediction.probabilities.values())
                refused[row, number] = not prediction.confident
    result = {}
    for row, (kind, _) in enumerate(tqdm(versions, "figures", file=sys.stdout, mininterval=1)):
        entry = answered(classifier, probabilities[row], refused[row], truth, lesions, resamples)
        if kind == "none":
            result[kind] = entry
        else:
            result.setdefault(kind, []).append(entry)
    return result


def answered(
    classifier: Classifier,
    probabilities: np.ndarray,
    refused: np.ndarray,
    truth: np.ndarray,
    lesions: Sequence[str],
    resamples: int,
) -> dict:
    """The figures of one corruption. probabilities: [n, k]; refused: bool [n]; the others as in
    `corruptions`. What the model has no warning for is left out."""
    labels, calibration = classifier.labels, classifier.config["calibration"]
    codes, threshold = calibration.get("suspicious") or [], calibration.get("threshold")
    found = draws(
        labels,
        truth,
        probabilities,
        lesions,
        suspicious=codes,
        threshold=threshold,
        resamples=resamples,
    )
    asked = {"refused": (refused, np.ones(len(truth), bool))}
    if codes and threshold is not None:
        positive = np.isin(truth, [labels.index(code) for code in codes])
        flagged = suspicious_score(labels, probabilities, codes) >= threshold
        asked["silent"] = ~flagged & ~refused, positive
    entry = {key: interval(found[path]) for key, path in DRAWN.items() if path in found}
    return entry | shares(asked, clusters_of(lesions), resamples)
