"""The report on confident wrong answers: which are listed, what is counted, what survives."""

from dataclasses import replace

import numpy as np
import pytest
from made import made_rows, write_dataset
from scipy.stats import binomtest

from model import folder as f
from model.classifier import Classifier
from model.data import dataset as data
from model.hub.card import END
from results import failures as x


def answer(number, truth="nv", label="nv", probability=0.9, **more):
    known = {
        "image_id": f"ISIC_{number}",
        "lesion_id": f"HAM_{number}",
        "suspicious": {"score": 0.3, "threshold": 0.1, "flag": label == "mel"},
        "set": [label],
        "notices": [],
        "place": "inside",
        "middle": 0.5,
        "clinic": "rosendahl",
        "age": 50.0,
        "sex": "male",
        "site": "back",
        "confirmed": "histo",
    }
    return x.Answer(truth=truth, label=label, probability=probability, **(known | more))


@pytest.fixture
def found():
    """100 answers: 30 melanomas taken for moles, the surer the older, the rest right."""
    wrong = [
        answer(i, "mel", "nv", 0.5 + i / 100, clinic="vienna" if i >= 10 else "rosendahl")
        for i in range(30)
    ]
    return wrong + [answer(i) for i in range(30, 100)]


def cells(text, heading):
    """The rows of the table under `heading`, without its head."""
    lines = text.split(f"## {heading}")[1].split("\n## ")[0].splitlines()
    lines = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_most_confident_wrong_answers_come_first_and_right_ones_never(found):
    chosen = x.worst(found)
    assert [one.image_id for one in chosen] == [f"ISIC_{i}" for i in range(29, 9, -1)]
    assert len(x.worst(found[:3] + found[30:])) == 3


def test_the_strongest_place_is_named_and_an_empty_map_has_none():
    strengths = np.zeros((4, 6))
    assert x.place(strengths) == x.BLANK and x.middle(strengths, (1, 1)) is None
    for at, named in (((0, 5), "corner"), ((0, 2), "border"), ((2, 2), "inside")):
        strengths = np.zeros((4, 6))
        strengths[at] = 1
        assert x.place(strengths) == named


def test_the_middle_third_counts_areas_where_they_lie_on_the_picture():
    even = np.ones((6, 6))
    assert x.middle(even, (1, 1)) == pytest.approx(4 / 36)  # two of six rows and columns
    # The same areas in the middle two thirds of the picture: four rows and columns lie inside.
    assert x.middle(even, (2 / 3, 2 / 3)) == pytest.approx(4 * 4 / 36)
    corner = np.zeros((3, 3))
    corner[0, 0] = 1
    assert x.middle(corner, (1, 1)) == 0


def test_a_count_is_unusual_if_chance_would_rarely_give_it():
    assert x.unusual(20, 20, 500, 1000) and x.unusual(0, 20, 500, 1000)
    assert not x.unusual(10, 20, 500, 1000)
    assert not x.unusual(0, 20, 10, 1000)  # so few have it that none is no surprise
    # For many pictures it is a binomial test, one side at a time.
    for count in range(21):
        sides = [binomtest(count, 20, 0.3, way).pvalue for way in ("less", "greater")]
        if abs(min(sides) - x.RARE) > 0.002:
            assert x.unusual(count, 20, 300_000, 1_000_000) == (min(sides) < x.RARE)


def test_shares_among_the_worst_stand_beside_those_of_all(found):
    body, words = x.common(found, 50)
    rows = {row[1].strip("*"): row[2:] for row in body}
    assert rows["mel taken for nv"][:2] == ["20 (100 %)", "100"]
    assert rows["mel taken for nv"][2].startswith("30.0 (")
    assert rows["any other"][0] == "0 (0 %)"
    assert rows["vienna"][:2] == ["20 (100 %)", "67"] and rows["vienna"][2].startswith("20.0 (")
    assert rows["truth in the set at 90 %"][0] == "0 (0 %)"
    bold = {row[1] for row in body if row[1].startswith("**")}
    assert bold == {"**vienna**", "**rosendahl**"}
    assert words["more"] == ["clinic *vienna* (20 of 20; of all pictures 20 %)"]
    assert [word.split(" (")[0] for word in words["less"]] == ["clinic *rosendahl*"]


