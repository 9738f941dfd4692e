"""The mean of runs: its weights, its record, what takes part and what is refused."""

import shutil

import numpy as np
import pytest
from tiny_runs import arguments

import train
from model.evaluation.runs import row_of
from model.folder import (
    SPLIT,
    WEIGHTS,
    ModelFolderError,
    read_config,
    read_json,
    verify,
    write_checksums,
    write_json,
)
from model.network.network import NetworkError, load_network
from model.training import average


@pytest.fixture(scope="module")
def further(made, trained, tmp_path_factory):
    """A run that continued `trained`."""
    base = tmp_path_factory.mktemp("further")
    options = f"--weights {trained} --epochs 1 --set average=0"
    return train.main(arguments(made, base / "further", options))


def mean_of(*runs, made, output, more=""):
    cache = output.parent / "cache"
    command = f"--output {output} --dataset {made} --cache {cache} {more}"
    return average.main([*map(str, runs), *command.split()])


def test_the_mean_of_two_runs_is_a_model_folder(made, trained, further, tmp_path):
    results = tmp_path / "runs.csv"
    folder = mean_of(
        trained, further, made=made, output=tmp_path / "mean", more=f"--results {results}"
    )
    verify(folder)
    network, config = load_network(folder)
    runs = [load_network(run)[0].get_weights() for run in (trained, further)]
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(*runs))
    for mean, one, other in zip(network.get_weights(), *runs, strict=True):
        np.testing.assert_allclose(mean, (one + other) / 2, rtol=1e-5, atol=1e-6)
    assert "keras_calibration" not in config and "familiarity" not in config
    training = config["training"]
    assert training["mean_of"] == ["made", "further"]
    assert training["command"].startswith("python -m model.training.average ")
    assert "epochs_run" not in training and "minutes" not in training
    assert 0 <= training["validation"]["balanced_accuracy"]["value"] <= 1
    assert read_json(folder / SPLIT) == read_json(trained / SPLIT)
    assert "the mean of the weights of `made`, `further`" in (folder / "README.md").read_text()
    assert f",{row_of(folder)['command']}," in results.read_text()


def test_a_folder_that_is_only_served_takes_part(made, trained, tmp_path):
    served = shutil.copytree(trained, tmp_path / "served")
    (served / WEIGHTS).unlink()
    write_checksums(served)
    folder = mean_of(served, trained, made=made, output=tmp_path / "mean")
    before = load_network(trained)[0].get_weights()
    for mean, weight in zip(load_network(folder)[0].get_weights(), before, strict=True):
        np.testing.assert_allclose(mean, weight, atol=0.01 * np.abs(weight).max())


def test_a_file_of_weights_takes_part(made, trained, further, tmp_path):
    file = shutil.copy(further / WEIGHTS, tmp_path / "further-1.weights.h5")
    folder = mean_of(file, trained, made=made, output=tmp_path / "mean")
    assert read_config(folder)["training"]["mean_of"] == ["further-1.weights.h5", "made"]
    runs = [load_network(run)[0].get_weights() for run in (trained, further)]
    for mean, one, other in zip(load_network(folder)[0].get_weights(), *runs, strict=True):
        np.testing.assert_allclose(mean, (one + other) / 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_a_file_that_holds_no_such_weights_is_named(made, trained, tmp_path, content):
    file = tmp_path / "other.weights.h5"
    file.write_bytes(content)
    with pytest.raises(NetworkError, match="other.weights.h5 does not fit the other runs"):
        mean_of(file, trained, made=made, output=tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def _other_size(folder):
    config = read_config(folder)
    config["input"]["height"] = 48
    write_json(folder / "config.json", config)


def _other_parts(folder):
    split = read_json(folder / SPLIT)
    split["train"], split["validation"] = split["validation"], split["train"]
    write_json(folder / SPLIT, split)


def _final(folder):
    config = read_config(folder)
    config["training"]["final"] = {"like": "made", "epochs": 1}
    write_json(folder / "config.json", config)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (_other_size, "differ in input"),
        (_other_parts, "different parts of their data"),
        (_final, "trained on the validation part too"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(trained, tmp_path, change, sentence):
    other = shutil.copytree(trained, tmp_path / "other")
    change(other)
    with pytest.raises(ModelFolderError, match=sentence):
        average.main([str(trained), str(other), "--output", str(tmp_path / "mean")])
    assert not (tmp_path / "mean").exists()
