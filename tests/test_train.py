"""train.py as a user runs it: on each backend, killed and resumed, refused with sentences."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from made import made_rows, write_dataset

import train
from model.folder import read_config, verify

ROOT = Path(__file__).parents[1]
SMALL = ["--backbone", "cnn_16_32", "--size", "24x32", "--weights", "none", "--batch", "16"]


def command(made, output, *more):
    return [
        sys.executable,
        "train.py",
        "--dataset",
        str(made),
        "--output",
        str(output),
        *SMALL,
        *more,
    ]


def run(made, output, *more, backend="tensorflow", **environment):
    return subprocess.run(
        command(made, output, *more), cwd=ROOT, text=True, capture_output=True,
        env=os.environ | {"KERAS_BACKEND": backend, "LESION_CACHE": str(output.parent / "cache")}
        | environment,
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_two_epochs_on_each_backend_that_is_installed(made, tmp_path, backend):
    if not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    # A rate at which raw and averaged weights part within two epochs.
    done = run(made, tmp_path / "run", "--epochs", "2", "--learning-rate", "0.02", backend=backend)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    assert {p.name for p in folder.iterdir()} >= {
        "config.json", "model.weights.h5", "split.json", "history.csv", "history.png", "README.md", "SHA256SUMS",
    }  # fmt: skip
    verify(folder)
    config = read_config(folder)
    assert config["training"]["device"].startswith(backend)
    assert config["training"]["epochs_run"] == 2
    history = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    assert len(history) == 2 and "val_balanced_accuracy" in history.dtype.names
    # The kept weights are those that were validated: averaged ones, of the best epoch.
    best = history[config["training"]["best_epoch"] - 1]
    assert best["val_balanced_accuracy"] == history["val_balanced_accuracy"].max()
    kept = config["training"]["validation"]
    assert kept["top_1"]["value"] == pytest.approx(best["val_accuracy"], abs=1e-4)
    assert kept["balanced_accuracy"]["value"] == pytest.approx(
        best["val_balanced_accuracy"], abs=1e-4
    )
    assert [p.name for p in tmp_path.iterdir() if "training" in p.name or "partial" in p.name] == []


def test_training_never_imports_tensorflow_on_another_backend():
    code = "import sys, train; assert not {'tensorflow', 'tf_keras'} & set(sys.modules)"
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_killed_and_resumed_gives_what_an_unbroken_run_gives(made, tmp_path):
    unbroken = run(made, tmp_path / "unbroken", "--epochs", "4", backend="jax")
    assert unbroken.returncode == 0, unbroken.stderr
    environment = os.environ | {"KERAS_BACKEND": "jax", "LESION_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(
        command(made, tmp_path / "killed", "--epochs", "4"), cwd=ROOT, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    state = tmp_path / "killed.training" / "state.json"
    deadline = time.monotonic() + 300
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    rows = len(json.loads(state.read_text())["rows"])
    assert 1 <= rows < 4

    refused = run(made, tmp_path / "killed", "--epochs", "4", backend="jax")
    assert refused.returncode != 0 and "--resume" in refused.stderr
    changed = run(made, tmp_path / "killed", "--epochs", "9", "--resume", backend="jax")
    assert changed.returncode != 0 and "other settings of: epochs" in changed.stderr
    resumed = run(made, tmp_path / "killed", "--epochs", "4", "--resume", backend="jax")
    assert resumed.returncode == 0, resumed.stderr
    assert f"resumed after epoch {rows}" in resumed.stdout
    verify(tmp_path / "killed")
    losses = [
        np.genfromtxt(tmp_path / name / "history.csv", delimiter=",", names=True)["val_loss"]
        for name in ("unbroken", "killed")
    ]
    assert len(losses[1]) == 4
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    again = run(made, tmp_path / "killed", "--epochs", "4", "--resume", backend="jax")
    assert again.returncode == 0 and "nothing to resume" in again.stdout
    over = run(made, tmp_path / "killed", "--epochs", "4")
    assert over.returncode != 0 and "holds a finished model" in over.stderr


def test_paper_recipe_and_a_backbone_from_other_pictures(made, tmp_path):
    rows = [row | {"label": "round" if i % 3 else "flat"} for i, row in enumerate(made_rows(8))]
    other = write_dataset(tmp_path / "other", rows)
    first = run(
        other, tmp_path / "first", "--epochs", "1", "--label-column", "label", "--split-by", "image"
    )
    assert first.returncode == 0, first.stderr
    assert read_config(tmp_path / "first")["labels"] == ["flat", "round"]
    second = run(
        made, tmp_path / "second", "--epochs", "1", "--recipe", "paper", "--weights",
        str(tmp_path / "first"), "--limit", "40",
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    config = read_config(tmp_path / "second")
    assert config["head"] == "flatten" and config["preprocessing"]["scaling"] == "unit"
    assert config["weights"]["dataset"] == "other" and config["weights"]["before"] == {
        "start": "none"
    }
    training = config["training"]
    assert (training["learning_rate"], training["epsilon"], training["optimizer"]) == (
        0.01,
        0.1,
        "adam",
    )


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--weights", "nothing.h5"], "there is no nothing.h5"),
        (["--size", "2x2"], "at 2x2"),
        (["--label-column", "diagnosis"], "no column 'diagnosis'"),
    ],
)
def test_wrong_settings_are_named(made, tmp_path, more, sentence):
    arguments = command(made, tmp_path / "run", "--cache", str(tmp_path / "cache"), *more)[2:]
    with pytest.raises(ValueError, match=sentence):
        train.main(arguments)


def test_a_size_that_is_none_is_named(made, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train.main(command(made, tmp_path / "run", "--size", "big")[2:])
    assert "say HxW" in capsys.readouterr().err


def test_imagenet_weights_out_of_reach_end_in_a_sentence(made, tmp_path):
    proxy = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = run(
        made, tmp_path / "run", "--backbone", "mobilenet_v2", "--weights", "imagenet",
        HOME=str(tmp_path), **proxy,
    )  # fmt: skip
    assert done.returncode != 0 and "ImageNet weights" in done.stderr
    assert "Traceback" not in done.stderr
