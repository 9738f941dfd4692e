"""train.py as a user runs it: on each backend, killed and resumed, refused with sentences."""

import csv
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

import evaluate
import train
from model.folder import ModelFolderError, read_config, verify, write_json
from model.network.network import load_network

ROOT = Path(__file__).parents[1]
SMALL = [
    "--backbone",
    "cnn_16_32",
    "--head",
    "pooling",
    "--size",
    "24x32",
    "--weights",
    "none",
    "--batch",
    "16",
]


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
        command(made, output, *more),
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=os.environ
        | {"KERAS_BACKEND": backend, "LESION_CACHE": str(output.parent / "cache")}
        | environment,
    )


def kill_after_an_epoch(made, output, *more) -> int:
    """Start a run on JAX and kill it when its first state is there; the epochs it had finished."""
    cache = str(output.parent / "cache")
    process = subprocess.Popen(
        command(made, output, *more),
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "LESION_CACHE": cache},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    state = output.with_name(output.name + ".training") / "state.json"
    deadline = time.monotonic() + 300
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(json.loads(state.read_text())["rows"])


def validation_losses(folder) -> np.ndarray:
    return np.genfromtxt(folder / "history.csv", delimiter=",", names=True)["val_loss"]


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_two_epochs_on_each_backend_that_is_installed(made, tmp_path, backend):
    if not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    # A rate at which raw and averaged weights part within two epochs.
    done = run(made, tmp_path / "run", "--epochs", "2", "--learning-rate", "0.02", backend=backend)
    assert done.returncode == 0, done.stderr
    assert "support `jit_compile" not in done.stderr  # a step that Keras would not compile
    folder = tmp_path / "run"
    assert {p.name for p in folder.iterdir()} >= {
        "config.json",
        "model.weights.h5",
        "split.json",
        "history.csv",
        "history.png",
        "README.md",
        "SHA256SUMS",
    }
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
    rows = kill_after_an_epoch(made, tmp_path / "killed", "--epochs", "4")
    assert not (tmp_path / "killed").exists()
    assert 1 <= rows < 4

    refused = run(made, tmp_path / "killed", "--epochs", "4", backend="jax")
    assert refused.returncode != 0 and "--resume" in refused.stderr
    changed = run(made, tmp_path / "killed", "--epochs", "9", "--resume", backend="jax")
    assert changed.returncode != 0 and "other settings of: epochs" in changed.stderr
    resumed = run(made, tmp_path / "killed", "--epochs", "4", "--resume", backend="jax")
    assert resumed.returncode == 0, resumed.stderr
    assert f"resumed after epoch {rows}" in resumed.stdout
    verify(tmp_path / "killed")
    losses = [validation_losses(tmp_path / name) for name in ("unbroken", "killed")]
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
        made,
        tmp_path / "second",
        "--epochs",
        "1",
        "--recipe",
        "paper",
        "--weights",
        str(tmp_path / "first"),
        "--limit",
        "40",
        "--head",
        "flatten",
    )
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


