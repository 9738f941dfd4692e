"""Our model and the stored answers of others: the figures, the differences, what is refused."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from evaluate import tflite_probabilities
from model.data import dataset as d
from model.evaluation.metrics import bootstrap, classification_metrics, clusters_of, interval
from model.folder import ModelFolderError
from model.labels import LABELS
from results import head_to_head as h

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
FIRST = next(iter(h.ENCODERS))
PATHS = [path for _, path, *_ in h.SHOWN]


def write(path, ids, probabilities):
    """A file of answers, each number as it is."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", *LABELS])
        for image_id, row in zip(ids, probabilities):
            writer.writerow([image_id, *(repr(float(value)) for value in row)])


def guesses(truth, seed):
    """Made probabilities [n, 7], right in two of three cases, some too sure and some not enough."""
    random = np.random.default_rng(seed)
    made = random.dirichlet(np.full(len(LABELS), 0.5), len(truth))
    made += random.uniform(0, 1, (len(truth), 1)) * np.eye(len(LABELS))[truth]
    return made / made.sum(axis=1, keepdims=True)


def place(scene):
    paths = [
        word
        for key in ("answers", "dataset", "output", "cache")
        for word in (f"--{key}", str(scene[key]))
    ]
    return [*paths, "--resamples", "60"]


@pytest.fixture
def scene(made, trained, tmp_path):
    """A copy of `trained` that saw neither the list nor its lesions, and seven files of answers.

    The list: the test part, and two of the three views of one lesion, which leaves the copy's train
    part. The other view is the one sibling outside the list.
    """
    rows = d.load_rows(made)
    split = json.loads((trained / "split.json").read_text())
    train = rows.find(split["train"])
    many = Counter(rows.lesion_id[train])
    lesion = next(lesion for lesion in rows.lesion_id[train] if many[lesion] == 3)
    views = np.flatnonzero(rows.lesion_id == lesion)
    split["train"] = rows.image_id[[i for i in train if i not in views]].tolist()
    folder = shutil.copytree(trained, tmp_path / "made")
    (folder / "split.json").write_text(json.dumps(split))
    listed = np.concatenate([views[:2], rows.find(split["test"])])
    ids, truth = rows.image_id[listed].tolist(), rows.truth[listed]
    answers = tmp_path / "answers"
    answers.mkdir()
    lines = [f"{rows.image_id[i]},{rows.dx[i]}\n" for i in listed]
    (answers / "images.csv").write_text("image_id,dx\n" + "".join(lines))
    for seed, stem in enumerate(h.ENCODERS):
        write(answers / f"{stem}.csv", ids, guesses(truth, seed))
    return {
        "folder": folder,
        "rows": rows,
        "views": views,
        "ids": ids,
        "truth": truth,
        "dataset": made,
        "listed": listed,
        "answers": answers,
        "output": tmp_path / "out" / "head_to_head.md",
        "cache": tmp_path / "cache",
    }


def served(scene):
    config = json.loads((scene["folder"] / "config.json").read_text())["input"]
    images = d.decode(
        scene["rows"], scene["listed"], config["height"], config["width"], scene["cache"]
    )
    return tflite_probabilities(scene["folder"], images, timed=False)[0]


