"""What prediction sets cover: evaluate.py's figures against a computation picture by picture."""

import json

import numpy as np
import pytest

from model.evaluation.conformal import sets_of
from model.evaluation.coverage import members, set_metrics
from model.hub.card import report_text
from model.hub.tables import always_text, sets_table, text
from model.sets import LEVELS, always, prediction_set

LABELS = ["a", "b", "c"]


def made(n=60, seed=0):
    """truth, probabilities, lesions of two pictures each, and the clinics of n pictures."""
    random = np.random.default_rng(seed)
    truth = random.choice(3, n // 2, p=[0.7, 0.25, 0.05]).repeat(2)
    shares = random.dirichlet(np.ones(3), n) + 0.7 * np.eye(3)[truth]
    clinics = random.choice(["x", "y", None], n // 2).repeat(2)
    return truth, shares / shares.sum(axis=1, keepdims=True), np.arange(n // 2).repeat(2), clinics


@pytest.fixture(scope="module")
def config():
    truth, shares, lesions, _ = made(200, seed=1)
    return {"calibration": {"sets": sets_of(LABELS, truth, shares, lesions)}}


def naive(config, level, truth, shares):
    """n, coverage, size and single of some pictures, one after the other."""
    held = size = single = 0
    for row, right in zip(shares.tolist(), truth.tolist()):
        found = prediction_set(dict(zip(LABELS, row)), config, level)
        held, size, single = (
            held + (LABELS[right] in found),
            size + len(found),
            single + (len(found) == 1),
        )
    return len(truth), held / len(truth), size / len(truth), single / len(truth)


def test_the_figures_are_those_of_the_pictures_one_by_one(config):
    truth, shares, lesions, clinics = made()
    groups = {"dataset": clinics}
    found = set_metrics(LABELS, truth, shares, lesions, config, groups, resamples=50)
    assert list(found["levels"]) == ["0.8", "0.9", "0.95"]
    for level in LEVELS:
        entry = found["levels"][str(level)]
        parts = [(entry, np.ones(60, bool))]
        parts += [(entry["per_class"][label], truth == k) for k, label in enumerate(LABELS)]
        parts += [
            (entry["subgroups"]["dataset"][name or "unknown"], clinics == name)
            for name in ("x", "y", None)
        ]
        for figures, rows in parts:
            n, *values = naive(config, level, truth[rows], shares[rows])
            assert (figures["n"], figures["lesions"]) == (n, len(set(lesions[rows])))
            for name, value in zip(("coverage", "size", "single"), values):
                assert figures[name]["value"] == pytest.approx(value, abs=1e-6)
                assert figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"]
    assert json.loads(json.dumps(found)) == found


def test_intervals_are_those_of_lesions_not_of_pictures(config):
    truth, shares, lesions, _ = made(400, seed=2)
    again = np.repeat(np.arange(400), 5)  # five equal pictures of each
    widths = []
    for ids in (again, np.arange(2000)):
        found = set_metrics(LABELS, truth[again], shares[again], ids, config, {}, resamples=300)
        coverage = found["levels"]["0.9"]["coverage"]
        widths.append(coverage["high"] - coverage["low"])
    assert widths[0] > 1.7 * widths[1]  # the square root of five, about


def test_a_class_without_pictures_has_no_figures(config):
    truth, shares, lesions, _ = made()
    rows = truth < 2
    found = set_metrics(LABELS, truth[rows], shares[rows], lesions[rows], config, {}, resamples=9)
    entry = found["levels"]["0.9"]["per_class"]["c"]
    assert entry["n"] == entry["lesions"] == 0 and entry["coverage"]["value"] is None
    assert "| c |" not in sets_table(found) and "| b |" in sets_table(found)


def test_without_sets_nothing_is_measured():
    truth, shares, lesions, clinics = made()
    before = {"level": 0.9, "quantiles": dict.fromkeys(LABELS, 0.5), "part": "validation"}
    for calibration in ({"temperature": 1.0}, {"sets": before}):
        config = {"calibration": calibration}
        assert set_metrics(LABELS, truth, shares, lesions, config, {"dataset": clinics}) is None


def test_members_are_those_of_the_set(config):
    _, shares, _, _ = made()
    within = members(LABELS, shares, config, 0.8)
    assert within.shape == (60, 3) and within[np.arange(60), shares.argmax(axis=1)].all()
    for row, found in zip(shares.tolist(), within):
        expected = prediction_set(dict(zip(LABELS, row)), config, 0.8)
        assert {label for label, one in zip(LABELS, found) if one} == set(expected)


def test_labels_that_are_in_every_set_are_named_with_their_lesions():
    quantiles = {"0.8": {"a": 0.2, "b": 0.3}, "0.9": {"a": 0.4, "b": 1.0}}
    sets = {"lesions": {"a": 40, "b": 7}, "quantiles": quantiles}
    assert always(sets) == {"0.8": {}, "0.9": {"b": 7}}
    assert always_text(always(sets)) == (
        "For lack of lesions in the validation part, whose number is in brackets, some labels are "
        "in every set: at 90% b (7)."
    )
    assert always_text({"0.8": {}}) == ""


def test_images_that_count_by_themselves_are_not_called_lesions(config):
    truth, shares, lesions, clinics = made()
    for ids, unit in ((lesions, "image"), ([None] * 60, "lesion")):
        found = set_metrics(
            LABELS, truth, shares, ids, config, {"dataset": clinics}, resamples=9, unit=unit
        )
        assert "lesions" not in json.dumps(found["levels"])


def test_groups_of_any_name_have_a_row_of_their_own(config):
    truth, shares, lesions, clinics = made()
    groups = {"dataset": clinics, "clinic": np.roll(clinics, 1), "camera": ["a|b", "c"] * 30}
    found = set_metrics(LABELS, truth, shares, lesions, config, groups, resamples=0)
    lines = sets_table(found).splitlines()
    assert sum(line.startswith("| clinic x |") for line in lines) == 2
    assert sum(line.startswith("| camera a\\|b | 30 |") for line in lines) == 1
    assert len({line.replace("\\|", "").count("|") for line in lines if line}) == 1


def test_evaluate_measures_the_sets_and_reports_them(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    entry = metrics["sets"]["levels"]["0.9"]
    assert entry["n"] == metrics["tflite"]["n"]
    assert set(entry["subgroups"]) == {"dataset", "sex", "age"}
    support = {label: figures["n"] for label, figures in entry["per_class"].items()}
    assert support == metrics["tflite"]["support"]
    for name in ("report.md", "README.md"):
        assert "\n|  | images | 80% sets: coverage, % |" in (trained / name).read_text()
    line = f"coverage {text(entry['coverage'], 100, 1)} %, {text(entry['size'])} labels, one label "
    assert f"sets at 90%             {line}" in report_text(metrics)
    assert "| sex male |" in (trained / "report.md").read_text()
    assert "| sex male |" not in (trained / "README.md").read_text().split("### Prediction sets")[1]
