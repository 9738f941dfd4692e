"""Teachers: their mean prediction, and which are refused."""

import shutil

import keras
import numpy as np
import pytest

from model.evaluation.calibration import calibrated
from model.folder import CONFIG, WEIGHTS, read_config, write_checksums, write_json
from model.labels import LABELS
from model.network.network import NetworkError, load_network, predict_logits
from model.training import distillation
from model.training.distillation import Teachers, divergence, read_teachers

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3)).astype("float32")


def test_the_answer_is_the_mean_of_the_calibrated_probabilities(trained):
    network, config = load_network(trained)
    other = keras.models.clone_model(network)
    answer = np.asarray(Teachers([network, other], [1.5, 3.0])(PICTURES))
    expected = calibrated(predict_logits(network, PICTURES), 1.5) / 2
    expected += calibrated(predict_logits(other, PICTURES), 3.0) / 2
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_a_teacher_of_another_size_gets_the_picture_resized(trained):
    network, _ = load_network(trained)
    large = PICTURES.repeat(3, axis=1).repeat(3, axis=2)
    answer = np.asarray(Teachers([network], [1.0])(large))
    np.testing.assert_allclose(answer, calibrated(predict_logits(network, PICTURES)), atol=0.05)


def test_a_teacher_is_calibrated_as_what_is_read_of_it(trained, tmp_path):
    """The Keras weights and model.tflite each have a temperature of their own."""
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = read_config(copy)
    config["calibration"]["temperature"] = served = 1.0
    config["keras_calibration"]["temperature"] = keras = 7.0
    write_json(copy / CONFIG, config)
    write_checksums(copy)
    (teachers, _) = read_teachers([str(copy)], LABELS, PICTURES)
    assert teachers.temperatures == [keras]
    (copy / WEIGHTS).unlink()
    recovered, _ = load_network(trained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distillation, "read_network", lambda *given: (recovered, config))
        (teachers, _) = read_teachers([str(copy)], LABELS, PICTURES)
    assert teachers.temperatures == [served]


def test_divergence_is_that_of_kullback_and_leibler():
    logits = np.log(np.array([[0.5, 0.3, 0.2]], "float32"))
    answer = np.array([[0.2, 0.3, 0.5]], "float32")
    assert float(divergence(answer, logits)[0]) == pytest.approx(0.3 * np.log(2.5), rel=1e-5)
    assert float(divergence(np.exp(logits), logits)[0]) == pytest.approx(0, abs=1e-6)
    certain = np.array([[1.0, 0.0, 0.0]], "float32")
    assert np.isfinite(np.asarray(divergence(certain, logits, 4.0))).all()


def test_no_teacher_is_none():
    assert read_teachers([], LABELS, None) == (None, [])


def test_a_teacher_that_knows_other_labels_is_refused(trained):
    teachers, record = read_teachers([str(trained)], LABELS, None)
    assert len(teachers.networks) == 1
    dataset = read_config(trained)["data"]["dataset"]
    assert record == [
        {
            "name": "made",
            "architecture": "cnn_16_32",
            "size": "24x32",
            "dataset": dataset,
            "held_out": None,
        }
    ]
    with pytest.raises(NetworkError, match="knows akiec.* learns benign, malignant"):
        read_teachers([str(trained)], ["benign", "malignant"], None)
