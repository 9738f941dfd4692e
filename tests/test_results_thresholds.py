"""Several thresholds of the warning: what they are set on, and what the report concludes."""

from dataclasses import replace

import numpy as np
import pytest

from model.evaluation.shift import Answers, apply, calibration_of, suspicious_rows, without
from model.labels import LABELS
from results import thresholds as t


def made(seed=0, each=200):
    """Answers to pictures from three clinics, two pictures a lesion; those to dark pictures are
    weaker. Returns positive, looks, answers."""
    rng = np.random.default_rng(seed)
    n = 3 * each
    truth = rng.integers(len(LABELS), size=n // 2).repeat(2)
    dark = rng.random(n) < 0.5
    logits = rng.normal(size=(n, len(LABELS)))
    logits[np.arange(n), truth] += np.where(dark, 2, 4)
    looks = rng.normal(size=(n, 7)) + 9 * dark[:, None]
    clinics = np.repeat(["A", "B", "C"], each)
    lesions = np.array([f"lesion {i}" for i in range(n // 2)]).repeat(2)
    return suspicious_rows(LABELS, truth), looks, Answers(logits, truth, lesions, clinics)


@pytest.mark.parametrize("method", t.METHODS)
def test_a_clinic_is_warned_of_as_if_its_diagnoses_were_unknown(method):
    positive, looks, answers = made()
    own = answers.clinics == "B"
    other = np.where(own, (answers.truth + 3) % len(LABELS), answers.truth)
    before = t.warned(LABELS, looks, answers, t.METHODS[method])
    after = t.warned(LABELS, looks, replace(answers, truth=other), t.METHODS[method])
    assert (before[own] == after[own]).all()
    assert (before != after).any()
    reached = before[positive].mean()
    assert 0.9 < reached < 0.99


def test_one_threshold_warns_like_the_calibration_on_the_other_clinics():
    _, looks, answers = made()
    # The answers to clinic B are far too sure, so a temperature of all would not fit the others.
    sure = np.where((answers.clinics == "B")[:, None], 9 * answers.logits, answers.logits)
    answers = replace(answers, logits=sure)
    flags = t.warned(LABELS, looks, answers, t.METHODS[t.ONE])
    for clinic in "ABC":
        calibration = calibration_of(LABELS, without(answers, clinic))
        own = answers.clinics == clinic
        assert (flags[own] == apply(LABELS, calibration, answers.take(own))["flags"]).all()


def test_a_group_with_few_suspicious_pictures_keeps_the_threshold_of_all():
    score, positive = np.linspace(0, 1, 100), np.arange(100) % 2 == 0
    groups = (np.arange(100) >= 70).astype(int)  # 35 suspicious pictures, and 15
    found = t.thresholds(score, positive, groups)
    assert set(found) == {None, 0}
    assert (score[positive & (groups == 0)] >= found[0]).mean() >= 0.95


def test_pictures_are_grouped_by_their_sharpness():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (9, 24, 32, 3))
    images = np.clip(128 + noise * np.arange(1, 10)[:, None, None, None] * 4, 0, 255)
    looks = t.statistics(images.astype(np.uint8))
    assert looks.shape == (9, 7) and (np.diff(looks[:, 0]) > 0).all()
    assert t.by_sharpness(looks)(looks).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len(set(t.by_clusters(2)(looks)(looks))) == 2


def test_the_report_says_whether_a_grouping_narrows_the_range():
    positive, _, answers = made()
    flags = {t.ONE: positive.copy(), "better": positive.copy()}
    missed = np.flatnonzero(positive & (answers.clinics == "A"))[::2]
    flags[t.ONE][missed] = False
    found = t.figures(flags, positive, answers, 200)
    assert found[t.ONE]["range"]["value"] == pytest.approx(0.5, abs=0.01)
    assert found["better"]["range"]["value"] == 0
    assert found["better"]["change"]["value"] == -found[t.ONE]["range"]["value"]
    counts = dict.fromkeys("ABC", (200, 80)) | {"C": (200, 3)}
    said = t.conclusion({"figures": found, "clinics": counts})
    assert said.startswith("Only 2 of 3 clinics (A, B) have at least 20")
    assert said.endswith("narrower, beyond chance, with: better.")
    same = t.figures({t.ONE: positive, "other": positive}, positive, answers, 50)
    said = t.conclusion({"figures": same, "clinics": counts})
    assert said.endswith("No grouping narrows it beyond chance, so one threshold stays.")
    text = "\n".join(t.report_lines({"made": {"figures": found, "clinics": counts}}))
    assert "| better | 1.00 (1.00–1.00) |" in text
    assert "| −0.50 (−0." in text and " to −0." in text
    assert "not fitted again in the resamples" in text
