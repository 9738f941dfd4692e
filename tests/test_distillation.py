"""Teachers: their mean answer, whom they are refused for, and train.py with them."""

import shutil

import keras
import numpy as np
import pytest
from made import made_rows, write_dataset
from test_train import kill_after_an_epoch, run, validation_losses

from model.folder import SPLIT, read_config, read_json, write_json
from model.labels import LABELS
from model.network.network import NetworkError, load_network, predict_logits, softmax
from model.training.distillation import Teachers, divergence, read_teachers

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3)).astype("float32")


def test_the_answer_is_the_mean_of_the_calibrated_probabilities(trained):
    network, config = load_network(trained)
    other = keras.models.clone_model(network)
    answer = np.asarray(Teachers([network, other], [1.5, 3.0])(PICTURES))
    expected = softmax(predict_logits(network, PICTURES), 1.5) / 2
    expected += softmax(predict_logits(other, PICTURES), 3.0) / 2
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_a_teacher_of_another_size_gets_the_picture_resized(trained):
    network, _ = load_network(trained)
    large = PICTURES.repeat(3, axis=1).repeat(3, axis=2)
    answer = np.asarray(Teachers([network], [1.0])(large))
    np.testing.assert_allclose(answer, softmax(predict_logits(network, PICTURES)), atol=0.05)


def test_divergence_is_that_of_kullback_and_leibler():
    logits = np.log(np.array([[0.5, 0.3, 0.2]], "float32"))
    answer = np.array([[0.2, 0.3, 0.5]], "float32")
    assert float(divergence(answer, logits)[0]) == pytest.approx(0.3 * np.log(2.5), rel=1e-5)
    assert float(divergence(np.exp(logits), logits)[0]) == pytest.approx(0, abs=1e-6)
    certain = np.array([[1.0, 0.0, 0.0]], "float32")
    assert np.isfinite(np.asarray(divergence(certain, logits, 4.0))).all()


def test_no_teacher_is_none():
    assert read_teachers([], LABELS, np.array([]), None) == (None, [])


def test_a_teacher_that_knows_the_answers_or_other_labels_is_refused(trained, tmp_path):
    split = read_json(trained / SPLIT)
    held = np.array(split["validation"] + split["test"])
    teachers, record = read_teachers([str(trained)], LABELS, held, None)
    assert len(teachers.networks) == 1
    made = read_config(trained)["data"]["dataset"]
    assert record == [
        {
            "name": "made",
            "architecture": "cnn_16_32",
            "size": "24x32",
            "dataset": made,
            "held_out": None,
        }
    ]
    with pytest.raises(NetworkError, match="knows akiec.* learns benign, malignant"):
        read_teachers([str(trained)], ["benign", "malignant"], held, None)
    with pytest.raises(NetworkError, match="was trained on 1 pictures that this run is"):
        read_teachers([str(trained)], LABELS, np.append(held, split["train"][0]), None)
    final = shutil.copytree(trained, tmp_path / "final")
    config = read_config(final)
    config["training"]["final"] = {"like": "made"}
    write_json(final / "config.json", config)
    with pytest.raises(NetworkError, match=f"{len(split['validation'])} pictures"):
        read_teachers([str(final)], LABELS, held, None)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_train_with_two_teachers_and_unlabelled_pictures(made, trained, tmp_path, backend):
    pytest.importorskip(backend)
    more = [
        {"image": row["image"], "image_id": "MORE_" + row["image_id"]} for row in made_rows(4, 1)
    ]
    unlabelled = write_dataset(tmp_path / "more", more)
    options = [
        "--epochs",
        "12",
        "--learning-rate",
        "0.01",
        "--average",
        "0",
        "--augment",
        "0.3",
        "--teacher",
        str(trained),
        str(trained),
        "--unlabelled",
        str(unlabelled),
        "--label-share",
        "0",
        "--artefacts",
        "ruler",
        "hair",
    ]
    done = run(made, tmp_path / "student", *options, backend=backend)
    assert done.returncode == 0, done.stderr
    config = read_config(tmp_path / "student")
    assert [teacher["name"] for teacher in config["training"]["teachers"]] == ["made", "made"]
    assert config["data"]["unlabelled"] == [{"dataset": "more", "images": 28, "left_out": 0}]
    # The labels have no share, so what it knows is from its teachers. By chance it would be ln(7).
    assert config["training"]["validation"]["log_loss"]["value"] < 1.85
    card = (tmp_path / "student" / "README.md").read_text()
    assert "Teachers, whose mean answer" in card and "28 pictures of `more`" in card


def test_killed_and_resumed_with_a_teacher_gives_the_same(made, trained, tmp_path):
    options = ["--epochs", "3", "--teacher", str(trained), "--mixup", "0.2"]
    done = run(made, tmp_path / "unbroken", *options, backend="jax")
    assert done.returncode == 0, done.stderr
    assert 1 <= kill_after_an_epoch(made, tmp_path / "killed", *options) < 3
    other = run(made, tmp_path / "killed", "--epochs", "3", "--resume", backend="jax")
    assert "other settings of: " in other.stderr and "teacher" in other.stderr
    resumed = run(made, tmp_path / "killed", *options, "--resume", backend="jax")
    assert resumed.returncode == 0, resumed.stderr
    unbroken, killed = (validation_losses(tmp_path / name) for name in ("unbroken", "killed"))
    np.testing.assert_allclose(unbroken, killed, rtol=1e-3)
