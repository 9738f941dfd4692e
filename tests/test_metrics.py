"""Our vectorised figures against scikit-learn's, on random data with ties and absent classes."""

import json
import time
import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    auc,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

from model.evaluation.calibration import operating_point
from model.evaluation.metrics import (
    age_band,
    classification_metrics,
    draws,
    reliability_bins,
    subgroup_metrics,
    suspicious_score,
)

SEVEN = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
SUSPICIOUS = ["mel", "bcc", "akiec"]


def sample(n, k, seed, *, absent=(), ties=False):
    """truth [n] without the absent classes, probabilities [n, k] that lean towards it."""
    random = np.random.default_rng(seed)
    present = [index for index in range(k) if index not in absent]
    truth = random.choice(present, size=n)
    truth[: len(present)] = present
    logits = random.normal(size=(n, k))
    logits[np.arange(n), truth] += 1
    probabilities = np.exp(logits)
    if ties:
        probabilities = np.ceil(probabilities)  # few values, and none of them 0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return truth, probabilities, [f"lesion {row // 2}" for row in range(n)]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("k", "absent"), [(7, ()), (7, (3, 6)), (3, ()), (2, ()), (12, (0,))])
def test_figures_equal_scikit_learn(k, absent, ties):
    labels = SEVEN[:k] if k <= 7 else [f"class {index}" for index in range(k)]
    truth, probabilities, lesions = sample(240, k, seed=k, absent=absent, ties=ties)
    ours = classification_metrics(labels, truth, probabilities, lesions, resamples=20)
    predicted, present = probabilities.argmax(axis=1), np.unique(truth)

    def value(*path):
        entry = ours
        for key in path:
            entry = entry[key]
        return pytest.approx(entry["value"], abs=1e-6)

    with warnings.catch_warnings():  # of classes that are predicted and absent
        warnings.simplefilter("ignore", UserWarning)
        assert balanced_accuracy_score(truth, predicted) == value("balanced_accuracy")
    options = {"labels": present, "zero_division": 0}
    assert f1_score(truth, predicted, average="macro", **options) == value("macro_f1")
    for average in ("macro", "weighted"):
        theirs = precision_recall_fscore_support(truth, predicted, average=average, **options)
        for name, figure in zip(("precision", "recall", "f1"), theirs):
            assert figure == value(average, name)
    table = precision_recall_fscore_support(truth, predicted, **options)
    for row, index in enumerate(present):
        label = labels[index]
        for name, column in zip(("precision", "recall", "f1"), table):
            assert column[row] == value("per_class", label, name)
        assert ours["per_class"][label]["support"] == table[3][row] == ours["support"][label]
        others = truth != index
        assert (predicted[others] != index).mean() == value("per_class", label, "specificity")
    areas = [roc_auc_score(truth == index, probabilities[:, index]) for index in present]
    for index, area in zip(present, areas):
        assert area == value("per_class", labels[index], "roc_auc")
    assert np.mean(areas) == value("roc_auc")
    assert log_loss(truth, probabilities, labels=range(k)) == value("log_loss")
    for index in absent:
        nothing = {"value": None, "low": None, "high": None}
        entry = ours["per_class"][labels[index]]
        assert entry["recall"] == entry["f1"] == entry["precision"] == entry["roc_auc"] == nothing
        assert entry["roc_curve"] is None and entry["support"] == 0
    matrix = confusion_matrix(truth, predicted, labels=range(k))
    assert ours["confusion"] == matrix.tolist()
    assert (truth == predicted).mean() == value("top_1")
    assert {key for key in ours if key.startswith("top_")} == {
        f"top_{top}" for top in range(1, min(4, k))
    }
    for top in range(2, min(4, k)):
        # Of equal scores scikit-learn ranks the last first, and we the first, as argmax does.
        theirs = top_k_accuracy_score(
            k - 1 - truth, probabilities[:, ::-1], k=top, labels=np.arange(k)
        )
        assert theirs == value(f"top_{top}")


def test_macro_roc_auc_is_scikit_learns_one_versus_rest():
    truth, probabilities, lesions = sample(150, 4, seed=5)
    ours = classification_metrics(list("abcd"), truth, probabilities, lesions, resamples=0)
    theirs = roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
    assert ours["roc_auc"]["value"] == pytest.approx(theirs, abs=1e-6)
    assert ours["roc_auc"]["low"] is None


def test_calibration_error_of_a_hand_made_case():
    # 10 images at 0.75 of which 6 are right, 10 at 0.55 of which 6 are right.
    high = np.array([0.75] * 10 + [0.55] * 10)
    truth = np.array([0] * 6 + [1] * 4 + [0] * 6 + [1] * 4)
    probabilities = np.stack([high, 1 - high], axis=1)
    ours = classification_metrics(["a", "b"], truth, probabilities, [""] * 20, resamples=0)
    assert ours["ece"]["value"] == pytest.approx((10 * 0.15 + 10 * 0.05) / 20, abs=1e-6)
    filled = [one for one in ours["reliability"] if one["n"]]
    assert len(ours["reliability"]) == 15 and len(filled) == 2
    assert [one["confidence"] for one in filled] == [0.55, 0.75]
    assert [one["accuracy"] for one in filled] == [0.6, 0.6]
    assert filled == [one for one in reliability_bins(truth, probabilities) if one["n"]]