def test_whole_epochs_in_one_call_give_the_same_losses(made, tmp_path):
    losses = []
    for steps in ("1", "epoch"):
        done = run(
            made,
            tmp_path / steps,
            "--epochs",
            "2",
            "--augment",
            "0",
            "--no-peak",
            "--steps-per-execution",
            steps,
        )
        assert done.returncode == 0, done.stderr
        history = np.genfromtxt(tmp_path / steps / "history.csv", delimiter=",", names=True)
        losses.append([history["val_loss"], history["images_per_second"] > 0])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_a_final_run_repeats_the_selected_one_on_validation_too(made, tmp_path):
    """With pictures of another set, mixed; then converted, as any folder."""
    rows = [
        {"image": row["image"], "image_id": f"X{i}", "kind": "scc" if i % 5 == 0 else row["dx"]}
        for i, row in enumerate(made_rows(3, 1))
    ]
    other = write_dataset(tmp_path / "other", rows)
    cache = ["--cache", str(tmp_path / "cache"), "--no-peak"]
    selected = train.main(
        [
            *command(
                made,
                tmp_path / "selected",
                "--epochs",
                "3",
                "--average",
                "0.5",
                "--mixup",
                "0.2",
                "--logit-adjust",
                "0.5",
                "--extra",
                str(other),
                "--extra-label-column",
                "kind",
                "--monitor",
                "val_loss",
            )[2:],
            *cache,
        ]
    )
    before = read_config(selected)
    extra = before["data"]["extra"][0]
    assert (extra["dataset"], extra["images"], extra["left_out"]["label"]) == ("other", 16, 5)
    counts = {part: sum(n.values()) for part, n in before["data"]["counts"].items()}
    assert before["data"]["trained_on"] == counts["train"] + 16
    card = (selected / "README.md").read_text()
    assert "images of `other` were trained on" in card

    # A best epoch before the last, which a short run may not have by itself.
    before["training"]["best_epoch"] = 2
    write_json(selected / "config.json", before)
    final = train.main(
        [
            "--final",
            str(selected),
            "--output",
            str(tmp_path / "final"),
            "--results",
            str(tmp_path / "runs.csv"),
            *cache,
        ]
    )
    verify(final)
    config = read_config(final)
    assert config["data"]["trained_on"] == counts["train"] + counts["validation"] + 16
    training = config["training"]
    assert training["epochs_run"] == training["best_epoch"] == 2 and training["mixup"] == 0.2
    assert "validation" not in training
    assert training["final"]["validation"] == before["training"]["validation"]
    assert config["calibration"] == before["calibration"] | {"inherited": "selected"}
    assert (final / "split.json").read_bytes() == (selected / "split.json").read_bytes()
    history = np.genfromtxt(final / "history.csv", delimiter=",", names=True)
    assert len(history) == 2 and "val_loss" not in history.dtype.names
    # More steps of the same schedule: the rate of its second epoch of three, not of the last.
    assert history["learning_rate"][-1] > 1e-5
    card = (final / "README.md").read_text()
    assert "Trained on the training and validation parts together" in card
    assert "`selected` on the validation part" in card
    (row,) = csv.DictReader(open(tmp_path / "runs.csv", newline=""))
    assert row["final_of"] == "selected" and row["validation_top_1"] == "" != row["images"]

    with pytest.raises(ModelFolderError, match="trained on its validation part"):
        evaluate.main([str(final), "--part", "validation"])
    shorter = write_dataset(tmp_path / "shorter", made_rows(20)[:-3])
    with pytest.raises(ModelFolderError, match="part of .*selected is another one"):
        train.main(
            [
                "--final",
                str(selected),
                "--output",
                str(tmp_path / "no"),
                "--dataset",
                str(shorter),
                *cache,
            ]
        )


def test_averaged_weights_are_those_of_a_final_run(made, tmp_path):
    cache = ["--cache", str(tmp_path / "cache"), "--no-peak"]
    kept = {}
    for average in ("0", "0.9"):
        folder = train.main(
            [
                *command(
                    made,
                    tmp_path / f"selected{average}",
                    "--epochs",
                    "1",
                    "--average",
                    average,
                    "--augment",
                    "0",
                    "--learning-rate",
                    "0.02",
                    "--warmup-epochs",
                    "0",
                )[2:],
                *cache,
            ]
        )
        final = ["--final", str(folder), "--output", str(tmp_path / f"final{average}")]
        kept[average] = load_network(train.main([*final, *cache]))[0].get_weights()
    fresh = kept["0.9"], kept["0"]
    # An average with the beginning lags behind; were it left out, the two would be equal.
    assert max(np.abs(a - b).max() for a, b in zip(*fresh)) > 0.01


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
        made,
        tmp_path / "run",
        "--backbone",
        "mobilenet_v2",
        "--weights",
        "imagenet",
        HOME=str(tmp_path),
        **proxy,
    )
    assert done.returncode != 0 and "ImageNet weights" in done.stderr
    assert "Traceback" not in done.stderr
