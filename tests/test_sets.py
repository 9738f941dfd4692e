"""Prediction sets on the page: those of an answer at each level, and what is known of a level. How
their limits are found: test_conformal.py."""

import copy
from types import SimpleNamespace

import pytest
from PIL import Image

from model.labels import LABELS
from model.page import about, answer, batch, sets
from model.sets import LEVEL, LEVELS, prediction_set


def quantiles(nv, mel, **others):
    return dict.fromkeys(LABELS, 0.5) | {"nv": nv, "mel": mel} | others


CALIBRATION = {
    "temperature": 1,
    "sets": {
        "part": "validation",
        "method": "threshold",
        "lesions": dict.fromkeys(LABELS, 60) | {"df": 7, "vasc": 14},
        "quantiles": {
            "0.8": quantiles(0.3, 0.6),
            "0.9": quantiles(0.4, 0.75, df=1.0),
            "0.95": quantiles(0.5, 0.9, df=1.0, vasc=1.0),
        },
    },
}
BEFORE = {"level": 0.9, "quantiles": dict.fromkeys(LABELS, 0.5), "part": "validation"}
SHARES = dict.fromkeys(LABELS, 0.0) | {"nv": 0.7, "mel": 0.28, "df": 0.02}
SETS = {"0.8": ["nv"], "0.9": ["nv", "mel", "df"], "0.95": ["nv", "mel", "df", "vasc"]}


def figure(value, low, high):
    return {"value": value, "low": low, "high": high}


MEASURED = {
    "n": 1200,
    "lesions": 1180,
    "coverage": figure(0.9134, 0.8861, 0.9402),
    "size": figure(2.41, 2.3, 2.56),
    "single": figure(0.5, 0.4, 0.6),
}


@pytest.fixture
def classifier():
    """What the page asks of a model; tests change its config and metrics."""
    return SimpleNamespace(
        config={"calibration": copy.deepcopy(CALIBRATION)},
        metrics={"data": {"part": "test"}, "sets": {"levels": {"0.9": copy.deepcopy(MEASURED)}}},
        labels=LABELS,
    )


def prediction(**changes):
    known = {"probabilities": SHARES, "notices": [], "confident": True, "milliseconds": 1.0}
    return SimpleNamespace(**known | changes)


def test_analyze_gives_the_set_at_each_level_and_the_one_that_the_page_names_first(classifier):
    found = answer.as_json(prediction(), classifier, {})
    assert found["sets"] == SETS and found["set"] == SETS["0.9"] == SETS[str(LEVEL)]
    for level in LEVELS:
        assert found["sets"][str(level)] == prediction_set(SHARES, classifier.config, level)


@pytest.mark.parametrize("given", [None, BEFORE, CALIBRATION["sets"] | {"method": "other"}])
def test_a_model_without_such_sets_has_null_and_the_page_no_choice(classifier, given):
    classifier.config["calibration"]["sets"] = given
    found = answer.as_json(prediction(), classifier, {})
    assert found["set"] is None and found["sets"] is None
    assert sets.view(classifier, "en") is None


def test_a_row_of_the_batch_has_the_sets_of_its_picture(classifier, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"what a made model takes for a picture")
    picture = Image.new("RGB", (8, 6))
    classifier.predict = lambda data: prediction(
        picture=picture, top=lambda n: [("nv", SHARES["nv"])]
    )
    assert batch.classify_many(classifier, [tmp_path / "x.jpg"])[0].sets == SETS


def test_the_page_knows_the_limits_of_each_level_and_which_diagnoses_have_none(classifier):
    found = sets.view(classifier, "en")
    assert found["level"] == "0.9"
    assert found["quantiles"] == CALIBRATION["sets"]["quantiles"]
    assert found["always"] == {"0.8": {}, "0.9": {"df": 7}, "0.95": {"df": 7, "vasc": 14}}


def test_what_was_measured_on_the_test_part_is_a_sentence(classifier):
    assert sets.view(classifier, "en")["measured"] == {
        "0.9": "In our test, on pictures of 1,180 other lesions, 91% of the sets at this level "
        "held the true diagnosis (89% to 94%); they had 2.41 diagnoses on average (2.30 to 2.56). "
        "Brackets hold 95% intervals."
    }
    said = sets.view(classifier, "id")["measured"]["0.9"]
    assert "1.180 lesi" in said and "91% kumpulan" in said and "benar (89% sampai 94%)" in said
    assert "2,41 diagnosis (2,30 sampai 2,56)" in said


def test_where_the_lesions_are_unknown_their_pictures_are_counted(classifier):
    del classifier.metrics["sets"]["levels"]["0.9"]["lesions"]
    said = about.sets(classifier, "en")["0.9"]
    assert said.startswith("In our test, on 1,200 other pictures, 91% of the sets")
    assert "dengan 1.200 gambar lain, 91%" in about.sets(classifier, "id")["0.9"]


def test_a_test_without_intervals_gives_the_figures_alone(classifier):
    for key in ("coverage", "size"):
        classifier.metrics["sets"]["levels"]["0.9"][key] |= {"low": None, "high": None}
    assert about.sets(classifier, "en")["0.9"] == (
        "In our test, on pictures of 1,180 other lesions, 91% of the sets at this level held the "
        "true diagnosis; they had 2.41 diagnoses on average."
    )


def test_pictures_that_the_model_was_trained_on_are_no_test_of_its_sets(classifier):
    classifier.metrics["data"]["seen"] = {"trained": 0}
    assert list(about.sets(classifier, "en")) == ["0.9"]
    classifier.metrics["data"]["seen"] = {"trained": 3}
    assert about.sets(classifier, "en") == {}


def test_the_page_knows_whether_the_limits_are_those_of_another_run(classifier):
    assert sets.view(classifier, "en")["inherited"] is False
    classifier.config["calibration"]["inherited"] = "selected"
    assert sets.view(classifier, "en")["inherited"] is True


NONE = figure(None, None, None)


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"data": {"part": "test"}},
        {"data": {"part": "all"}, "sets": {"levels": {"0.9": {}}}},
        {"data": {"part": "test"}, "sets": {"levels": {"0.9": {"coverage": NONE}}}},
    ],
)
def test_without_a_test_of_the_sets_nothing_is_said(classifier, metrics):
    classifier.metrics = metrics
    assert about.sets(classifier, "en") == {}
