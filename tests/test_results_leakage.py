"""The report on leakage: what the two networks of a seed know, and what the tables say of them."""

from dataclasses import replace

import numpy as np
import pytest

from model import folder as f
from model.data import dataset as data
from model.labels import LABELS
from results import leakage as x

NV, MEL = LABELS.index("nv"), LABELS.index("mel")
TINY = "--backbone cnn_16_32 --size 24x32 --epochs 1 --precision float32".split()


def sure(labels) -> np.ndarray:
    """Probabilities [n, 7] of a network that answers `labels`."""
    return np.eye(len(LABELS))[np.asarray(labels)]


@pytest.fixture
def measured():
    """Ten moles and ten melanomas of two pictures a lesion. Split by picture, both seeds are right;
    split by lesion, the first is wrong about all melanomas and the second about half of them."""
    truth = np.repeat([NV, MEL], 10)
    lesions = np.array([f"HAM_{i // 2}" for i in range(20)])
    half = truth.copy()
    half[15:] = NV
    wrong = [sure(np.full(20, NV)), sure(half)]
    return x.Measured(LABELS, truth, lesions, {x.PICTURE: [sure(truth)] * 2, x.LESION: wrong})


def test_figures_are_means_of_the_seeds_and_share_their_resamples(measured):
    found = x.figures(measured, 50)
    assert found[x.PICTURE]["top_1",][0] == 1
    assert found[x.LESION]["top_1",][0] == pytest.approx((0.5 + 0.75) / 2)
    assert found[x.LESION]["balanced_accuracy",][0] == pytest.approx((0.5 + 0.75) / 2)
    again = x.figures(replace(measured, answers={"other": measured.answers[x.LESION]}), 50)
    assert (again["other"]["top_1",] == found[x.LESION]["top_1",]).all()


def test_the_table_has_both_ways_and_their_difference(measured):
    lines = x.section(measured, 50)
    assert lines[0] == (
        "20 pictures of 10 lesions: akiec 0, bcc 0, bkl 0, df 0, mel 10, nv 10, vasc 0."
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:7]]
    assert [row[0] for row in rows] == ["split by picture", "split by lesion", "**difference**"]
    assert rows[0][1] == "100.0 (100.0–100.0)" and rows[1][1].startswith("62.5 (")
    assert rows[2][1].startswith("+37.5 (") and " to " in rows[2][1]
    assert rows[2][4].startswith("+0.750 (")
    assert "accuracy +25.0 to +50.0" in x.seeds_text(measured)
    first = {way: answers[:1] for way, answers in measured.answers.items()}
    assert x.seeds_text(replace(measured, answers=first)) == "There is one seed."


def test_oversampled_before_the_split_only_moles_are_really_tested(measured):
    trained = x.Measured(
        LABELS,
        np.array([MEL] * 4 + [NV] * 4),
        np.array([f"HAM_{100 + i}" for i in range(8)]),
        {x.PICTURE: [sure([MEL, MEL, MEL, NV] + [MEL] * 4), sure([MEL] * 8)]},
    )
    # Moles of the test part: all right. Melanomas of the train part: 3/4 and 4/4.
    figure = x.duplicated(measured, trained, 50)
    assert figure["value"] == pytest.approx((1 + (3 / 4 + 1) / 2) / 2)
    assert figure["low"] <= figure["value"] <= figure["high"] == 1


@pytest.fixture(scope="module")
def reported(made, tmp_path_factory):
    """(folder of the runs, arguments, report) of two tiny networks."""
    base = tmp_path_factory.mktemp("leakage")
    places = {"dataset": made, "runs": base / "runs", "output": base / "out" / "leakage.md"}
    places["cache"] = base / "cache"
    options = [word for key, value in places.items() for word in (f"--{key}", str(value))]
    options += ["--seeds", "1", "--resamples", "20", "--more", *TINY]
    return base / "runs", options, x.main(options)


def split_of(runs, way):
    return f.read_json(x.folder_of(runs, way, 0) / f.SPLIT)


