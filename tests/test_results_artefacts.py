"""The report of drawn artefacts: the same drawings for every model, what is measured, its table."""

import shutil

import numpy as np
import pytest

from evaluate import keras_probabilities, tflite_probabilities
from model import folder as f
from model.data.artefacts import KINDS
from results import artefacts as a


def test_every_picture_shows_the_artefact_and_every_call_draws_the_same():
    images = np.random.default_rng(0).integers(60, 200, (5, 48, 64, 3), dtype=np.uint8)
    made, again = dict(a.with_artefacts(images)), dict(a.with_artefacts(images))
    assert list(made) == ["none", *KINDS]
    for kind, pictures in made.items():
        assert (pictures == again[kind]).all()
        changed = [(one != other).any() for one, other in zip(pictures, images)]
        assert all(changed) == (kind != "none") == any(changed), kind


def test_what_is_served_is_measured_and_its_threshold_tells_what_is_unfamiliar(
    trained, made, tmp_path
):
    folder = shutil.copytree(trained, tmp_path / "copy")
    images = np.random.default_rng(0).integers(0, 256, (4, 24, 32, 3), dtype=np.uint8)
    probabilities, unfamiliar = a.answers(folder, images)
    assert np.allclose(probabilities, tflite_probabilities(folder, images, timed=False)[0])
    assert unfamiliar.all()  # noise is no skin
    config = f.read_config(folder)
    config["familiarity"]["threshold"] = 0.0
    f.write_json(folder / f.CONFIG, config)
    f.write_checksums(folder)
    assert not a.answers(folder, images)[1].any()

    (folder / f.TFLITE).unlink()
    probabilities, unfamiliar = a.answers(folder, images)
    assert np.allclose(probabilities, keras_probabilities(folder, images, timed=False)[0])
    assert unfamiliar is None


def test_lesions_are_resampled_only_if_the_split_was_by_lesion(trained, made, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "copy")
    config = f.read_config(folder)
    images = len(f.read_json(folder / f.SPLIT)["validation"])
    units = {}
    for by in ("lesion", "image"):
        config["data"]["split_by"] = by
        f.write_json(folder / f.CONFIG, config)
        metrics = a.measure(folder, str(made), resamples=5, cache=tmp_path / "cache")["none"]
        units[by] = metrics["interval"]["units"]
    assert units["lesion"] < units["image"] == images


def test_the_report_has_a_row_per_model(trained, made, tmp_path):
    other = shutil.copytree(trained, tmp_path / "other")
    (other / f.TFLITE).unlink()
    output = tmp_path / "results" / "report.md"
    places = ["--dataset", made, "--output", output, "--cache", tmp_path / "cache"]
    text = a.main([*map(str, [trained, other, *places]), "--resamples", "20"])
    assert output.read_text() == text
    sections = text.split("\n## ")
    assert [part.splitlines()[0] for part in sections[1:]] == [
        "Balanced accuracy",
        "Log-loss",
        "Refused as unfamiliar",
    ]
    assert all("| none | circle | ruler | ink | hair | light |" in part for part in sections[1:])
    reached = f.read_config(trained)["training"]["validation"]["balanced_accuracy"]["value"]
    keras = next(line for line in sections[1].splitlines() if line.startswith("| other |"))
    assert float(keras.split("|")[2].split()[0]) == pytest.approx(reached, abs=0.0005)
    # A model without model.tflite does not tell what is unfamiliar.
    assert "| other |" in sections[2] and "| other |" not in sections[3]
