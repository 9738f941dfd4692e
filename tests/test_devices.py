"""Training on several devices gives the losses of one; each in a process of its own, on JAX."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.folder import read_config, verify

pytest.importorskip("jax")
ROOT = Path(__file__).parents[1]
SMALL = [
    "--head",
    "pooling",
    "--backbone",
    "cnn_16_32",
    "--size",
    "24x32",
    "--weights",
    "none",
    "--batch",
    "16",
    "--epochs",
    "2",
    "--learning-rate",
    "0.01",
    "--no-peak",
    "--augment",
    "0",
    "--colour",
    "1",
]


def start(made, output, *more, **environment):
    cache = {"LESION_CACHE": str(output.parent / "cache")}
    arguments = ["--dataset", str(made), "--output", str(output), *SMALL, *more]
    return subprocess.Popen(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"KERAS_BACKEND": "jax"} | cache | environment,
    )


def losses(folder):
    verify(folder)
    history = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    return [history["loss"], history["val_loss"], history["val_balanced_accuracy"]]


def test_devices_and_hosts_give_the_losses_of_one_device(made, tmp_path):
    four = "--xla_force_host_platform_device_count=4"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    hosts = [
        {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": str(i),
        }
        for i in range(2)
    ]
    processes = [
        start(made, tmp_path / "one"),
        start(made, tmp_path / "four", "--devices", "4", XLA_FLAGS=four),
        *(start(made, tmp_path / "hosts", "--devices", "2", **host) for host in hosts),
    ]
    try:
        for process in processes:
            said, _ = process.communicate(timeout=400)
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()
    expected = losses(tmp_path / "one")
    for name in ("four", "hosts"):
        np.testing.assert_allclose(losses(tmp_path / name), expected, rtol=1e-3)
    assert read_config(tmp_path / "four")["training"]["device"].endswith("x 4")
    # The second host leaves nothing behind.
    assert {p.name for p in tmp_path.iterdir()} == {"one", "four", "hosts", "cache"}


@pytest.mark.parametrize("backend, sentence", [("tensorflow", "needs JAX"), ("jax", "JAX finds 1")])
def test_devices_that_are_not_there_are_a_sentence(made, tmp_path, backend, sentence):
    process = start(made, tmp_path / "run", "--devices", "2", KERAS_BACKEND=backend, XLA_FLAGS="")
    said, _ = process.communicate(timeout=200)
    assert process.returncode != 0 and sentence in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