def test_only_the_network_split_by_picture_knows_the_test_lesions(reported, made):
    runs, _, text = reported
    rows = data.load_rows(made)
    lesion = dict(zip(rows.image_id, rows.lesion_id))
    by_picture, by_lesion = (split_of(runs, way) for way in (x.PICTURE, x.LESION))
    test = {lesion[one] for one in by_picture["test"]}
    assert test & {lesion[one] for one in by_picture["train"]}
    assert not test & {lesion[one] for one in by_lesion["train"] + by_lesion["validation"]}
    assert {*by_lesion["train"]} < {*by_picture["train"]}

    known = {lesion[one] for one in by_picture["train"]}
    seen = sum(lesion[one] in known for one in by_picture["test"])
    n = len(by_picture["test"])
    assert f"of {seen} of the {n} test pictures, the train part has another picture" in text
    sections = {part.splitlines()[0]: part for part in text.split("\n## ")[1:]}
    assert sections["All test pictures"].splitlines()[2].startswith(f"{n} pictures")
    assert f"\n{seen} pictures of" in sections["Pictures whose lesion is also in the train part"]
    chosen_by = {lesion[one] for one in by_picture["validation"]} - known
    left_out = sum(lesion[one] in chosen_by for one in by_picture["test"])
    new = sections["Pictures whose lesion is in neither the train nor the validation part"]
    assert f"\n{n - seen - left_out} pictures of" in new
    assert f"Left out here: {left_out} pictures" in new


def test_lesions_of_the_part_that_chose_the_epoch_are_not_new(made):
    rows = data.load_rows(made)
    lesions, views = np.unique(rows.lesion_id, return_counts=True)
    trained, chosen = (np.flatnonzero(rows.lesion_id == one) for one in lesions[views > 1][:2])
    part = {"train": trained[1:], "validation": chosen[1:]}
    others = np.setdiff1d(np.arange(len(rows)), np.concatenate(list(part.values())))
    part["test"] = others
    test, train = (
        x.Measured(LABELS, rows.truth[i], rows.lesion_id[i], dict.fromkeys(ways, [answer]))
        for i, ways, answer in (
            (others, (x.PICTURE, x.LESION), sure(rows.truth[others])),
            (part["train"], (x.PICTURE,), sure(rows.truth[part["train"]])),
        )
    )
    text = "\n".join(x.report_lines(rows, part, (test, train), "command", 5))
    new = text.split("## Pictures whose lesion is in neither")[1].split("\n## ")[0]
    assert f"\n{len(others) - 2} pictures of" in new and "Left out here: 1 pictures" in new


def test_the_command_keeps_finished_runs_and_repeats_its_report(reported):
    runs, options, text = reported
    before = [path.stat().st_mtime_ns for path in sorted(runs.rglob("config.json"))]
    assert x.main(options) == text and len(before) == 2
    assert [path.stat().st_mtime_ns for path in sorted(runs.rglob("config.json"))] == before


def test_runs_that_know_the_test_lesions_are_refused(reported, made, tmp_path):
    runs, _, _ = reported
    rows = data.load_rows(made)
    theirs = {way: split_of(runs, way) for way in (x.PICTURE, x.LESION)}
    theirs[x.LESION]["validation"].append(theirs[x.PICTURE]["test"][0])
    for way, split in theirs.items():
        folder = x.folder_of(tmp_path, way, 0)
        folder.mkdir()
        f.write_json(folder / f.SPLIT, split)
    with pytest.raises(f.UserError, match="remove them"):
        x.parts(rows, tmp_path, 1)
    assert len(x.parts(rows, runs, 1)["test"]) == len(theirs[x.PICTURE]["test"])


def test_what_leakage_adds_is_the_difference_beyond_that_on_new_lesions(measured):
    assert x.excess(measured, measured, 0) == "accuracy +0.0, balanced accuracy +0.000"
    alike = replace(measured, answers={way: measured.answers[x.LESION] for way in measured.answers})
    assert x.excess(measured, alike, 50).startswith("accuracy +37.5 (+")
    assert x.excess(alike, measured, 0) == "accuracy −37.5, balanced accuracy −0.375"
