"""The temperature and the operating point."""

import numpy as np
import pytest

from model.evaluation.calibration import fit_temperature, operating_point


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
