"""The temperature and the operating point."""

import numpy as np
import pytest

from model.evaluation.calibration import (
    SENSITIVITIES,
    fit_temperature,
    operating_point,
    operating_points,
    served_calibration,
)
from model.folder import BUNDLED, COMPACT, read_config
from model.labels import BINARY, LABELS


def test_temperature_is_found_again():
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 5)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) > random.random((20_000, 1))).argmax(axis=1)
    for temperature in (0.3, 1.0, 4.0):
        assert fit_temperature(logits * temperature, truth) == pytest.approx(temperature, rel=0.05)
    perfect = np.eye(5)[truth] * 1000
    assert fit_temperature(perfect, truth) >= 0.05
    assert fit_temperature(-perfect, truth) == pytest.approx(20, rel=0.01)
    with pytest.raises(ValueError, match="finite"):
        fit_temperature(np.full((2, 3), np.inf), np.array([0, 1]))


def test_operating_point_is_the_highest_that_keeps_the_sensitivity():
    score = np.arange(40) / 100
    positive = np.arange(40) >= 20
    threshold = operating_point(score, positive, 0.95)
    assert (score[positive] >= threshold).mean() == 0.95
    higher = np.nextafter(threshold, 1)
    assert (score[positive] >= higher).mean() < 0.95
    assert operating_point(score, positive, 1.0) == 0.20
    assert operating_point(np.full(8, 0.5), np.arange(8) < 3) == 0.5
    with pytest.raises(ValueError, match="positive"):
        operating_point(score, np.zeros(40, bool))


def test_operating_points_lie_along_the_roc_curve():
    random = np.random.default_rng(0)
    positive = random.random(2000) < 0.2
    score = 1 / (1 + np.exp(-random.normal(size=2000) - 2 * positive + 1))
    points = operating_points(score, positive)
    thresholds = [point["threshold"] for point in points]
    assert thresholds == sorted(thresholds) and len(points) == len(SENSITIVITIES) == 27
    assert operating_point(score, positive) in thresholds
    for point, sensitivity in zip(reversed(points), SENSITIVITIES):
        reached = score >= point["threshold"]
        assert point["sensitivity"] == pytest.approx(reached[positive].mean(), abs=1e-4)
        assert point["specificity"] == pytest.approx(1 - reached[~positive].mean(), abs=1e-4)
        assert 0 <= point["sensitivity"] - sensitivity < 0.005
    # The same threshold comes once.
    assert len(operating_points(np.arange(4) / 4, np.arange(4) > 1)) == 2


def test_what_is_served_has_points_and_sets():
    random = np.random.default_rng(0)
    for labels, points in ((LABELS, True), (BINARY, True), (["cat", "dog"], False)):
        truth = random.integers(0, len(labels), 400)
        shares = random.dirichlet(np.ones(len(labels)), 400)
        calibration = served_calibration(1.5, shares, truth, np.arange(400), labels)
        assert calibration["temperature"] == 1.5
        sets = calibration["sets"]
        assert (sets["part"], sets["method"]) == ("validation", "threshold")
        assert list(sets["lesions"]) == labels and sum(sets["lesions"].values()) == 400
        assert list(sets["quantiles"]) == ["0.8", "0.9", "0.95"]
        assert all(list(quantiles) == labels for quantiles in sets["quantiles"].values())
        assert ("points" in calibration) == ("threshold" in calibration) == points


@pytest.mark.parametrize("folder", [BUNDLED, COMPACT])
def test_the_models_of_the_repository_have_points_to_choose_from(folder):
    calibration = read_config(folder)["calibration"]
    points = {point["threshold"]: point for point in calibration["points"]}
    assert 20 <= len(points) <= 40
    assert points[calibration["threshold"]]["sensitivity"] >= calibration["sensitivity"]
    ordered = sorted(points.values(), key=lambda point: point["threshold"])
    for key, falls in (("sensitivity", True), ("specificity", False)):
        values = [point[key] for point in ordered]
        assert values == sorted(values, reverse=falls), key
