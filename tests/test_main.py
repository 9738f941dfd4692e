"""python -m model: the answer in words, as JSON and as CSV, for pictures, folders and zips."""

import csv
import io
import json
import zipfile
from dataclasses import replace

import pytest
from made import drawing, encode
from PIL import Image, ImageFilter
from test_app import ROOT

from model.__main__ import classify, in_words, main
from model.classifier import Classifier
from model.folder import BUNDLED
from model.page import answer, batch
from model.page.sets import sets_of
from model.page.texts import ENGLISH, name, probability, text
from model.warning import suspicious

LESION = ROOT / "model/page/examples/ISIC_0024644.webp"


@pytest.fixture(scope="module")
def classifier():
    return Classifier(BUNDLED)


@pytest.fixture
def folder(tmp_path):
    """Two pictures, one of them in a folder within, and a file that is none."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "one.JPG").write_bytes(encode(drawing("mel", 1, (240, 180))))
    (tmp_path / "two.png").write_bytes(encode(drawing("nv", 2, (240, 180)), "PNG"))
    (tmp_path / "notes.txt").write_text("two lesions")
    return tmp_path


def run(capsys, *arguments, status=0):
    """What the command writes to stdout, and the lines that it writes to stderr."""
    ended = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        ended = end.code
    assert ended == status
    out, err = capsys.readouterr()
    return out, err.splitlines()


def test_the_verdict_comes_first_then_the_probabilities(capsys, classifier):
    lines = run(capsys, LESION)[0].splitlines()
    prediction = classifier.predict(LESION)
    found = suspicious(prediction, classifier.config)
    score, level = (probability(found[key], ENGLISH, 1) for key in ("score", "threshold"))
    assert found["flag"] and prediction.confident
    assert lines.pop(2).startswith("  Set at the 90% level: ")
    assert lines[:2] == [
        str(LESION),
        f"  Show this lesion to a doctor soon. akiec + bcc + mel: {score}, warning level {level}.",
    ]
    shown = [tuple(line.strip().split("  ", 1)) for line in lines[2:9]]
    assert [(diagnosis, p.strip()) for diagnosis, p in shown] == [
        (name(ENGLISH, label), probability(p, ENGLISH, 1)) for label, p in prediction.top(7)
    ]
    assert lines[9:] == ["", "This is not a medical diagnosis."]


def test_a_picture_that_cannot_be_judged_gets_no_verdict_but_the_reason(capsys, tmp_path):
    with Image.open(LESION) as picture:
        picture.filter(ImageFilter.GaussianBlur(picture.width / 50)).save(tmp_path / "blurred.png")
    lines = run(capsys, tmp_path / "blurred.png")[0].splitlines()
    assert lines[1].startswith(f"  {UNSURE} akiec + bcc + mel: ")
    assert lines[2] == f"  {text(ENGLISH, 'notice_blurred')}"


UNSURE = "No reliable answer. Do not rely on the figures below."
WARNS = {"calibration": {"suspicious": ["mel"], "threshold": 0.1}}


@pytest.mark.parametrize(
    "mel, confident, config, said",
    [
        (0.2, True, WARNS, "Show this lesion to a doctor soon. mel: 20.0%, warning level"),
        (0.05, True, WARNS, "Below the warning level. mel: 5.0%, warning level 10.0%. The"),
        (0.2, False, WARNS, f"{UNSURE} mel: 20.0%, warning level 10.0%."),
        (0.2, True, {}, "Most similar to: Melanocytic nevus (nv)."),
        (0.2, False, {}, UNSURE),
    ],
)
def test_the_verdict_goes_by_the_warning_level(mel, confident, config, said):
    values = {"mel": mel, "nv": 1 - mel}
    row = batch.BatchRow("x.jpg", probabilities=values, notices=["lens"], confident=confident)
    row = replace(row, suspicious=suspicious(row, config))
    lines = in_words(row, config).splitlines()
    assert lines[0] == "x.jpg" and lines[1].startswith(f"  {said}")
    assert lines[2] == f"  {text(ENGLISH, 'notice_lens')}" and len(lines) == 5


LIMITS = dict.fromkeys(["mel", "nv", "df", "vasc"], 0.1)
SETS = {
    "sets": {
        "method": "threshold",
        "lesions": {"mel": 40, "nv": 90, "df": 7, "vasc": 14},
        "quantiles": {
            "0.8": LIMITS,
            "0.9": LIMITS | {"mel": 0.8, "df": 1},
            "0.95": LIMITS | {"mel": 0.9, "df": 1, "vasc": 1},
        },
    }
}


def test_the_set_of_the_chosen_level_comes_after_the_verdict():
    values = {"mel": 0.2, "nv": 0.77, "df": 0.02, "vasc": 0.01}
    config = {"calibration": SETS}
    row = batch.BatchRow("x.jpg", probabilities=values, confident=True)
    row = replace(row, sets=sets_of(values, config))

    def said(*level):
        return in_words(row, config, *level).splitlines()[2]

    named = {label: name(ENGLISH, label) for label in values}
    assert said(0.8) == f"  Set at the 80% level: {named['nv']}."
    several = f"{named['nv']}, {named['mel']}, {named['df']}"
    few = "Always in it, for too few validation lesions: df (7)"
    assert said(0.9) == f"  Set at the 90% level: {several}. {few}." == said()
    assert said(0.95) == f"  Set at the 95% level: {several}, {named['vasc']}. {few}, vasc (14)."
    # Not of a picture that the model cannot judge.
    assert "Set at" not in in_words(replace(row, confident=False), config)


def test_the_level_is_chosen_among_those_of_the_model(capsys):
    for level in ("0.8", "0.95"):
        assert run(capsys, LESION, "--level", level)[0]
    for wrong in (["--level", "0.7"], ["--level", "0.8", "--csv"]):
        with pytest.raises(SystemExit):
            main([str(LESION), *wrong])
        assert "argument --level" in capsys.readouterr().err


def test_json_is_what_analyze_answers_and_the_file(capsys, classifier):
    found = json.loads(run(capsys, "--json", LESION, LESION)[0])
    for entry in found:
        assert entry.pop("milliseconds") > 0
    expected = answer.as_json(
        classifier.predict(LESION), classifier, answer.identity(classifier, str(BUNDLED))
    )
    del expected["milliseconds"]
    assert found == [{"file": str(LESION)} | expected] * 2
    assert found[0]["model"]["id"] == "bundled"


def test_csv_is_that_of_the_page_with_the_paths_as_names(capsys, classifier, folder):
    paths = [folder / "more" / "one.JPG", folder / "two.png"]
    out, _ = run(capsys, folder, "--csv")
    rows = batch.classify_many(classifier, paths)
    batch.write_csv(
        [replace(row, name=str(path)) for row, path in zip(rows, paths)], folder / "page.csv"
    )
    assert out.encode() == (folder / "page.csv").read_bytes()
    assert len(list(csv.reader(io.StringIO(out)))) == 3


def test_a_zip_stands_for_its_pictures(classifier, folder):
    with zipfile.ZipFile(folder / "both.zip", "w") as archive:
        archive.write(folder / "two.png", "a/two.png")
        archive.write(folder / "two.png", "b/two.png")
    names = [row.name for row in classify(classifier, [str(folder / "both.zip")])]
    assert names == [f"{folder}/both.zip/a/two.png", f"{folder}/both.zip/b/two.png"]


def test_files_that_cannot_be_used_are_named_and_the_others_answered(capsys, folder):
    (folder / "cut.jpg").write_bytes(LESION.read_bytes()[:3000])
    (folder / "bare").mkdir()
    zipfile.ZipFile(folder / "none.zip", "w").close()
    files = ["cut.jpg", "nowhere.jpg", "bare", "notes.txt", "none.zip", "two.png"]
    out, errors = run(capsys, *(folder / file for file in files), "--json", status=1)
    assert [entry["file"] for entry in json.loads(out)] == [str(folder / "two.png")]
    assert [error.removeprefix(f"{folder}/").partition(" (")[0] for error in errors] == [
        "cut.jpg: The picture is damaged or cut off and cannot be read",
        "nowhere.jpg: There is no such file.",
        "bare: The folder has no pictures.",
        "notes.txt: The file is not a picture that can be read. Send a JPEG, PNG or WebP.",
        "none.zip: The zip has no pictures.",
    ]


def test_a_model_that_is_not_there_is_a_sentence(capsys):
    sentence = "python -m model: There is no folder ./nowhere, and that is no valid Hub id either. "
    sentence += "Use USER/NAME or USER/NAME@REVISION (branch, tag or commit)."
    run(capsys, LESION, "--model", "./nowhere", status=sentence)