def ece(truth, probabilities):
    """The calibration error, in a loop over bins."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    total = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / len(truth)


def expected(truth, probabilities):
    """The figures of the report by scikit-learn, for pictures of all classes."""
    answers = probabilities.argmax(axis=1)
    return [
        sk.accuracy_score(truth, answers),
        sk.balanced_accuracy_score(truth, answers),
        sk.f1_score(truth, answers, average="macro"),
        sk.recall_score(truth, answers, labels=[LABELS.index("mel")], average="macro"),
        ece(truth, probabilities),
    ]


def shown(figures):
    """Cells of the report, without their intervals."""
    return [
        f"{figure * scale:.{places}f}" for figure, (_, _, scale, places, _) in zip(figures, h.SHOWN)
    ]


def rows_of(text, section, heading):
    """{first cell: other cells} of the table that comes after `heading` in a section."""
    part = text.split(f"## {section}")[1].split("\n## ")[0].split(heading)[1]
    lines = part.strip().split("\n\n")[0 if part.lstrip().startswith("|") else 1].splitlines()
    return {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in lines[2:])
    }


def test_the_report_holds_the_figures_of_scikit_learn(scene):
    text = h.main([str(scene["folder"]), *place(scene)])
    assert scene["output"].read_text(encoding="utf-8") == text
    n, truth = len(scene["ids"]), scene["truth"]
    assert n == 20 and {*truth.tolist()} == {*range(7)}
    answers = {"**made**": served(scene).astype(float)} | {
        name: guesses(truth, seed) for seed, name in enumerate(h.ENCODERS.values())
    }
    alone = np.arange(n) >= 2  # the first two have a sibling outside
    for section, chosen in (
        ("All 20 pictures", alone | True),
        ("The 18 pictures without a sibling outside the list", alone),
    ):
        found = rows_of(text, section, "Pictures: ")
        assert [*found] == [*answers]
        for name, cells in found.items():
            figures = expected(truth[chosen], answers[name][chosen])
            assert [cell.split(" ")[0] for cell in cells] == shown(figures), name
            assert all(cell.endswith(")") for cell in cells)
    assert "2 of the 20 share a lesion with a picture outside the list" in text
    config = json.loads((scene["folder"] / "config.json").read_text())
    size = (scene["folder"] / "model.tflite").stat().st_size / 1e6
    assert f"{config['parameters']:,} parameters; training start none" in text
    assert f"{size:.1f} MB" in text
    assert "These are 70 intervals" in text  # seven others, five figures, two sets


def test_differences_are_paired_and_from_our_side(scene):
    truth, n = scene["truth"], len(scene["truth"])
    lesions = scene["rows"].lesion_id[scene["listed"]]
    ours, other = guesses(truth, 1), guesses(truth, 2)
    perfect = np.eye(7)[truth]
    answers = {"ours": ours, "other": other, "perfect": perfect}
    metrics, differences = h.measure(truth, answers, lesions, 200)
    assert [*differences] == ["other", "perfect"] and [*differences["other"]] == PATHS
    for name, theirs in (("other", other), ("perfect", perfect)):
        gaps = np.subtract(expected(truth, ours), expected(truth, theirs))
        found = [differences[name][path]["value"] for path in PATHS]
        np.testing.assert_allclose(found, gaps, atol=2e-6)
    # For accuracy, the paired bootstrap is one over the mean of one number per picture.
    gains = (ours.argmax(axis=1) == truth) * 1.0 - (other.argmax(axis=1) == truth)

    def mean(weights):
        return {"mean": gains @ weights / weights.sum(axis=0)}

    draws = bootstrap(mean, clusters_of(lesions), 200, 0)["mean"]
    assert differences["other"]["top_1",] == pytest.approx(interval(draws), abs=2e-6)
    assert clusters_of(lesions).max() + 1 == n - 1  # two pictures show one lesion
    cells = h.section(metrics, differences)
    worse = next(line for line in cells[cells.index("Ours minus theirs:") :] if "| perfect" in line)
    assert worse.count("*worse*") >= 4 and "*better*" not in worse


def test_a_model_that_answers_as_ours_differs_by_exactly_nothing(scene):
    write(scene["answers"] / f"{FIRST}.csv", scene["ids"], served(scene))
    text = h.main([str(scene["folder"]), *place(scene)])
    for section in ("All 20 pictures", "The 18 pictures without"):
        found = rows_of(text, section, "Ours minus theirs:")
        percent, *others = found[h.ENCODERS[FIRST]]
        assert percent == "+0.00 (+0.00 to +0.00)"
        assert others == ["+0.000 (+0.000 to +0.000)"] * 4
        assert sum("+0.00 (" in cells[0] for cells in found.values()) < len(found)
    probabilities = served(scene)
    lesions = scene["rows"].lesion_id[scene["listed"]]
    answers = {"ours": probabilities, "theirs": probabilities.astype(float)}
    _, differences = h.measure(scene["truth"], answers, lesions, 60)
    assert set(differences["theirs"]) == {*PATHS}
    for figure in differences["theirs"].values():
        assert figure == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_cells_say_for_whom_zero_is_left_out():
    def cell(value, low, high, more=True):
        return h.difference({"value": value, "low": low, "high": high}, 1, 3, more)

    assert cell(0.02, 0.01, 0.03) == "+0.020 (+0.010 to +0.030) *better*"
    assert cell(0.02, 0.01, 0.03, more=False) == "+0.020 (+0.010 to +0.030) *worse*"
    assert cell(-0.02, -0.03, -0.01) == "-0.020 (-0.030 to -0.010) *worse*"
    assert cell(-0.02, -0.03, -0.01, more=False) == "-0.020 (-0.030 to -0.010) *better*"
    assert cell(0.02, 0.0, 0.03) == "+0.020 (+0.000 to +0.030)"
    assert cell(-0.00001, -0.01, 0.01) == "+0.000 (-0.010 to +0.010)"
    assert cell(None, None, None) == "–" and cell(0.5, None, None) == "+0.500"


def test_siblings_outside_the_list_are_counted(scene):
    path, views = scene["answers"] / "images.csv", scene["views"]
    pictures = h.read_pictures(path, scene["rows"])
    assert pictures.image_id == scene["ids"]
    assert pictures.truth.tolist() == scene["truth"].tolist()
    assert pictures.sibling.tolist() == [True, True] + [False] * 18
    with open(path, "a") as file:  # all three views are listed: none is outside
        file.write(f"{scene['rows'].image_id[views[2]]},{scene['rows'].dx[views[2]]}\n")
    assert not h.read_pictures(path, scene["rows"]).sibling.any()


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("view", [0, 2])  # one of the list, and another picture of its lesion
def test_a_model_that_saw_a_picture_or_its_lesion_is_refused(scene, part, view):
    path = scene["folder"] / "split.json"
    split = json.loads(path.read_text())
    seen = str(scene["rows"].image_id[scene["views"][view]])
    split[part].append(seen)
    path.write_text(json.dumps(split))
    with pytest.raises(ModelFolderError, match=f"1 pictures .* {part} part, the first {seen}"):
        h.main([str(scene["folder"]), *place(scene)])
    assert not scene["output"].exists()


def test_a_split_that_says_nothing_is_refused(scene):
    path = scene["folder"] / "split.json"
    split = json.loads(path.read_text())
    for other, error, sentence in (
        (split | {"train": ["other.jpg"]}, d.DatasetError, "1 images are not in"),
        ({"train": split["train"]}, ModelFolderError, "lacks its validation part"),
        ([], ModelFolderError, "lacks its train part"),
    ):
        path.write_text(json.dumps(other))
        with pytest.raises(error, match=sentence):
            h.main([str(scene["folder"]), *place(scene)])
    path.unlink()
    with pytest.raises(ModelFolderError, match="split.json is missing"):
        h.main([str(scene["folder"]), *place(scene)])


@pytest.mark.parametrize("source", ["weights", "teachers"])
def test_a_model_that_learned_from_one_that_saw_them_is_refused(scene, source):
    path = scene["folder"] / "config.json"
    pictures = h.read_pictures(scene["answers"] / "images.csv", scene["rows"])
    own = json.loads(path.read_text())["data"]["dataset"]

    def check(record):
        config = json.loads(path.read_text())
        if source == "weights":
            record = {"start": "first", **record, "before": {"start": "none"}}
            config["weights"] = {"start": "second", "dataset": "isic2019", "before": record}
        else:
            config["training"]["teachers"] = [{"name": "first", **record}]
        path.write_text(json.dumps(config))
        h.check_unseen(scene["folder"], scene["rows"], pictures, Path("images.csv"))

    check({"dataset": "isic2019"})
    check({"dataset": f"isic2019 + {own}", "held_out": {"images": 20}})
    for record in (
        {"dataset": own},
        {"dataset": f"{own} + x", "held_out": {"images": 19}},
        {"dataset": own, "held_out": None},
    ):
        with pytest.raises(ModelFolderError, match=f"learned from first, .* trained on {own}"):
            check(record)


def test_useless_lists_and_answers_are_refused(scene):
    ids, truth = scene["ids"], scene["truth"]
    fine, answers = guesses(truth, 0), scene["answers"] / f"{FIRST}.csv"

    def refused(sentence):
        with pytest.raises(d.DatasetError, match=sentence):
            h.main([str(scene["folder"]), *place(scene)])

    write(answers, ["ISIC_X", *ids[1:]], fine)
    refused(f"{FIRST}.csv does not answer the images of images.csv: 1 are missing and 1 are others")
    write(answers, ids[1:], fine[1:])
    refused("1 are missing and 0 are others")
    write(answers, [*ids, ids[0]], [*fine, fine[0]])
    refused(f"{FIRST}.csv has {ids[0]} more than once")
    for value in (1.5, -0.1, np.nan, 0.5):  # the last leaves a sum that is not 1
        wrong = fine.copy()
        wrong[3, 0] += value
        write(answers, ids, wrong)
        refused(f"{ids[3]} of .*{FIRST}.csv has no probabilities")
    write(answers, ids, fine)
    answers.write_text(answers.read_text().replace("bkl", "bkll"))
    refused("no column 'bkl'")
    answers.unlink()
    refused(f"no file .*{FIRST}.csv")
    path = scene["answers"] / "images.csv"
    text = path.read_text()
    for wrong, sentence in (
        (text.replace(ids[0], "ISIC_X"), "1 images are not in .*, the first ISIC_X"),
        (text + text.splitlines()[1] + "\n", "images.csv has .* more than once"),
        (
            text.replace(f"{ids[0]},{LABELS[truth[0]]}", f"{ids[0]},{LABELS[truth[0] - 1]}"),
            "different versions",
        ),
        ("image_id,dx\n", "lists no image"),
    ):
        path.write_text(wrong)
        refused(sentence)
    assert not scene["output"].exists()


def test_answers_go_by_their_id_and_not_by_their_place(scene):
    path, fine = scene["answers"] / f"{FIRST}.csv", guesses(scene["truth"], 0)
    write(path, scene["ids"][::-1], fine[::-1])
    np.testing.assert_array_equal(h.read_answers(path, scene["ids"]), fine)


def test_a_model_for_other_labels_is_refused(scene):
    path = scene["folder"] / "config.json"
    config = json.loads(path.read_text())
    config["labels"], config["calibration"] = ["benign", "malignant"], {"temperature": 1.0}
    del config["keras_calibration"]
    path.write_text(json.dumps(config))
    with pytest.raises(ModelFolderError, match="knows benign, malignant; the others answer akiec"):
        h.main([str(scene["folder"]), *place(scene)])


def test_an_error_is_a_sentence_and_a_status(tmp_path):
    command = [sys.executable, "-m", "results.head_to_head", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.endswith(f"head_to_head: There is no model folder {tmp_path / 'none'}.\n")
    assert "Traceback" not in done.stderr


def published():
    """The README's table of the real folder: {file: [encoder, accuracy, balanced, mel recall]}."""
    text = (SHARED / "head_to_head" / "README.md").read_text(encoding="utf-8")
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    table = [[cell.strip() for cell in line] for line in lines]
    return {cells[0]: cells[1:] for cells in table if cells[0] not in ("file", "---")}