def test_intervals_resample_lesions_and_not_images():
    truth, probabilities, _ = sample(60, 3, seed=1)
    many = [np.concatenate([one] * 20) for one in (truth, probabilities)]
    lesions = [f"lesion {row % 60}" for row in range(1200)]

    def width(lesions):
        figure = classification_metrics(list("abc"), *many, lesions)["top_1"]
        assert figure["low"] < figure["value"] < figure["high"]
        return figure["high"] - figure["low"]

    # Twenty copies of an image carry no more information than one, but as images they seem to.
    assert width(lesions) > 3 * width([None] * 1200)


def test_interval_of_a_share_is_the_binomial_one():
    truth = np.zeros(400, int)
    right = np.arange(400) < 320
    probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    truth[-1] = 1  # so both classes occur; 321 are right
    ours = classification_metrics(["a", "b"], truth, probabilities, [""] * 400, resamples=4000)
    error = 1.96 * np.sqrt(0.8025 * 0.1975 / 400)
    assert ours["top_1"]["value"] == 0.8025
    assert ours["top_1"]["low"] == pytest.approx(0.8025 - error, abs=0.006)
    assert ours["top_1"]["high"] == pytest.approx(0.8025 + error, abs=0.006)


def test_same_seed_same_figures_and_all_of_it_is_json():
    truth, probabilities, lesions = sample(90, 7, seed=2, absent=(5,))
    options = {"suspicious": SUSPICIOUS, "threshold": 0.4, "resamples": 100}
    first, again, other = (
        classification_metrics(SEVEN, truth, probabilities, lesions, seed=seed, **options)
        for seed in (3, 3, 4)
    )
    assert first == again != other
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert first["interval"] == {
        "level": 0.95,
        "unit": "lesion",
        "units": 45,
        "resamples": 100,
        "seed": 3,
    }


@pytest.mark.parametrize("unit", ["lesion", "image"])
def test_the_unit_is_named_as_it_was_given(unit):
    truth, probabilities, lesions = sample(20, 3, seed=0)
    found = classification_metrics(["a", "b", "c"], truth, probabilities, lesions, unit=unit)
    assert found["interval"]["unit"] == unit
    alone = classification_metrics(["a", "b", "c"], truth, probabilities, [""] * 20, unit="lesion")
    assert alone["interval"]["unit"] == "image"


def test_draws_are_what_the_intervals_are_of_and_pair_two_classifiers():
    truth, probabilities, lesions = sample(120, 7, seed=1)
    figures = classification_metrics(SEVEN, truth, probabilities, lesions, resamples=50)
    ours = draws(SEVEN, truth, probabilities, lesions, resamples=50)
    figure, values = figures["balanced_accuracy"], ours["balanced_accuracy",]
    assert values.shape == (51,) and values[0] == pytest.approx(figure["value"], abs=1e-6)
    low, high = np.quantile(values[1:], [0.025, 0.975])
    assert (low, high) == pytest.approx((figure["low"], figure["high"]), abs=1e-6)
    # One more picture is right, so no resample has fewer right answers.
    better = probabilities.copy()
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != truth)[0]
    better[wrong] = np.eye(7)[truth[wrong]]
    gain = draws(SEVEN, truth, better, lesions, resamples=50)["top_1",] - ours["top_1",]
    assert gain[0] == pytest.approx(1 / 120) and (gain >= 0).all() and (gain == 0).any()


def test_melanoma_suspicious_and_baseline():
    truth, probabilities, lesions = sample(300, 7, seed=6)
    truth[:120] = 5
    score = suspicious_score(SEVEN, probabilities, SUSPICIOUS)
    positive = np.isin(truth, [0, 1, 4])
    threshold = operating_point(score, positive, 0.9)
    ours = classification_metrics(
        SEVEN,
        truth,
        probabilities,
        lesions,
        suspicious=SUSPICIOUS,
        threshold=threshold,
        resamples=50,
    )
    chosen = ours["suspicious"]
    assert chosen["labels"] == SUSPICIOUS and chosen["threshold"] == threshold
    caught = (score >= threshold)[positive].mean()
    assert chosen["sensitivity"]["value"] == pytest.approx(caught, abs=1e-6)
    cleared = (score < threshold)[~positive].mean()
    assert chosen["specificity"]["value"] == pytest.approx(cleared, abs=1e-6)
    area = roc_auc_score(positive, score)
    assert chosen["roc_auc"]["value"] == pytest.approx(area, abs=1e-6)
    assert ours["melanoma"]["sensitivity"] == ours["per_class"]["mel"]["recall"]
    assert ours["melanoma"]["specificity"] == ours["per_class"]["mel"]["specificity"]

    always = np.full(300, 5)
    baseline = ours["baseline"]
    assert baseline["label"] == "nv"
    assert baseline["top_1"]["value"] == pytest.approx((truth == 5).mean(), abs=1e-6)
    assert baseline["balanced_accuracy"]["value"] == pytest.approx(1 / 7, abs=1e-6)
    for average in ("macro", "weighted"):
        theirs = f1_score(truth, always, average=average, zero_division=0)
        assert baseline[f"{average}_f1"]["value"] == pytest.approx(theirs, abs=1e-6)
    assert baseline["melanoma"]["sensitivity"]["value"] == 0
    assert baseline["melanoma"]["specificity"]["value"] == 1
    assert "suspicious" not in classification_metrics(
        SEVEN, truth, probabilities, lesions, suspicious=SUSPICIOUS, resamples=0
    )


