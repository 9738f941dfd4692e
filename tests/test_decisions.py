"""What answers are worth for decisions: against naive computations, and as report and card say."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_report import CONFIG, LATENCY, measured

from model.evaluation.decisions import CURVE, SHARES, THRESHOLDS, measure, set_sizes
from model.hub.card import write_card, write_report
from model.hub.tables import text
from model.labels import BINARY, LABELS
from model.sets import prediction_set

POINT = {"suspicious": ["akiec", "bcc", "mel"], "threshold": 0.3}
PNGS = ("risk_coverage.png", "decision_curve.png")


def made(labels, n, seed=0):
    """truth [n], probabilities [n, k] that lean towards it, lesions [n] of two pictures each."""
    random = np.random.default_rng(seed)
    truth = random.integers(len(labels), size=n)
    logits = random.normal(size=(n, len(labels)))
    logits[np.arange(n), truth] += 1.5
    shares = np.exp(logits)
    return (
        truth,
        shares / shares.sum(axis=1, keepdims=True),
        [f"lesion {i // 2:03d}" for i in range(n)],
    )


def decided(labels, truth, probabilities, lesions=None, resamples=0, **calibration):
    lesions = [None] * len(truth) if lesions is None else lesions
    found = measure(labels, np.array(truth), probabilities, lesions, calibration, resamples)
    return json.loads(json.dumps(found, allow_nan=False))


def two(malignant):
    """Probabilities [n, 2] of benign and malignant."""
    malignant = np.asarray(malignant, float)
    return np.stack([1 - malignant, malignant], axis=1)


# --- risk and coverage


def test_risk_coverage_is_that_of_the_sorted_answers():
    truth, probabilities, lesions = made(LABELS, 150)
    found = decided(LABELS, truth, probabilities, lesions, **POINT)["risk_coverage"]
    order = np.argsort(-probabilities.max(axis=1))
    correct = (probabilities.argmax(axis=1) == truth)[order]
    flagged = (probabilities[:, [0, 1, 4]].sum(axis=1) >= 0.3)[order]
    melanoma = truth[order] == 4
    risks = [1 - correct[:m].mean() for m in range(1, 151)]
    assert found["aurc"]["value"] == pytest.approx(np.mean(risks), abs=1e-6)
    for share, point in zip(SHARES, found["points"]):
        m = round(share * 150)
        assert point["answered"] == share and point["images"] == m
        assert point["accuracy"]["value"] == pytest.approx(correct[:m].mean(), abs=1e-6)
        watched, answered = point["watched"], melanoma[:m].sum()
        wrong = melanoma[:m] & ~correct[:m]
        assert (watched["left_out"]["count"], watched["wrong"]["of"]) == (
            melanoma[m:].sum(),
            answered,
        )
        assert watched["wrong"]["count"] == wrong.sum()
        assert watched["unwarned"]["count"] == (wrong & ~flagged[:m]).sum()
        assert watched["wrong"]["value"] == pytest.approx(wrong.sum() / answered, abs=1e-6)
    assert len(found["curve"]) == len(CURVE) <= 100
    for share, accuracy, low, high, left, wrong in found["curve"]:
        m = int(np.ceil(share * 150 - 1e-9))
        assert accuracy == pytest.approx(correct[:m].mean(), abs=1e-4)
        assert left == pytest.approx(melanoma[m:].sum() / melanoma.sum(), abs=1e-4)
        assert wrong == pytest.approx((melanoma & ~correct)[:m].sum() / melanoma.sum(), abs=1e-4)


def test_equally_confident_pictures_count_as_in_random_order():
    truth, probabilities, _ = made(LABELS, 40)
    probabilities = np.round(probabilities, 1)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    assert len(set(confidence)) < 10
    random, risks = np.random.default_rng(1), []
    for _ in range(4000):
        order = np.lexsort((random.random(40), -confidence))
        risks.append(1 - np.cumsum(correct[order]) / np.arange(1, 41))
    risks = np.mean(risks, axis=0)
    found = decided(LABELS, truth, probabilities)["risk_coverage"]
    assert found["aurc"]["value"] == pytest.approx(risks.mean(), abs=0.003)
    for share, point in zip(SHARES, found["points"]):
        assert 1 - point["accuracy"]["value"] == pytest.approx(risks[int(share * 40) - 1], abs=0.01)
    # The order of the rows says nothing.
    turned = decided(LABELS, truth[::-1], probabilities[::-1])["risk_coverage"]
    assert turned == found


def test_a_constant_confidence_makes_no_share_better_than_another():
    truth = [0, 1, 1, 0, 0, 0, 0, 0, 1, 0]
    found = decided(BINARY, truth, two([0.2] * 10))["risk_coverage"]
    assert found["aurc"]["value"] == pytest.approx(0.3)
    assert {point["accuracy"]["value"] for point in found["points"]} == {0.7}
    assert found["points"][-1]["watched"]["left_out"]["count"] == 1.5


def test_intervals_are_those_of_resampled_lesions():
    truth, probabilities, lesions = made(LABELS, 60, seed=3)
    found = decided(LABELS, truth, probabilities, lesions, resamples=300, **POINT)
    random = np.random.default_rng(0)
    drawn = random.integers(30, size=(30, 300))  # as model.evaluation.metrics.bootstrap draws them
    areas, benefits, numbers = [], [], []
    for lesion in drawn.T:
        rows = np.stack([2 * lesion, 2 * lesion + 1], axis=1).ravel()
        one = decided(LABELS, truth[rows], probabilities[rows], **POINT)
        areas.append(one["risk_coverage"]["aurc"]["value"])
        benefits.append(one["decision_curve"]["point"]["net_benefit"]["value"])
        numbers.append(one["excisions"]["melanoma"]["number"]["value"] or np.inf)
    for figure, values in (
        (found["risk_coverage"]["aurc"], areas),
        (found["decision_curve"]["point"]["net_benefit"], benefits),
        (found["excisions"]["melanoma"]["number"], numbers),
    ):
        low, high = np.quantile(values, [0.025, 0.975])
        assert figure["low"] == pytest.approx(low, rel=0.02)
        assert figure["high"] == pytest.approx(high, rel=0.02)


def test_small_sets_are_answered_and_large_ones_left_out():
    truth, probabilities, _ = made(LABELS, 120)
    quantiles = dict(zip(LABELS, (0.99, 0.9, 0.95, 0.7, 0.9, 0.5, 0.97)))
    # As in config.json.
    sets = {"method": "threshold", "quantiles": {"0.9": quantiles}}
    found = decided(LABELS, truth, probabilities, sets=sets)["sets"]
    rows = [dict(zip(LABELS, row)) for row in probabilities.tolist()]
    sizes = [len(prediction_set(row, {"calibration": {"sets": sets}})) for row in rows]
    sizes, correct = np.array(sizes), probabilities.argmax(axis=1) == truth
    assert found["level"] == 0.9
    assert [row["labels"] for row in found["at_most"]] == list(range(1, max(sizes) + 1))
    for row in found["at_most"]:
        small = sizes <= row["labels"]
        assert row["images"] == small.sum()
        assert row["answered"]["value"] == pytest.approx(small.mean(), abs=1e-6)
        accuracy = pytest.approx(correct[small].mean(), abs=1e-6) if small.any() else None
        assert row["accuracy"]["value"] == accuracy
        assert row["watched"]["left_out"]["count"] == ((truth == 4) & ~small).sum()


def test_sets_are_those_of_the_level_of_ninety_percent():
    truth, probabilities, _ = made(BINARY, 30)
    quantiles = {"benign": 0.4, "malignant": 0.8}
    by_level = {"0.8": dict.fromkeys(BINARY, 0.1), "0.9": quantiles, "0.95": {}}
    several = {"sets": {"method": "threshold", "quantiles": by_level}}
    sizes = set_sizes(BINARY, probabilities, several)
    inside = 1 - probabilities <= [quantiles[label] for label in BINARY]
    inside[np.arange(30), probabilities.argmax(axis=1)] = True
    assert sizes.tolist() == inside.sum(axis=1).tolist() and set(sizes.tolist()) == {1, 2}
    for calibration in ({}, {"sets": None}):
        assert set_sizes(BINARY, probabilities, calibration) is None
    assert "sets" not in decided(BINARY, truth, probabilities)


# --- decision curve and excisions


def test_net_benefit_is_that_of_counting():
    truth, probabilities, lesions = made(LABELS, 200)
    found = decided(LABELS, truth, probabilities, lesions, **POINT)
    score, positive = probabilities[:, [0, 1, 4]].sum(axis=1), np.isin(truth, [0, 1, 4])

    def benefit(flagged, t):
        return ((flagged & positive).sum() - (flagged & ~positive).sum() * t / (1 - t)) / 200

    curve = found["decision_curve"]["curve"]
    assert [row[0] for row in curve] == THRESHOLDS.tolist() and len(curve) == 50
    for t, value, low, high, everything in curve:
        assert value == pytest.approx(benefit(score >= t, t), abs=1e-4)
        assert everything == pytest.approx(benefit(score >= 0, t), abs=1e-4)
    point, flagged = found["decision_curve"]["point"], score >= 0.3
    more = benefit(flagged, 0.3) - benefit(score >= 0, 0.3)
    assert point["net_benefit"]["value"] == pytest.approx(benefit(flagged, 0.3), abs=1e-6)
    assert point["more_than_all"]["value"] == pytest.approx(more, abs=1e-6)
    # True negatives, less the misses in their weighting.
    spared = ((~flagged & ~positive).sum() - (~flagged & positive).sum() * 0.7 / 0.3) / 200
    assert point["spared"]["value"] == pytest.approx(spared, abs=1e-6)
    excisions = found["excisions"]
    assert excisions["flagged"] == flagged.sum()
    for name, wanted in (("suspicious", positive), ("melanoma", truth == 4)):
        hits = (flagged & wanted).sum()
        assert (excisions[name]["images"], excisions[name]["found"]) == (wanted.sum(), hits)
        assert excisions[name]["number"]["value"] == pytest.approx(flagged.sum() / hits, abs=1e-4)


def test_a_perfect_warning_is_worth_the_prevalence_and_needs_one_excision():
    truth = np.repeat([0, 1], [15, 5])
    found = decided(BINARY, truth, two(truth), suspicious=["malignant"], threshold=0.4)
    assert {row[1] for row in found["decision_curve"]["curve"]} == {0.25}
    assert found["decision_curve"]["point"]["spared"]["value"] == 0.75
    assert found["excisions"]["suspicious"]["number"]["value"] == 1
    assert found["risk_coverage"]["aurc"]["value"] == 0
    assert found["watched"] == "malignant" and "melanoma" not in found["excisions"]


def test_a_useless_warning_is_worth_treating_all_up_to_its_prevalence_then_none():
    truth = np.repeat([0, 1], [15, 5])
    found = decided(BINARY, truth, two([0.25] * 20), suspicious=["malignant"], threshold=0.25)
    for t, value, _, _, everything in found["decision_curve"]["curve"]:
        assert value == (everything if t <= 0.25 else 0)
    at = {row[0]: row for row in found["decision_curve"]["curve"]}
    assert at[0.25][4] == 0  # at the prevalence, treating all equals treating none
    point = found["decision_curve"]["point"]
    assert point["net_benefit"]["value"] == point["more_than_all"]["value"] == 0
    assert found["excisions"]["suspicious"]["number"]["value"] == 4


def test_without_a_positive_nothing_is_found_and_no_number_is_given():
    given = {"suspicious": ["malignant"], "threshold": 0.5}
    found = decided(BINARY, [0] * 8, two(np.arange(8) / 8), resamples=20, **given)
    nothing = {"value": None, "low": None, "high": None}
    assert found["excisions"]["suspicious"] == {"images": 0, "found": 0, "number": nothing}
    assert found["decision_curve"]["prevalence"]["value"] == 0
    assert found["decision_curve"]["point"]["net_benefit"]["value"] == -0.5
    assert found["risk_coverage"]["points"][0]["watched"]["wrong"]["value"] is None


def test_a_number_that_some_resamples_leave_undefined_has_no_upper_bound():
    truth, malignant = [1] + [0] * 9, [0.9] * 4 + [0.1] * 6
    given = {"suspicious": ["malignant"], "threshold": 0.5}
    found = decided(BINARY, truth, two(malignant), resamples=200, **given)
    number = found["excisions"]["suspicious"]["number"]
    assert number["value"] == 4 and number["low"] < 4 and number["high"] is None
    assert text(number, 1, 0) == f"4 ({number['low']:.0f}–∞)"


def test_net_benefit_at_a_certain_threshold_is_undefined():
    given = {"suspicious": ["malignant"], "threshold": 1.0}
    found = decided(BINARY, [0, 1], two([0, 1]), resamples=10, **given)
    point = found["decision_curve"]["point"]
    assert point["net_benefit"]["value"] is point["spared"]["value"] is None
    assert found["excisions"]["suspicious"]["number"]["value"] == 1


# --- report, card and figures


def metrics_of(labels, support, **calibration):
    """metrics.json of a made model, with `decisions`."""
    entry, _ = measured(labels, support, **{k: v for k, v in calibration.items() if k != "sets"})
    truth = np.repeat(np.arange(len(labels)), support)
    _, probabilities, _ = made(labels, len(truth))
    data = {"dataset": "ham10000", "part": "validation", "images": len(truth)}
    found = decided(labels, truth, probabilities, resamples=20, **calibration)
    return {"data": data, "tflite": entry | {"latency_ms": LATENCY}, "decisions": found}


def written(folder: Path, labels, metrics, **calibration):
    """The texts of report.md and the card."""
    calibration = {"temperature": 1.0} | calibration
    config = CONFIG | {"format": 1, "labels": labels, "calibration": calibration}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_report(folder, config, metrics)
    write_card(folder)
    return [(folder / name).read_text(encoding="utf-8") for name in ("report.md", "README.md")]


def test_report_and_card_of_the_seven_diagnoses(tmp_path):
    quantiles = {level: dict.fromkeys(LABELS, 0.9) for level in ("0.8", "0.9", "0.95")}
    sets = {"method": "threshold", "lesions": dict.fromkeys(LABELS, 9), "quantiles": quantiles}
    metrics = metrics_of(LABELS, [9, 9, 9, 9, 12, 40, 9], sets=sets, **POINT)
    report, card = written(tmp_path, LABELS, metrics, sets=sets, **POINT)
    found = metrics["decisions"]
    for said in (report, card):
        assert said.count("# Decisions\n") == 1 and "None" not in said
        accuracy = found["risk_coverage"]["points"][1]["accuracy"]
        low, high = accuracy["low"] * 100, accuracy["high"] * 100
        assert f"{accuracy['value'] * 100:.1f} ({low:.1f}–{high:.1f})" in said
        number = found["excisions"]["melanoma"]["number"]
        assert f"{number['value']:.1f} ({number['low']:.1f}–{number['high']:.1f})" in said
        benefit = found["decision_curve"]["point"]["net_benefit"]
        assert f"finding {benefit['value'] * 100:.1f} (" in said
        assert "30.9 (" in said and "(30 of 97)" in said  # the prevalence
        assert all(f"]({name})" in said for name in PNGS)
    assert "doi:10.1177/0272989X06295361" in report and "| labels, at most |" in report
    width = None
    for line in report.splitlines():
        width = (width or line.count("|")) if line.startswith("|") else None
        assert width is None or line.count("|") == width, line
    for name in PNGS:
        with Image.open(tmp_path / name) as image:
            assert image.format == "PNG" and image.width == 1200
            assert np.asarray(image.convert("L")).std() > 10


def test_report_and_card_of_two_labels_name_no_melanoma(tmp_path):
    given = {"suspicious": ["malignant"], "threshold": 0.3}
    metrics = metrics_of(BINARY, [30, 12], **given)
    for said in written(tmp_path, BINARY, metrics, **given):
        assert "malignant pictures" in said and "for each suspicious one" in said
        assert "elanoma" not in said[said.index("# Decisions") :].partition("\n## ")[0]
    assert all((tmp_path / name).stat().st_size > 5000 for name in PNGS)


@pytest.mark.parametrize("k", [2, 25])
def test_other_labels_have_risk_and_coverage_alone(tmp_path, k):
    labels = [f"class {index}" for index in range(k)]
    metrics = metrics_of(labels, [6] * k)
    assert set(metrics["decisions"]) == {"risk_coverage"}
    for said in written(tmp_path, labels, metrics):
        section = said[said.index("# Decisions") :].partition("\n## ")[0]
        for word in ("excis", "doctor", "elanoma", "suspicious", "enefit", "lesion"):
            assert word not in section
        assert "](risk_coverage.png)" in said and "decision_curve" not in said
    assert not (tmp_path / "decision_curve.png").exists()


def test_without_a_watched_picture_or_a_bound_report_and_figures_still_stand(tmp_path):
    given = {"suspicious": ["malignant"], "threshold": 1.0}
    metrics = metrics_of(BINARY, [12, 0], **given)
    for said in written(tmp_path, BINARY, metrics, **given):
        assert "for each suspicious one" not in said and "is worth as much as" not in said
    assert all((tmp_path / name).stat().st_size > 5000 for name in PNGS)