def test_pictures_of_one_lesion_count_once_where_chance_is_judged(found):
    alike = [replace(one, lesion_id="HAM_1" if one.clinic == "vienna" else "x") for one in found]
    body, words = x.common(alike, 20)
    assert not any(row[1].startswith("**") for row in body) and words == {"more": [], "less": []}
    assert x.lesions_with(lambda one: one.wrong, alike) == (2, 2)


def test_features_that_differ_between_pictures_of_a_lesion_are_never_judged_by_lesion(found):
    # Every lesion has a picture without and one with a notice; the confident errors have none.
    twice = found + [replace(one, label=one.truth, notices=["blurred"]) for one in found]
    body, words = x.common(twice, 20)
    assert not any(row[1].strip("*") == "with a notice" and "**" in row[1] for row in body)
    assert not any("notice" in word for way in words.values() for word in way)
    text = "\n".join(x.report_lines("made", twice, ["mel"], 20, "runs/made"))
    assert "Only clinic, age, sex, site and confirmation are judged so" in text
    assert "fitted to this part, so warnings and sets do better here" in text


def test_a_model_that_saw_its_validation_part_is_refused(final, tmp_path):
    with pytest.raises(f.UserError, match="that part measures nothing"):
        x.main([str(final), "--dataset", "nowhere", "--output", str(tmp_path / "failures.md")])


def test_the_story_names_suspicious_lesions_without_a_warning(found):
    found[29] = answer(29, "nv", "mel", 0.99)  # a harmless one with a warning
    text = "\n".join(x.report_lines("made", found, ["mel"], 20, "runs/made"))
    assert "**No warning** comes with 19 pictures of suspicious lesions (ISIC_28, ISIC_27" in text
    assert "1 pictures of harmless lesions have a warning. Of all 20, the set of 0" in text
    assert "with a warning from 0.10 on" in text
    assert "Most common: mel taken for nv (19)." in text
    first = cells(text, "The pictures")[0]
    assert first[:7] == ["1", "ISIC_29", "HAM_29", "nv", "mel 0.99", "0.30, warned", "mel"]
    assert first[8] == "inside, 50 %" and first[-1] == "histopathology"


def test_a_model_without_operating_point_and_sets_has_a_report(found):
    bare = [answer(i, "mel", "nv", 0.9, suspicious=None, set=None, age=np.nan) for i in range(4)]
    text = "\n".join(x.report_lines("made", bare + [answer(9, set=None)], [], 20, "runs/made"))
    assert "truth in the set" not in text and "No warning" not in text
    assert cells(text, "The pictures")[0][5:7] == ["–", "–"]


def test_a_model_without_errors_is_an_error_in_words(found):
    with pytest.raises(f.UserError, match="right"):
        x.report_lines("made", found[30:], ["mel"], 20, "runs/made")


@pytest.fixture
def mislabelled(tmp_path):
    """The data set `made`, in which every mole is called a vascular lesion."""
    rows = [{**row, "dx": "vasc" if row["dx"] == "nv" else row["dx"]} for row in made_rows(20)]
    return write_dataset(tmp_path / "mislabelled", rows)


def test_answers_are_those_of_the_page(trained, made):
    classifier = Classifier(trained)
    rows = data.rows_of_model(classifier.config, str(made))
    rows = rows.take(rows.find(f.read_json(trained / f.SPLIT)["validation"][:4]))
    for i, one in enumerate(x.answers(classifier, rows)):
        prediction = classifier.predict(rows.encoded(i))
        assert (one.label, one.probability) == prediction.top()[0]
        assert one.notices == prediction.notices and one.truth == rows.dx[i]
        assert one.label in one.set and one.suspicious["threshold"] > 0
        assert (one.clinic, one.site) == (rows.metadata["dataset"][i], "back")
        assert (one.middle is None) == (one.place == x.BLANK)


def test_notes_after_the_report_survive_and_a_file_without_the_comment_is_refused(
    trained, mislabelled, tmp_path
):
    output = tmp_path / "docs" / "failures.md"
    options = [str(trained), "--dataset", str(mislabelled), "--output", str(output)]
    options += ["--resamples", "20"]
    text = x.main(options)
    assert output.read_text() == text and "nv" not in [row[3] for row in cells(text, "The pic")]
    assert all(row[3] == "vasc" for row in cells(text, "The pictures")[:1])
    output.write_text(text + "\nWritten by hand for one model.\n")
    again = x.main(options)
    assert again == text + "\nWritten by hand for one model.\n" == output.read_text()
    output.write_text(text.replace(END, ""))
    with pytest.raises(f.UserError, match="lacks the comment"):
        x.main(options)
