"""evaluate.py --shift: what a calibration may see, what is measured, and what becomes of it."""

import json
import os
import shutil

import numpy as np
import pytest
from made import drawing, encode, made_rows, write_dataset

import convert
import evaluate
from model import folder as f
from model.evaluation import shift as s
from model.folder import SHIFT_FILES, UserError
from model.hub.pull import pull
from model.hub.push import push, working_copy
from model.hub.shift import clinic_lines, shift_sentences
from model.labels import LABELS


def answers(clinics, seed=0, each=140):
    """Made answers: `each` pictures a clinic, two of a lesion, mostly right."""
    rng = np.random.default_rng(seed)
    n = each * len(clinics)
    truth = rng.integers(0, len(LABELS), n // 2).repeat(2)
    logits = rng.normal(size=(n, len(LABELS))) + 2.5 * np.eye(len(LABELS))[truth]
    lesions = np.array([f"lesion {i}" for i in range(n // 2)]).repeat(2)
    return s.Answers(logits, truth, lesions, np.repeat(clinics, each))


def changed(before, rows):
    """`before` with nonsense in place of the logits and the truth of `rows`."""
    rng = np.random.default_rng(9)
    logits, truth = before.logits.copy(), before.truth.copy()
    logits[rows] = rng.normal(size=(rows.sum(), len(LABELS))) * 9
    truth[rows] = rng.integers(0, len(LABELS), rows.sum())
    return s.Answers(logits, truth, before.lesions, before.clinics)


# --- clinics


def test_the_calibration_does_not_see_the_clinic_that_is_left_out():
    validation, measured = answers(["A", "B", "C"]), answers(["A", "B", "C"], seed=1)
    # One lesion of clinic B has a picture from A, too.
    validation.lesions[0] = validation.lesions[-141]
    of_b = (validation.clinics == "B") | (validation.lesions == validation.lesions[0])
    before = s.clinics(LABELS, validation, measured, 10)
    after = s.clinics(LABELS, changed(validation, of_b), measured, 10)
    assert before["B"]["others"] == after["B"]["others"]
    assert before["B"]["all"] != after["B"]["all"]
    assert before["A"]["others"] != after["A"]["others"]  # it is calibrated on B


def test_all_clinics_leave_out_the_lesion_that_is_measured():
    before = answers(["A", "B"], each=40)
    own = before.lesions == before.lesions[6]
    assert own.sum() == 2
    other_truth = s.Answers(before.logits, before.truth.copy(), before.lesions, before.clinics)
    other_truth.truth[own] = (before.truth[own] + 1) % len(LABELS)
    one, two = (s.one_lesion_out(LABELS, each) for each in (before, other_truth))
    for key in one:
        assert np.array_equal(one[key][own], two[key][own], equal_nan=True), key
    assert (one["probabilities"][~own] != two["probabilities"][~own]).all()


def test_the_figures_of_a_clinic_are_those_of_its_pictures():
    validation = answers(["A", "B"])
    found = s.clinics(LABELS, validation, None, 50)
    assert list(found) == ["A", "B"]
    entry, calibration = found["A"], s.calibration_of(LABELS, validation.take(np.arange(140, 280)))
    assert (entry["n"], entry["lesions"]) == (140, 70)
    logits = validation.logits[:140] / calibration["temperature"]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    positive = np.isin(validation.truth[:140], [LABELS.index(x) for x in ("akiec", "bcc", "mel")])
    score = shares[:, [LABELS.index(x) for x in ("akiec", "bcc", "mel")]].sum(axis=1)
    caught = (score[positive] >= calibration["threshold"]).mean()
    assert entry["suspicious"] == positive.sum()
    assert entry["others"]["sensitivity"]["value"] == pytest.approx(caught, abs=1e-6)
    own = 1 - shares[np.arange(140), validation.truth[:140]]
    for level, quantiles in calibration["sets"]["quantiles"].items():
        inside = own <= np.array([quantiles[x] for x in LABELS])[validation.truth[:140]]
        inside |= shares.argmax(axis=1) == validation.truth[:140]
        figure = entry["others"]["coverage"][str(level)]
        assert figure["value"] == pytest.approx(inside.mean(), abs=1e-6)
        assert figure["low"] <= figure["value"] <= figure["high"]
    sizes = [entry["others"]["size"][str(level)]["value"] for level in s.LEVELS]
    assert 1 <= sizes[0] <= sizes[1] <= sizes[2] <= len(LABELS)


def test_a_clinic_without_suspicious_pictures_has_no_sensitivity():
    validation = answers(["A", "B"])
    validation.truth[:140] = LABELS.index("nv")
    found = s.clinics(LABELS, validation, None, 10)
    nothing = {"value": None, "low": None, "high": None}
    assert found["A"]["others"]["sensitivity"] == nothing
    # Calibrated on A alone there is no operating point, and so no warning.
    assert found["B"]["others"]["sensitivity"] == found["B"]["others"]["specificity"] == nothing
    assert found["B"]["all"]["sensitivity"]["value"] > 0.5


def test_the_sets_are_those_of_the_page_where_labels_are_equally_probable():
    quantiles = dict.fromkeys(LABELS, 0.1)
    sets = {"method": "threshold", "quantiles": {str(level): quantiles for level in s.LEVELS}}
    tied = s.Answers(np.zeros((1, 7)), np.zeros(1, int), np.array(["a"]), np.array(["A"]))
    found = s.apply(LABELS, {"temperature": 1.0, "sets": sets}, tied)["sets"]
    assert found.sum(axis=2).tolist() == [[1, 1, 1]] and found[0, :, 0].all()


def test_one_clinic_alone_is_a_sentence():
    with pytest.raises(UserError, match="the validation part has one clinic alone"):
        s.clinics(LABELS, answers(["A"]), None, 10)


# --- corruptions


def test_corruptions_are_answered_as_the_page_answers(trained):
    classifier = s.several(trained)
    pictures = [drawing(label, i) for i, label in enumerate(LABELS)]
    files = [encode(one, "PNG") for one in [*pictures, *pictures]]
    truth, lesions = np.tile(np.arange(7), 2), np.arange(14).astype(str)
    found, again = (s.corruptions(classifier, files, truth, lesions, 20) for _ in range(2))
    assert found == again
    assert list(found) == ["none", *s.c.KINDS]
    assert all(len(found[kind]) == 3 for kind in s.c.KINDS)
    answered = [classifier.predict(s.c.at_scale(one)) for one in pictures]
    refused = np.mean([not one.confident for one in answered])
    assert found["none"]["refused"]["value"] == pytest.approx(refused, abs=1e-6)
    hits = np.mean([one.top()[0][0] == label for one, label in zip(answered, LABELS)])
    assert found["none"]["balanced_accuracy"]["value"] == pytest.approx(hits, abs=1e-6)
    keys = {"balanced_accuracy", "log_loss", "sensitivity", "specificity", "refused", "silent"}
    assert set(found["none"]) == set(found["blur"][2]) == keys


def test_silence_is_neither_a_warning_nor_a_notice(trained):
    classifier = s.several(trained)
    point = classifier.config["calibration"]["threshold"]
    mel, nv = LABELS.index("mel"), LABELS.index("nv")
    probabilities = np.zeros((4, 7))
    probabilities[:, mel] = [1, point / 2, point / 2, point / 2]
    probabilities[:, nv] = 1 - probabilities[:, mel]
    refused, truth = np.array([False, True, False, False]), np.array([mel, mel, mel, nv])
    entry = s.answered(classifier, probabilities, refused, truth, list("abcd"), 0)
    assert entry["silent"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert entry["sensitivity"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert (entry["specificity"]["value"], entry["refused"]["value"]) == (1, 0.25)


# --- the model folder


@pytest.fixture(scope="module")
def shifted(trained, tmp_path_factory):
    """A copy of the model folder with the files of both kinds."""
    copy = shutil.copytree(trained, tmp_path_factory.mktemp("shifted") / "copy")
    for kind in ("clinic", "corruptions"):
        run(copy, f"--shift {kind}")
    return copy


def run(folder, options):
    cache = folder.parent / "cache"
    return evaluate.main(f"{folder} --resamples 20 --cache {cache} {options}".split())


def test_the_folder_holds_tables_and_figures_and_the_card_names_the_worst(shifted, trained):
    f.verify(shifted)
    assert set(f.read_checksums(shifted)) - set(f.read_checksums(trained)) == set(SHIFT_FILES)
    records = json.loads((shifted / f.SHIFT).read_text())
    assert {record["part"] for record in records.values()} == {"validation"}
    assert set(records["clinic"]["figures"]) == {"rosendahl", "vidir_modern"}
    clinic, corruptions = ((shifted / name).read_text() for name in SHIFT_FILES if "md" in name)
    assert clinic.count("| the other clinics |") == clinic.count("| all clinics |") == 2
    assert "The network is not trained anew" in clinic
    assert corruptions.count("\n| ") == 2 + 1 + 9 * 3
    card = (shifted / "README.md").read_text()
    assert "[calibration that has not seen the clinic](shift_clinic.md)" in card
    assert "Of nine [corruptions](shift_corruptions.md) at three strengths" in card
    assert "shift" not in (trained / "README.md").read_text()


def test_an_ordinary_evaluation_keeps_them_and_another_model_does_not(shifted, made, tmp_path):
    copy = shutil.copytree(shifted, tmp_path / "copy")
    before = {name: (copy / name).read_bytes() for name in SHIFT_FILES}
    run(copy, "")
    assert {name: (copy / name).read_bytes() for name in SHIFT_FILES} == before
    assert "shift_clinic.md" in (copy / "README.md").read_text()
    f.verify(copy)
    other = shutil.copytree(copy, tmp_path / "other")
    config = f.read_config(copy)
    config["calibration"]["threshold"] /= 2  # so that --recalibrate finds another
    f.write_json(copy / f.CONFIG, config)
    for folder, options in ((copy, ["--recalibrate"]), (other, [])):
        convert.main([str(folder), *options, "--dataset", str(made), "--cache", f"{tmp_path}/c"])
        assert not [name for name in SHIFT_FILES if (folder / name).exists()]
        assert "shift_clinic.md" not in (folder / "README.md").read_text()
        f.verify(folder)


def test_files_are_removed_where_folders_cannot_be_swapped(shifted, tmp_path, monkeypatch):
    monkeypatch.setattr(f, "_exchange", lambda *_: False)
    copy = shutil.copytree(shifted, tmp_path / "copy")
    with f.changing(copy) as new:
        f.remove_measured(new)
        f.write_checksums(new)
    assert not set(os.listdir(copy)) & set(SHIFT_FILES)
    f.verify(copy)


def test_the_test_part_has_a_folder_of_its_own(shifted, tmp_path):
    copy = shutil.copytree(shifted, tmp_path / "copy")
    before = (copy / f.SHIFT).read_bytes()
    record = run(copy, "--shift clinic --part test")
    test = f.read_json(copy / f.SPLIT)["test"]
    assert record["images"] == len(test)
    assert sum(entry["n"] for entry in record["figures"].values()) == len(test)
    assert sorted(os.listdir(copy / "test")) == [
        "shift.json",
        "shift_clinic.md",
        "shift_clinic.png",
    ]
    assert (copy / f.SHIFT).read_bytes() == before


def test_another_column_and_another_output(trained, tmp_path):
    output = tmp_path / "out"
    record = run(trained, f"--shift clinic --group-by sex --output {output}")
    assert set(record["figures"]) == {"female", "male"}
    text = (output / "shift_clinic.md").read_text()
    assert "--shift clinic --group-by sex`" in text
    assert text.startswith("# A group of sex that") and "| the other groups |" in text
    with pytest.raises(UserError, match="the validation part has one clinic alone"):  # all "back"
        run(trained, f"--shift clinic --group-by localization --output {output}")
    with pytest.raises(UserError, match="no column 'camera' to group by"):
        run(trained, f"--shift clinic --group-by camera --output {output}")


def test_bands_of_numbers_are_the_same_in_both_parts(trained, made, tmp_path, monkeypatch):
    rows = [row | {"lux": float(i * 37 % 140)} for i, row in enumerate(made_rows(20))]
    mine = write_dataset(tmp_path / "mine", rows)
    seen = []
    clinics = s.clinics

    def watched(labels, validation, measured, resamples):
        seen.append((set(validation.clinics), set(measured.clinics)))
        return clinics(labels, validation, measured, resamples)

    monkeypatch.setattr(s, "clinics", watched)
    options = f"--shift clinic --part test --group-by lux --dataset {mine} --output {tmp_path}/out"
    record = run(trained, options)
    ((validation, measured),) = seen
    assert measured <= validation and len(validation) == 4
    assert set(record["figures"]) == measured


def test_another_folder_holds_the_last_run_alone(trained, tmp_path):
    run(trained, f"--shift clinic --output {tmp_path}/out")
    run(trained, f"--shift corruptions --output {tmp_path}/out")
    assert set(f.read_json(tmp_path / "out" / f.SHIFT)) == {"corruptions"}


def clinic_of(n, suspicious, coverage, sensitivity, specificity=0.5):
    """What `clinics` returns for a clinic, with the same figures for both calibrations."""

    def figure(value):
        spread = 0 if value in (None, 0, 1) else 0.1
        return {"value": value} | {
            end: None if value is None else value + sign * spread
            for end, sign in (("low", -1), ("high", 1))
        }

    figures = {
        "coverage": {"0.9": figure(coverage)},
        "size": {"0.9": figure(2.0)},
        "sensitivity": figure(sensitivity),
        "specificity": figure(specificity),
        "ece": figure(0.1),
    }
    counts = {"n": n, "lesions": n, "suspicious": suspicious}
    return counts | {"others": figures, "all": figures | {"specificity": figure(0.7)}}


def record_of(figures):
    record = {"part": "validation", "dataset": "ham10000", "images": 90, "column": "dataset"}
    return record | {"resamples": 9, "unit": "lesion", "figures": figures}


def test_the_card_compares_clinics_of_enough_pictures_only(tmp_path):
    figures = {
        "few": clinic_of(9, 5, 0.1, 0.2),
        "unknown": clinic_of(40, 20, 0.1, 0.1),
        "some": clinic_of(40, 9, 0.8, 0.1, 0.3),
        "many": clinic_of(40, 10, 1.0, 1.0),
    }
    f.write_json(tmp_path / f.SHIFT, {"clinic": record_of(figures)})
    (sentence,) = shift_sentences(tmp_path)
    assert "least often at some, for 0.80 (0.70–0.90) of 40 pictures" in sentence
    assert "suspicious pictures at many, 1.00 (0.72–1.00) of 10." in sentence
    assert "Its specificity there was 0.50 (0.40–0.60) of 30, and 0.70 (0.60–0.80) w" in sentence
    assert "The specificity was lowest at some: 0.30 (0.20–0.40) of 31, and 0.70" in sentence
    f.write_json(tmp_path / f.SHIFT, {"clinic": record_of({"few": figures["few"]})})
    (sentence,) = shift_sentences(tmp_path)
    assert sentence.endswith("no clinic has the 10 pictures that a comparison needs.")
    f.write_json(tmp_path / f.SHIFT, {"clinic": record_of(figures) | {"column": "sex"}})
    assert shift_sentences(tmp_path) == []  # of an earlier version


def test_any_name_of_a_group_fits_the_table():
    lines = clinic_lines(record_of({"a|b": clinic_of(9, 5, 0.1, 0.2)}))
    rows = [line for line in lines if line.startswith("|")]
    assert rows[-1].startswith("| a\\|b |")
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


@pytest.mark.parametrize(
    "options, sentence",
    [
        ("--shift clinic --group-by sex", "groups of sex name another folder with --output"),
        ("--shift clinic --part all", "name the test part"),
        ("--shift clinic --outliers x", "--outliers is not for --shift"),
        ("--shift clinic --results runs.csv", "--results is not for --shift"),
    ],
)
def test_what_does_not_go_with_shift_is_refused(trained, options, sentence):
    with pytest.raises(f.ModelFolderError, match=sentence):
        evaluate.main([str(trained), *options.split()])


def test_a_final_run_has_no_part_to_leave_a_clinic_out_of(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = f.read_config(copy)
    config["training"]["final"] = {"like": "runs/selected"}
    f.write_json(copy / f.CONFIG, config)
    for part in ("validation", "test"):
        with pytest.raises(f.ModelFolderError, match="evaluate runs/selected"):
            evaluate.main([str(copy), *f"--shift clinic --part {part}".split()])


def test_the_files_go_to_the_hub_and_come_back(shifted, hub, tmp_path, monkeypatch):
    from huggingface_hub import HfApi

    ann = HfApi(endpoint=hub.url, token="hf_ann")
    folder = shutil.copytree(shifted, tmp_path / "run")
    push(folder, "ann/skin", api=ann)
    pulled = pull("ann/skin", None, ann, tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    copied = working_copy("ann/skin", ann, tmp_path / "cache")
    for name in SHIFT_FILES:
        assert (pulled.folder / name).read_bytes() == (folder / name).read_bytes()
        assert (copied / name).read_bytes() == (folder / name).read_bytes()
    f.remove_measured(folder)
    f.write_checksums(folder)
    push(folder, "ann/skin", api=ann)
    assert not set(hub.files("ann/skin")) & set(SHIFT_FILES)
