"""Training on several devices gives the losses of one; each in a process of its own, on JAX."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import arguments, history

from model.folder import read_config, verify
from model.network.network import NetworkError
from model.training.trainer import spread

ROOT = Path(__file__).parents[1]
# No augmentation, as each host draws its own.
OPTIONS = "--epochs 2 --learning-rate 0.01 --set augment=0 colour=1"


def start(made, output, more="", **environment):
    return subprocess.Popen(
        [sys.executable, "train.py", *arguments(made, output, f"{OPTIONS} {more}")],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"KERAS_BACKEND": "jax"} | environment,
    )


def losses(folder):
    verify(folder)
    rows = history(folder)
    return [rows[column] for column in ("loss", "val_loss", "val_balanced_accuracy")]


def test_devices_need_jax():
    with pytest.raises(NetworkError, match="--devices 2 needs JAX, and Keras runs on tensorflow"):
        spread(2)
    assert spread(1) == (0, 1)


@pytest.mark.nightly
def test_devices_and_hosts_give_the_losses_of_one_device(made, tmp_path):
    pytest.importorskip("jax")
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
        start(made, tmp_path / "four", "--devices 4", XLA_FLAGS=four),
        *(start(made, tmp_path / "hosts", "--devices 2", **host) for host in hosts),
    ]
    try:
        for process in processes:
            output, _ = process.communicate(timeout=400)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()
    expected = losses(tmp_path / "one")
    for name in ("four", "hosts"):
        np.testing.assert_allclose(losses(tmp_path / name), expected, rtol=1e-3)
    assert read_config(tmp_path / "four")["training"]["device"].endswith("x 4")
    # The second host leaves nothing behind.
    assert {p.name for p in tmp_path.iterdir()} == {"one", "four", "hosts", "cache"}


@pytest.mark.nightly
def test_devices_that_are_missing_end_in_a_sentence(made, tmp_path):
    process = start(made, tmp_path / "run", "--devices 2", XLA_FLAGS="")
    output, _ = process.communicate(timeout=200)
    assert process.returncode != 0 and "JAX finds 1" in output and "Traceback" not in output
    assert list(tmp_path.iterdir()) == []
