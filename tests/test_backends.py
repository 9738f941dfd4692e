"""train.py on each backend: two epochs, and a student of two teachers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from made import made_rows, write_dataset
from tiny_runs import arguments, history

import train
from model.folder import read_config, verify

# Our own modules never import TensorFlow on another backend; Keras may, once it trains.
CODE = """import sys
import train, model.hub.push, model.training.run_folder, model.training.trainer
assert not {"tensorflow", "tf_keras"} & set(sys.modules)
at = sys.argv.index("then")
train.main(sys.argv[1:at])
train.main(sys.argv[at + 1:])
"""


@pytest.fixture(scope="module", params=["tensorflow", "jax", "torch"])
def runs(request, made, trained, tmp_path_factory):
    """The backend and the folders of both runs; the other backends have a process of their own."""
    pytest.importorskip(request.param)
    base = tmp_path_factory.mktemp(request.param)
    rows = [
        {"image": row["image"], "image_id": "MORE_" + row["image_id"]}
        for row in made_rows(4, 1, seed=1000)
    ]
    unlabelled = write_dataset(base / "more", rows)
    # A rate at which raw and averaged weights differ within two epochs.
    first = arguments(made, base / "runs" / "first", "--epochs 2 --learning-rate 0.02")
    student = arguments(
        made,
        base / "runs" / "student",
        f"--epochs 12 --learning-rate 0.01 --teacher {trained} {trained} --unlabelled {unlabelled} "
        "--set average=0 augment=0.3 label_share=0 artefacts=ruler,hair",
    )
    if request.param == "tensorflow":
        train.main(first)
        train.main(student)
    else:
        done = subprocess.run(
            [sys.executable, "-c", CODE, *first, "then", *student],
            cwd=Path(__file__).parents[1],
            text=True,
            capture_output=True,
            env=os.environ | {"KERAS_BACKEND": request.param},
        )
        assert done.returncode == 0, done.stderr
        assert "support `jit_compile" not in done.stderr  # a step that Keras would not compile
    return request.param, base / "runs"


def test_two_epochs_make_a_model_folder(runs):
    backend, base = runs
    folder = base / "first"
    files = "config.json model.weights.h5 split.json fingerprints.npz history.csv history.png "
    files += "README.md SHA256SUMS"
    assert {path.name for path in folder.iterdir()} >= set(files.split())
    verify(folder)
    training = read_config(folder)["training"]
    assert training["device"].startswith(backend) and training["epochs_run"] == 2
    rows = history(folder)
    assert len(rows) == 2
    # The kept weights are those that were validated: averaged ones, of the best epoch.
    best = rows[training["best_epoch"] - 1]
    assert best["val_balanced_accuracy"] == rows["val_balanced_accuracy"].max()
    kept = training["validation"]
    assert kept["top_1"]["value"] == pytest.approx(best["val_accuracy"], abs=1e-4)
    assert kept["balanced_accuracy"]["value"] == pytest.approx(
        best["val_balanced_accuracy"], abs=1e-4
    )
    assert {path.name for path in base.iterdir()} == {"first", "student", "cache"}


def test_a_student_learns_from_two_teachers_and_unlabelled_images(runs):
    folder = runs[1] / "student"
    config = read_config(folder)
    assert [teacher["name"] for teacher in config["training"]["teachers"]] == ["made", "made"]
    assert config["data"]["unlabelled"] == [
        {"dataset": "more", "images": 28, "left_out": 0, "copies": 0}
    ]
    # The labels have no share, so what it knows is from its teachers. By chance it would be ln(7).
    assert config["training"]["validation"]["log_loss"]["value"] < 1.85
    card = (folder / "README.md").read_text()
    assert "Teachers, whose mean answer" in card and "28 pictures of `more`" in card