def test_roc_curve_keeps_the_area_in_a_hundred_points():
    truth, probabilities, lesions = sample(3000, 3, seed=8)
    ours = classification_metrics(["mel", "nv", "df"], truth, probabilities, lesions, resamples=0)
    for entry in ours["per_class"].values():
        curve = entry["roc_curve"]
        assert 50 < len(curve) <= 100
        assert curve[0] == [0, 0] and curve[-1] == [1, 1]
        assert curve == sorted(curve)
        assert auc(*zip(*curve)) == pytest.approx(entry["roc_auc"]["value"], abs=0.005)


@pytest.mark.parametrize("n", [1, 2, 20])
def test_few_images_make_no_warnings(n):
    truth, probabilities, lesions = sample(n + 7, 7, seed=n)
    ours = classification_metrics(
        SEVEN, truth[:n], probabilities[:n], lesions[:n], suspicious=SUSPICIOUS, threshold=0.5
    )
    assert ours["n"] == n and 0 <= ours["top_1"]["value"] <= 1


def test_ten_thousand_images_stay_under_ten_seconds():
    truth, probabilities, lesions = sample(10_000, 7, seed=9)
    start = time.process_time()
    classification_metrics(SEVEN, truth, probabilities, lesions, resamples=250)
    assert (
        time.process_time() - start < 10
    )  # a quarter of the default resamples, even on a slow machine


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": np.full((6, 2), 0.5)}, "need probabilities"),
        ({"lesions": ["a"]}, "1"),
        ({"truth": np.array([0, 1, 2, 0, 1, 3])}, "from 0 to 2"),
        ({"truth": np.array([0.0, 1, 2, 0, 1, 2])}, "whole numbers"),
        ({"probabilities": np.full((6, 3), np.nan)}, "Image 0"),
        ({"suspicious": ["mel"]}, "mel"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change, message):
    truth, probabilities, lesions = sample(6, 3, seed=0)
    arguments = {"truth": truth, "probabilities": probabilities, "lesions": lesions} | change
    with pytest.raises(ValueError, match=message):
        classification_metrics(["a", "b", "c"], **arguments)


def test_subgroups_are_the_metrics_of_their_rows():
    truth, probabilities, lesions = sample(120, 7, seed=11)
    groups = ["vidir" if row % 3 else "rosendahl" for row in range(120)]
    groups[:4] = [None, "", None, "unknown"]
    options = {"suspicious": SUSPICIOUS, "threshold": 0.4, "resamples": 30}
    ours = subgroup_metrics(SEVEN, truth, probabilities, lesions, groups, **options)
    assert list(ours) == ["rosendahl", "unknown", "vidir"]
    assert sum(group["n"] for group in ours.values()) == 120 and ours["unknown"]["n"] == 4
    rows = [row for row in range(120) if groups[row] == "vidir"]
    alone = classification_metrics(
        SEVEN, truth[rows], probabilities[rows], [lesions[row] for row in rows], **options
    )
    for key in ("top_1", "balanced_accuracy", "macro_f1", "melanoma", "suspicious"):
        assert ours["vidir"][key] == alone[key]
    assert ours["vidir"]["lesions"] == len({lesions[row] for row in rows}) < len(rows)
    images = subgroup_metrics(
        SEVEN, truth, probabilities, lesions, groups, unit="image", resamples=0
    )
    assert "lesions" not in images["vidir"]
    with pytest.raises(ValueError, match="groups"):
        subgroup_metrics(SEVEN, truth, probabilities, lesions, groups[:5])


def test_age_bands():
    ages = [0, 29.9, 30, 44, 45, 60, 74, 75, 90, "55"]
    bands = "0-29 0-29 30-44 30-44 45-59 60-74 60-74 75+ 75+ 45-59".split()
    assert [age_band(age) for age in ages] == bands
    for nothing in (None, float("nan"), "", "unknown", -5, 999):
        assert age_band(nothing) == "unknown"
