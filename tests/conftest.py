import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock
from hub_server import CLIENT_ENV, HubServer
from made import made_rows, write_dataset

os.environ.update(CLIENT_ENV)  # here, as huggingface_hub reads it when a test imports it

# Runs on JAX compile the same network again and again: let them share the result.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    compiled = tempfile.mkdtemp(prefix="jax-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"


def pytest_xdist_auto_num_workers(config):
    """Two workers for the whole suite; none for chosen files, or with -s, which xdist ignores."""
    whole = config.args == config.getini("testpaths") and config.option.capture != "no"
    return 2 if whole else 0


@pytest.fixture
def hub(tmp_path_factory):
    """A Hub on localhost with two users: ann (token hf_ann) and bob (hf_bob). See hub_server.py."""
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        server.tokens |= {"hf_ann": "ann", "hf_bob": "bob"}
        yield server


def make_once(tmp_path_factory, name, make):
    """The folder `name`, filled by `make(folder)` once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own in it
    with FileLock(base / f"{name}.lock"):
        if not (base / f"{name}.done").exists():
            make(base / name)
            (base / f"{name}.done").touch()
    return base / name


@pytest.fixture(scope="session")
def decoded(tmp_path_factory):
    """A cache with the pictures of HAM10000 as their fingerprints are made of."""

    def decode(cache):
        from model.data.dataset import load_rows
        from model.data.fingerprints import with_fingerprints

        with_fingerprints(load_rows(Path(__file__).parents[2] / "shared" / "ham10000"), cache)

    return make_once(tmp_path_factory, "decoded", decode)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A small synthetic data set with HAM10000's columns. See made.py."""
    return make_once(tmp_path_factory, "made", lambda f: write_dataset(f, made_rows(20)))


@pytest.fixture(scope="session")
def trained(made, tmp_path_factory):
    """A trained, converted and evaluated model folder. Tests must not change it."""
    return make_once(tmp_path_factory, "runs", lambda base: train_made(made, base)) / "made"


@pytest.fixture
def final(trained, tmp_path):
    """A copy of `trained` that says that it learned its validation part too."""
    from model.folder import CONFIG, read_config, write_checksums, write_json

    copy = shutil.copytree(trained, tmp_path / "final")
    config = read_config(copy)
    config["training"]["final"] = {"like": "another", "epochs": 3}
    write_json(copy / CONFIG, config)
    write_checksums(copy)
    return copy


def train_made(made, base):
    import convert
    import evaluate
    import train

    files = f"--results {base}/runs.csv --cache {base}/cache".split()
    network = "--backbone cnn_16_32 --size 24x32 --weights none --batch 16 --epochs 40".split()
    recipe = "--learning-rate 0.01 --set head=pooling augment=0.3 average=0.9".split()
    place = f"--dataset {made} --output {base}/made --results {base}/runs.csv".split()
    folder = str(train.main([*place, *network, *recipe, f"cache={base}/cache"]))
    convert.main([folder, *files])
    evaluate.main([folder, "--resamples", "50", *files])
