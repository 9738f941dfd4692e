"""Prediction sets: how their quantiles are found, what they cover, and one answer's set."""

import math

import numpy as np
import pytest

from model.evaluation.conformal import quantile, rounded, sets_of, worst_scores
from model.folder import BUNDLED, COMPACT, read_config
from model.labels import LABELS
from model.sets import LEVELS, always, prediction_set


def test_the_quantile_has_the_correction_for_few_scores():
    scores = np.arange(1, 20) / 100
    assert quantile(scores, 0.9) == 0.18  # the 18th of 19
    assert quantile(scores[:9], 0.9) == 0.09  # the largest of 9
    assert quantile(scores[:8], 0.9) == math.inf == quantile([], 0.9)
    assert [quantile(scores, level) for level in LEVELS] == [0.16, 0.18, 0.19]


def test_a_limit_is_rounded_up_so_that_the_score_itself_is_within():
    assert rounded(0.12345678) == 0.123457 and rounded(0.25) == 0.25
    assert rounded(math.inf) == rounded(1.0) == rounded(0.9999999) == 1.0


def test_a_quantile_near_one_is_no_lack_of_lesions():
    shares = np.array([[5e-7, 1 - 5e-7]] * 20)
    sets = sets_of(["a", "b"], np.zeros(20, int), shares, [f"lesion {k}" for k in range(20)])
    assert sets["quantiles"]["0.9"] == {"a": 1.0, "b": 1.0}
    assert always(sets) == dict.fromkeys(["0.8", "0.9", "0.95"], {"b": 0})
    for n, few in ((8, {"0.9", "0.95"}), (9, {"0.95"}), (19, set())):
        sets = sets_of(["a", "b"], np.zeros(n, int), shares[:n], [f"lesion {k}" for k in range(n)])
        assert {level for level, labels in always(sets).items() if "a" in labels} == few


def test_a_lesion_counts_once_with_its_worst_picture():
    # Of each of nine lesions a good picture and a worse one.
    probabilities = np.array([[p, 1 - p] for k in range(9) for p in (0.99, 0.9 - k / 100)])
    lesions = [f"lesion {k}" for k in range(9) for _ in range(2)]
    found = sets_of(["a", "b"], np.zeros(18, int), probabilities, lesions)
    assert found["method"] == "threshold" and found["lesions"] == {"a": 9, "b": 0}
    assert found["quantiles"] == {
        "0.8": {"a": pytest.approx(1 - 0.83, abs=2e-6), "b": 1.0},
        "0.9": {"a": pytest.approx(1 - 0.82, abs=2e-6), "b": 1.0},
        "0.95": {"a": 1.0, "b": 1.0},
    }
    # Eight lesions are too few, sixteen pictures of as many lesions are not.
    for ids, expected in ((lesions[:16], 1.0), ([None] * 16, 1 - 0.83)):
        found = sets_of(["a", "b"], np.zeros(16, int), probabilities[:16], ids)
        assert found["quantiles"]["0.9"]["a"] == pytest.approx(expected, abs=2e-6)


def test_a_lesion_counts_in_each_class_that_its_pictures_have():
    scores = np.array([[0.1, 0.9], [0.3, 0.7], [0.2, 0.8], [0.4, 0.6]])
    first, second = worst_scores([0, 0, 1, 1], scores, [0, 0, 0, 1])
    assert first.tolist() == [0.3] and second.tolist() == [0.6, 0.8]


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

    covered = {level: np.zeros((200, 3)) for level in LEVELS}
    for resample in range(200):
        quantiles = sets_of(labels, *made(300))["quantiles"]
        truth, probabilities, _ = made(2000)
        for level in LEVELS:
            within = 1 - probabilities <= [*quantiles[str(level)].values()]
            hit = within[np.arange(len(truth)), truth].reshape(-1, 2).all(axis=1)
            covered[level][resample] = [hit[truth[::2] == k].mean() for k in range(3)]
    # At least the level; not much more, unless the class is rare.
    for level in LEVELS:
        means = covered[level].mean(axis=0)
        assert (means > level - 0.006).all() and (means[:2] < level + 0.02).all(), (level, means)


def config_of(*quantiles):
    found = {str(level): one for level, one in zip(LEVELS, quantiles)}
    return {"calibration": {"sets": {"method": "threshold", "quantiles": found}}}


def test_a_set_is_the_labels_within_their_quantiles_most_probable_first():
    quantiles = {"a": 0.5, "b": 0.8, "c": 0.8, "d": 1.0}
    config = config_of(dict.fromkeys("abcd", 0.0), quantiles, dict.fromkeys("abcd", 1.0))
    shares = {"a": 0.3, "b": 0.25, "c": 0.4, "d": 0.05}
    assert prediction_set(shares, config) == ["c", "b", "d"]
    # The most probable label is in the set, even if it is beyond its quantile.
    assert prediction_set({"a": 0.45, "b": 0.1, "c": 0.4, "d": 0.05}, config) == ["a", "c", "d"]
    assert prediction_set(shares, config, 0.8) == ["c"]
    assert prediction_set(shares, config, 0.95) == ["c", "a", "b", "d"]


def test_without_sets_of_this_form_there_is_no_set():
    shares = {"a": 0.7, "b": 0.3}
    assert prediction_set(shares, {"calibration": {"temperature": 1.0}}) is None
    # An earlier version knew one level.
    before = {"level": 0.9, "quantiles": {"a": 0.5, "b": 0.9}, "part": "validation"}
    assert prediction_set(shares, {"calibration": {"sets": before}}) is None


def test_the_set_of_a_higher_level_holds_that_of_a_lower_one():
    random = np.random.default_rng(1)
    labels = list("abcde")
    truth, shares = random.integers(0, 5, 200), random.dirichlet(np.full(5, 0.5), 200)
    config = {"calibration": {"sets": sets_of(labels, truth, shares, [None] * 200)}}
    sizes = []
    for row in shares:
        low, middle, high = (
            prediction_set(dict(zip(labels, row.tolist())), config, level) for level in LEVELS
        )
        assert set(low) <= set(middle) <= set(high)
        assert low[0] == middle[0] == high[0] == labels[row.argmax()]
        sizes.append((len(low), len(middle), len(high)))
    assert (np.diff(np.mean(sizes, axis=0)) > 0).all()


@pytest.mark.parametrize("folder", [BUNDLED, COMPACT])
def test_the_models_of_the_repository_have_sets(folder):
    config = read_config(folder)
    sets = config["calibration"]["sets"]
    assert (sets["part"], sets["method"], list(sets["lesions"])) == (
        "validation",
        "threshold",
        LABELS,
    )
    assert sum(sets["lesions"].values()) == 665
    assert [*sets["quantiles"]] == ["0.8", "0.9", "0.95"]
    sure = dict.fromkeys(LABELS, 0.001) | {"nv": 0.994}
    # Seven lesions of df in the validation part are too few to rule it out at 90 %, nine of vasc
    # at 95 %.
    assert sets["lesions"]["df"] == 7 and sets["lesions"]["vasc"] == 9
    assert prediction_set(sure, config) == ["nv", "df"]
    assert {"nv", "df", "vasc"} <= set(prediction_set(sure, config, 0.95))
    unsure = dict.fromkeys(LABELS, 0.0) | {"nv": 0.6, "mel": 0.3, "bkl": 0.1}
    assert prediction_set(unsure, config)[:2] == ["nv", "mel"]
