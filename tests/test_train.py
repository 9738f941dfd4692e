"""train.py: killed and resumed, repeated on the validation part, refused with sentences."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from made import made_rows, write_dataset
from tiny_runs import arguments, history

import evaluate
import train
from model.data.dataset import DatasetError, decode, rows_of_model
from model.evaluation.calibration import calibrate
from model.folder import ModelFolderError, read_config, read_json, verify, write_json
from model.network.network import load_network, predict_logits
from model.training import trainer

ROOT = Path(__file__).parents[1]


def run(made, output, options=""):
    return train.main(arguments(made, output, options))


def weights(folder):
    return load_network(folder)[0].get_weights()


def test_killed_and_resumed_gives_what_an_unbroken_run_gives(made, trained, tmp_path, capsys):
    """With everything that draws random numbers, and a teacher; on JAX."""
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    options = f"--epochs 4 --teacher {trained} --set mixup=0.2 artefacts=hair"
    command = arguments(made, tmp_path / "killed", options)
    process = subprocess.Popen(
        [sys.executable, "train.py", *command], cwd=ROOT, stdout=subprocess.DEVNULL, env=environment
    )
    state = tmp_path / "killed.training" / "state.json"
    deadline = time.monotonic() + 200
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    epochs = len(read_json(state)["rows"])
    assert 1 <= epochs < 4 and not (tmp_path / "killed").exists()

    with pytest.raises(ModelFolderError, match="continue it with --resume"):
        train.main(command)
    with pytest.raises(ModelFolderError, match=r"other settings of: --epochs, label_share\."):
        train.main([*command, "--resume", "--epochs", "9", "--set", "label_share=0.2"])
    unbroken = arguments(made, tmp_path / "unbroken", options)
    for arguments_ in ([*command, "--resume"], unbroken):
        done = subprocess.run(
            [sys.executable, "train.py", *arguments_],
            cwd=ROOT,
            text=True,
            capture_output=True,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        assert (f"resumed after epoch {epochs}" in done.stdout) == ("--resume" in arguments_)
    verify(tmp_path / "killed")
    losses = [history(tmp_path / name)["val_loss"] for name in ("killed", "unbroken")]
    assert len(losses[0]) == 4
    np.testing.assert_allclose(*losses, rtol=1e-3)

    assert train.main([*command, "--resume"]) == tmp_path / "killed"
    assert "nothing to resume" in capsys.readouterr().out
    with pytest.raises(ModelFolderError, match="holds a finished model"):
        train.main(command)


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_run_that_failed_before_its_first_epoch_can_be_started_again(made, tmp_path, resume):
    output = tmp_path / "run"
    with pytest.raises(DatasetError, match="could not be loaded"):
        run(tmp_path / "nothing", output)
    command = arguments(made, output, "--epochs 1")
    assert train.main([*command, *resume]) == output
    assert read_config(output)["training"]["epochs_run"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"run", "cache"}


def test_paper_recipe_and_a_backbone_from_other_images(made, tmp_path):
    rows = [
        row | {"label": "round" if i % 3 else "flat"}
        for i, row in enumerate(made_rows(8, seed=1000))
    ]
    other = write_dataset(tmp_path / "other", rows)
    first = run(other, tmp_path / "first", "--epochs 1 --label-column label --split-by image")
    assert read_config(first)["labels"] == ["flat", "round"]
    second = run(
        made,
        tmp_path / "second",
        f"--epochs 1 --recipe paper --weights {first} --limit 40 --set head=flatten",
    )
    config = read_config(second)
    assert config["head"] == "flatten" and config["preprocessing"]["scaling"] == "unit"
    assert config["weights"]["dataset"] == "other"
    assert config["weights"]["before"] == {"start": "none"}
    training = config["training"]
    settings = [training[key] for key in ("learning_rate", "epsilon", "optimizer")]
    assert settings == [0.01, 0.1, "adam"]


def test_whole_epochs_in_one_call_give_the_same_losses(made, tmp_path):
    losses = []
    for steps in (1, 0):
        options = f"--epochs 2 --set augment=0 steps_per_execution={steps}"
        rows = history(run(made, tmp_path / str(steps), options))
        assert (rows["images_per_second"] > 0).all()
        losses.append(rows["val_loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


class Stop(keras.callbacks.Callback):
    """Ctrl-C after the first epoch; before that, a second run in the same folder."""

    def __init__(self, again):
        super().__init__()
        self.again = again

    def on_epoch_begin(self, epoch, logs=None):
        with pytest.raises(ModelFolderError, match="another process is training in"):
            self.again()

    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_resumed_run_on_tensorflow_is_the_unbroken_one(made, tmp_path, precision, monkeypatch):
    """With what draws random numbers. mixed_float16 wraps the optimiser in a loss scale."""
    options = f"--epochs 2 --precision {precision} --set mixup=0.2 artefacts=hair"
    whole = run(made, tmp_path / "whole", options)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop = Stop(lambda: run(made, tmp_path / "broken", options))
        patch.setattr(trainer, "rates", lambda *_: [stop])
        run(made, tmp_path / "broken", options)
    broken = run(made, tmp_path / "broken", f"{options} --resume")
    assert read_config(broken)["training"]["precision"] == precision
    for column in ("loss", "val_loss"):
        assert history(broken)[column].tolist() == history(whole)[column].tolist()
        assert np.isfinite(history(whole)[column]).all()


def test_half_precision_is_calibrated_on_the_weights_in_float32(made, tmp_path):
    options = "--epochs 2 --precision mixed_bfloat16 --set learning_rate=0.01"
    folder = run(made, tmp_path / "run", options)
    assert keras.mixed_precision.global_policy().name == "float32"
    network, config = load_network(folder)
    rows = rows_of_model(config, str(made))
    held = rows.find(read_json(folder / "split.json")["validation"])
    logits = predict_logits(network, decode(rows, held, 24, 32, tmp_path / "cache"))
    found = calibrate(logits, rows.truth[held], config["labels"])
    assert found["temperature"] == config["calibration"]["temperature"]
    assert found["threshold"] == pytest.approx(config["calibration"]["threshold"], abs=1e-6)


def test_a_final_run_repeats_the_selected_one_on_validation_too(made, tmp_path):
    """With images of another set, mixed."""
    rows = [
        {"image": row["image"], "image_id": f"X{i}", "kind": "scc" if i % 5 == 0 else row["dx"]}
        for i, row in enumerate(made_rows(3, 1, seed=1000))
    ]
    other = write_dataset(tmp_path / "other", rows)
    selected = run(
        made,
        tmp_path / "selected",
        f"--epochs 3 --extra {other} --set extra_label_column=kind average=0.5 mixup=0.2 "
        "logit_adjust=0.5 monitor=val_loss",
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
    before["keras_calibration"] = {"temperature": 2.5}  # as convert.py leaves it
    write_json(selected / "config.json", before)
    again = f"--final {selected} --set cache={tmp_path / 'cache'} --output {tmp_path}"
    final = train.main(f"{again}/final --results {tmp_path / 'runs.csv'}".split())
    verify(final)
    config = read_config(final)
    assert config["data"]["trained_on"] == counts["train"] + counts["validation"] + 16
    training = config["training"]
    assert training["epochs_run"] == training["best_epoch"] == 2 and training["mixup"] == 0.2
    assert "validation" not in training
    assert training["final"]["validation"] == before["training"]["validation"]
    for key in ("calibration", "keras_calibration"):
        assert config[key] == before[key] | {"inherited": "selected"}
    assert (final / "split.json").read_bytes() == (selected / "split.json").read_bytes()
    rows = history(final)
    assert len(rows) == 2 and "val_loss" not in rows.dtype.names
    # More steps of the same schedule: the rate of its second epoch of three, not of the last.
    assert rows["learning_rate"][-1] > 1e-5
    card = (final / "README.md").read_text()
    assert "Trained on the training and validation parts together" in card
    assert "`selected` on the validation part" in card
    (row,) = csv.DictReader(open(tmp_path / "runs.csv", newline=""))
    assert row["final_of"] == "selected" and row["validation_top_1"] == "" != row["images"]

    with pytest.raises(ModelFolderError, match="trained on its validation part"):
        evaluate.main([str(final), "--part", "validation"])
    shorter = write_dataset(tmp_path / "shorter", made_rows(20)[:-3])
    with pytest.raises(ModelFolderError, match="part of .*selected is another one"):
        train.main(f"{again}/no --dataset {shorter}".split())


def test_averaged_weights_are_those_of_a_final_run(made, tmp_path):
    kept = []
    for average in (0, 0.9):
        options = f"average={average} augment=0 warmup_epochs=0"
        name = f"selected{average}"
        run(made, tmp_path / name, f"--epochs 1 --learning-rate 0.02 --set {options}")
        final = f"--final {tmp_path / name} --output {tmp_path}/final{average}"
        kept.append(weights(train.main(f"{final} --set cache={tmp_path / 'cache'}".split())))
    # An average with the beginning lags behind; were it left out, the two would be equal.
    assert max(np.abs(a - b).max() for a, b in zip(*kept)) > 0.01


@pytest.mark.parametrize(
    "options, sentence",
    [
        ("--weights nothing.h5", "there is no nothing.h5"),
        ("--weights model/compact/model.weights.h5", "Name the folder: model/compact"),
        ("--teacher runs/nothing", "There is no model folder runs/nothing"),
        ("--size 2x2", "at 2x2"),
        ("--label-column diagnosis", "no column 'diagnosis'"),
        ("--task binary --set monitor=val_top_3", "says nothing about 2 labels"),
    ],
)
def test_wrong_settings_are_named(made, tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(made, tmp_path / "run", options)
    assert not {path.name for path in tmp_path.iterdir()} - {"cache"}


def test_imagenet_weights_out_of_reach_end_in_a_sentence(made, tmp_path):
    nowhere = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    options = "--backbone mobilenet_v2 --weights imagenet"
    done = subprocess.run(
        [sys.executable, "train.py", *arguments(made, tmp_path / "run", options)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=os.environ | {"HOME": str(tmp_path)} | nowhere,
    )
    assert done.returncode != 0 and "ImageNet weights" in done.stderr
    assert "--weights model/bundled" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("run*")) == list(tmp_path.glob("cache/*")) == []