@pytest.mark.skipif(
    not (SHARED / "head_to_head").exists() or not (SHARED / "ham10000").exists(),
    reason="the real answers (../shared/head_to_head) or pictures are not on this machine",
)
def test_the_real_answers_reach_the_figures_of_their_readme():
    folder, known = SHARED / "head_to_head", published()
    assert known["dermfm_zero"][1:] == ["0.893", "0.832", "0.72"]
    assert [*known] == [*h.ENCODERS]
    pictures = h.read_pictures(folder / "images.csv", d.load_rows(SHARED / "ham10000"))
    assert len(pictures.image_id) == 1503
    assert (~pictures.sibling).sum() == 890
    # The README's 0.811 on these is PanDerm's, though it stands there as DermLIP's.
    alone = {"dermfm_zero": 0.831, "panderm_large": 0.811, "dinov3_l16": 0.672}
    for stem, (encoder, *figures) in known.items():
        assert all(word in encoder for word in re.split(r"[, ()]+", h.ENCODERS[stem]))
        probabilities = h.read_answers(folder / f"{stem}.csv", pictures.image_id)
        found = {}
        for part, i in (("all", slice(None)), ("alone", ~pictures.sibling)):
            found[part] = classification_metrics(
                LABELS, pictures.truth[i], probabilities[i], pictures.lesions[i], resamples=0
            )
        everything = found["all"]
        assert f"{everything['top_1']['value']:.3f}" == figures[0]
        assert f"{everything['balanced_accuracy']['value']:.3f}" == figures[1]
        assert f"{everything['melanoma']['sensitivity']['value']:.2f}" == figures[2]
        if stem in alone:
            figure = found["alone"]["balanced_accuracy"]["value"]
            assert f"{figure:.3f}" == f"{alone[stem]:.3f}"
