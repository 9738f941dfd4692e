"""Prediction sets: how their quantiles are found, what they cover, and one answer's set."""

import numpy as np
import pytest

from model.evaluation.conformal import class_quantiles, quantile
from model.folder import BUNDLED, COMPACT, read_config
from model.labels import LABELS
from model.sets import prediction_set


def test_the_quantile_has_the_correction_for_few_scores():
    scores = np.arange(1, 20) / 100
    assert quantile(scores, 0.9) == 0.18  # the 18th of 19
    assert quantile(scores[:9], 0.9) == 0.09  # the largest of 9
    assert quantile(scores[:8], 0.9) == 1.0 == quantile([], 0.9)
    assert quantile([0.12345678] * 9, 0.9) == 0.123457  # up, so that the score itself is within


def test_a_lesion_counts_once_with_its_worst_picture():
    # Of each of nine lesions a good picture and a worse one.
    probabilities = [[p, 1 - p] for k in range(9) for p in (0.99, 0.9 - k / 100)]
    lesions = [f"lesion {k}" for k in range(9) for _ in range(2)]
    quantiles = class_quantiles(["a", "b"], np.zeros(18, int), probabilities, lesions)
    assert quantiles == {"a": pytest.approx(1 - 0.82, abs=1e-6), "b": 1.0}
    # Eight lesions are too few, sixteen pictures of as many lesions are not.
    for ids, expected in ((lesions[:16], 1.0), ([None] * 16, 1 - 0.83)):
        quantiles = class_quantiles(["a", "b"], np.zeros(16, int), probabilities[:16], ids)
        assert quantiles["a"] == pytest.approx(expected, abs=1e-6)


def test_each_class_is_covered_whichever_picture_is_sent():
    """Two pictures for each lesion, one class hard and one rare."""
    random = np.random.default_rng(0)
    labels, spread = ["easy", "hard", "rare"], np.array([0.5, 2.0, 1.0])

    def made(n):
        truth = random.choice(3, n, p=[0.6, 0.37, 0.03]).repeat(2)
        logits = random.normal(size=(n, 3)).repeat(2, axis=0) + random.normal(size=(2 * n, 3))
        logits = logits * spread[truth, None] + 1.5 * np.eye(3)[truth]
        shares = np.exp(logits)
        return truth, shares / shares.sum(axis=1, keepdims=True), np.arange(n).repeat(2)

    covered = np.zeros((200, 3))
    for row in covered:
        quantiles = class_quantiles(labels, *made(300))
        truth, probabilities, _ = made(2000)
        within = 1 - probabilities <= [quantiles[label] for label in labels]
        hit = within[np.arange(len(truth)), truth].reshape(-1, 2).all(axis=1)
        row[:] = [hit[truth[::2] == k].mean() for k in range(3)]
    # At least 0.9; not much more, unless the class is rare.
    assert (covered.mean(axis=0) > 0.9 - 0.005).all()
    assert (covered.mean(axis=0)[:2] < 0.92).all()


def test_a_set_is_the_labels_within_their_quantiles_most_probable_first():
    quantiles = {"a": 0.5, "b": 0.8, "c": 0.8, "d": 1.0}
    config = {"calibration": {"sets": {"level": 0.9, "quantiles": quantiles}}}
    shares = {"a": 0.3, "b": 0.25, "c": 0.4, "d": 0.05}
    assert prediction_set(shares, config) == ["c", "b", "d"]
    # The most probable label is in the set, even if it is beyond its quantile.
    assert prediction_set({"a": 0.45, "b": 0.1, "c": 0.4, "d": 0.05}, config) == ["a", "c", "d"]
    assert prediction_set(shares, {"calibration": {"temperature": 1.0}}) is None


@pytest.mark.parametrize("folder", [BUNDLED, COMPACT])
def test_the_models_of_the_repository_have_sets(folder):
    config = read_config(folder)
    sets = config["calibration"]["sets"]
    assert (sets["level"], sets["part"], list(sets["quantiles"])) == (0.9, "validation", LABELS)
    sure = dict.fromkeys(LABELS, 0.001) | {"nv": 0.994}
    # Seven lesions of df in the validation part are too few to rule it out.
    assert prediction_set(sure, config) == ["nv", "df"]
    unsure = dict.fromkeys(LABELS, 0.0) | {"nv": 0.6, "mel": 0.3, "bkl": 0.1}
    assert prediction_set(unsure, config)[:2] == ["nv", "mel"]
