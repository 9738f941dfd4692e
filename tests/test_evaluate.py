"""evaluate.py: what it measures, on which pictures, and what it refuses."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made import drawing, encode, made_rows, write_dataset

import evaluate
from model import folder as f
from model.classifier import Classifier
from model.data.dataset import DatasetError
from model.evaluation import outliers
from model.evaluation.outliers import generate
from model.labels import LABELS

SHARED = Path(__file__).parents[2] / "shared" / "ham10000"


def test_metrics_hold_the_stable_keys_with_intervals(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    for runtime in ("keras", "tflite"):
        figures = metrics[runtime]
        for key in ("top_1", "top_2", "top_3", "balanced_accuracy", "macro_f1", "ece"):
            assert figures[key].keys() == {"value", "low", "high"}
            assert 0 <= figures[key]["value"] <= 1
        assert figures["top_1"]["value"] <= figures["top_2"]["value"] <= figures["top_3"]["value"]
        assert set(figures["per_class"]["mel"]) >= {"precision", "recall", "f1"}
        latency = figures["latency_ms"]
        assert latency["calls"] == 30
        assert latency["min"] <= latency["median"] <= latency["max"]
        assert latency["min"] <= latency["low"] <= latency["mean"] <= latency["high"]
    # Colours tell the made diagnoses apart: well above the seventh that guessing gives.
    assert metrics["tflite"]["balanced_accuracy"]["value"] > 0.5
    assert set(metrics["subgroups"]) == {"dataset", "sex", "age"}
    answered = metrics["decisions"]["risk_coverage"]["points"][0]
    assert answered["accuracy"] == metrics["tflite"]["top_1"]  # all are answered
    for kind in ("confusion", "roc", "reliability", "risk_coverage", "decision_curve"):
        assert (trained / f"{kind}.png").stat().st_size > 500
    for name in ("report.md", "README.md"):
        assert (trained / name).stat().st_size > 500
    f.verify(trained)


def test_own_pictures_need_image_and_dx_alone(trained, tmp_path):
    rows = [{k: row[k] for k in ("image", "dx")} for row in made_rows(4, 1, seed=1000)]
    mine = write_dataset(tmp_path / "mine", rows)
    before = (trained / "metrics.json").read_bytes()
    data = f"{trained} --part all --dataset {mine} --cache {tmp_path}/cache".split()
    metrics = evaluate.main([*data, *f"--output {tmp_path}/out --resamples 20".split()])
    assert metrics["data"] == {
        "dataset": "mine",
        "part": "all",
        "images": 28,
        "lesions": None,
        "seen": {"trained": 0, "validation": 0, "by": "fingerprints"},
    }
    assert (tmp_path / "out" / "report.md").exists()
    assert (trained / "metrics.json").read_bytes() == before


def test_groups_of_ones_own_columns_are_measured(trained, tmp_path):
    tones = [None, 1.0, 2.0, 6.0]
    rows = [
        {key: row[key] for key in ("image", "dx", "sex")} | {"tone": tones[i % 4], "room": "a"}
        for i, row in enumerate(made_rows(4, 1, seed=1000))
    ]
    mine = write_dataset(tmp_path / "mine", rows)
    data = f"{trained} --part all --dataset {mine} --cache {tmp_path}/cache --output {tmp_path}/out"
    data = f"{data} --resamples 20 --group-by".split()
    metrics = evaluate.main([*data, "tone", "room", "sex"])
    groups = metrics["subgroups"]
    assert set(groups) == {"sex", "tone", "room"}
    assert {name: group["n"] for name, group in groups["tone"].items()} == dict.fromkeys(
        ("1", "2", "6", "unknown"), 7
    )
    assert list(groups["room"]) == ["a"]  # all in one group, as asked for
    report = (tmp_path / "out" / "report.md").read_text()
    assert "## By tone\n" in report and "- 7 images without a value (unknown)" in report
    with pytest.raises(DatasetError, match="no column 'tint' to group by; its columns are dx, roo"):
        evaluate.main([*data, "tone", "tint"])


def test_class_folders_are_measured_whatever_their_spelling(trained, tmp_path):
    names = "AK,Basal cell carcinoma,bkl,Dermatofibromas,MEL,melanocytic_Nevi,vascular-lesion"
    for label, name in zip(LABELS, names.split(",")):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(2):
            drawing(label, i).save(tmp_path / "mine" / name / f"{i}.png")
    data = f"{trained} --part all --dataset {tmp_path}/mine --label-column label".split()
    place = f"--output {tmp_path}/out --resamples 20 --cache {tmp_path}/cache".split()
    metrics = evaluate.main([*data, *place])
    assert metrics["data"]["images"] == 14
    assert [figures["support"] for figures in metrics["tflite"]["per_class"].values()] == 7 * [2]
    (tmp_path / "mine" / "MEL" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"1 of 14 pictures of .*mine cannot .*\n  MEL/1.png: "):
        evaluate.main([*data, *place])


def test_outliers_are_told_from_the_real_pictures(trained, tmp_path):
    rows = [{"image": {"bytes": encode(generate("text", i)), "path": None}} for i in range(8)]
    write_dataset(tmp_path / "other_things", rows)
    data = f"{trained} --outliers {tmp_path}/other_things --cache {tmp_path}/cache".split()
    metrics = evaluate.main([*data, *f"--output {tmp_path}/out --resamples 20".split()])
    measured = metrics["familiarity"]
    assert measured["images"] == metrics["tflite"]["n"]
    assert measured["refused"]["value"] <= measured["noticed"]["value"] <= 0.2
    assert set(measured["outliers"]) == {"other_things", "generated"}
    for entry in measured["outliers"].values():
        assert entry["roc_auc"]["value"] > 0.98 and entry["refused"]["value"] > 0.9
    assert "| other things | 8 |" in (tmp_path / "out" / "report.md").read_text()


def test_unreadable_pictures_are_left_out_with_their_lesions(trained):
    classifier, good = Classifier(trained), encode(drawing("mel", 1))
    pictures, lesions = [good, b"junk", good], ["a", "b", "c"]
    found = outliers.measure(classifier, pictures, lesions, {"x": [b"junk", good]}, 20)
    assert found["images"] == 2 and found["outliers"]["x"]["images"] == 1
    with pytest.raises(f.UserError, match="No picture of x can be read"):
        outliers.measure(classifier, [good], ["a"], {"x": [b"junk"]}, 20)


@pytest.mark.parametrize("more", ["--part validation", "--output {base}/elsewhere"])
def test_results_without_the_test_part_in_its_folder_is_refused(trained, tmp_path, more):
    command = f"{trained} --results {tmp_path}/runs.csv {more.format(base=tmp_path)}"
    with pytest.raises(f.ModelFolderError, match="leave out --results, or"):
        evaluate.main(command.split())


def test_figures_that_would_not_be_pushed_are_refused(trained, monkeypatch):
    monkeypatch.setattr(evaluate, "check_push", lambda args: None)  # which asks the Hub
    with pytest.raises(f.ModelFolderError, match="leave out --push-to-hub, or --output and --part"):
        evaluate.main([str(trained), "--part", "validation", "--push-to-hub", "ann/lesions"])


def test_outliers_without_a_tflite_are_refused_before_anything_is_measured(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / f.TFLITE).unlink()
    sentence = f"--outliers measures model.tflite, and {copy} has none: leave out --outliers, or "
    with pytest.raises(f.ModelFolderError, match=re.escape(sentence)):
        evaluate.main([str(copy), "--outliers", "pictures", "--dataset", "nowhere"])


def test_each_file_is_measured_with_its_own_calibration(made, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = f.read_config(copy)
    config["calibration"] |= {"threshold": 0.4}
    config["keras_calibration"] |= {"threshold": 0.2, "temperature": 9.0}
    f.write_json(copy / f.CONFIG, config)
    f.write_checksums(copy)
    command = f"{copy} --resamples 20 --cache {tmp_path}/cache"
    metrics = evaluate.main(command.split())
    assert metrics["tflite"]["suspicious"]["threshold"] == 0.4
    assert metrics["keras"]["suspicious"]["threshold"] == 0.2
    assert metrics["keras"]["log_loss"]["value"] > metrics["tflite"]["log_loss"]["value"] + 0.1
    sentence = "(Keras weights: 9.0000), operating point 0.4000 (Keras weights: 0.2000)."
    for name in ("report.md", "README.md"):
        assert (copy / name).read_text().count(sentence) == 1, name


def test_the_unit_of_a_split_by_image_is_the_image(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = f.read_config(copy)
    command = f"{copy} --part all --output {tmp_path}/out --resamples 20 --cache {tmp_path}/cache"
    for split_by, unit, units in (("lesion", "lesion", 126), ("image", "image", 140)):
        config["data"]["split_by"] = split_by
        f.write_json(copy / f.CONFIG, config)
        f.write_checksums(copy)
        metrics = evaluate.main(command.split())
        assert ("lesions" in metrics["sets"]["levels"]["0.9"]) == (unit == "lesion")
        interval = metrics["tflite"]["interval"]
        assert (interval["unit"], interval["units"]) == (unit, units)
        assert metrics["data"]["lesions"] == 126  # of the pictures, however they were split
        report = (tmp_path / "out" / "report.md").read_text()
        assert f"bootstrap resamples of the {units} {unit}s." in report


def test_another_model_folder_is_not_written_into(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    with pytest.raises(f.ModelFolderError, match="another model folder: choose another --output"):
        evaluate.main([str(trained), "--output", str(copy)])
    f.verify(copy)


def test_output_that_names_the_folder_otherwise_keeps_it_whole(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    other = tmp_path / "x" / ".." / "copy"
    (tmp_path / "x").mkdir()
    evaluate.main([str(copy), "--output", str(other), "--resamples", "20"])
    f.verify(copy)


def test_split_of_another_set_is_a_sentence(trained, tmp_path):
    rows = [row | {"image_id": f"other_{i}"} for i, row in enumerate(made_rows(3, 1))]
    other = write_dataset(tmp_path / "other", rows)
    with pytest.raises(DatasetError, match="not in .*Name the data set that they come from"):
        evaluate.main([str(trained), "--dataset", str(other)])


def test_folder_with_nothing_to_measure_is_a_sentence(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "model.weights.h5").unlink()
    (copy / "model.tflite").unlink()
    with pytest.raises(f.ModelFolderError, match="nothing to evaluate"):
        evaluate.main([str(copy)])


def test_help_is_there_before_anything_heavy_is_imported():
    code = (
        "import contextlib, sys, evaluate\n"
        "with contextlib.suppress(SystemExit): evaluate.main(['--help'])\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'scipy', 'matplotlib', 'datasets', 'jinja2'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0 and "--outliers" in run.stdout, run.stderr


@pytest.mark.nightly
@pytest.mark.skipif(not SHARED.exists(), reason="the real images are not on this machine")
def test_bundled_model_gives_its_stated_figures_on_the_real_test_part(tmp_path):
    stated = f.read_metrics(f.BUNDLED)["tflite"]
    data = f"{f.BUNDLED} --dataset {SHARED} --cache {tmp_path}/cache".split()
    metrics = evaluate.main([*data, *f"--output {tmp_path} --resamples 20".split()])
    assert metrics["data"]["images"] == 828
    for key in ("top_1", "top_3", "balanced_accuracy", "macro_f1"):
        # XNNPACK's kernels differ from one processor to another: a picture or two on the edge.
        assert metrics["tflite"][key]["value"] == pytest.approx(stated[key]["value"], abs=0.01)


def test_a_data_set_that_was_a_folder_elsewhere_must_be_named(trained, tmp_path):
    """The Hub, or its cache, may know another data set by the same name."""
    copy = shutil.copytree(trained, tmp_path / "copy", ignore=shutil.ignore_patterns(f.LOCAL))
    name = f.read_config(copy)["training"]["dataset"]
    sentence = f"{copy} was trained on {name}, a folder that is not here: name the data set with"
    with pytest.raises(DatasetError, match=sentence):
        evaluate.main([str(copy)])
