import atexit
import os
import shutil
import tempfile

import pytest
from hub_server import CLIENT_ENV, HubServer
from made import made_rows, write_dataset

os.environ.update(CLIENT_ENV)  # here, as huggingface_hub reads it when a test imports it

# The runs that tests start on JAX share what they compile, the same network again and again.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    compiled = tempfile.mkdtemp(prefix="jax-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"


@pytest.fixture
def hub(tmp_path_factory):
    """A Hub on localhost with two users: ann (token hf_ann) and bob (hf_bob). See hub_server.py."""
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        server.tokens |= {"hf_ann": "ann", "hf_bob": "bob"}
        yield server


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A small made data set of HAM10000's schema; see made.py."""
    return write_dataset(tmp_path_factory.mktemp("made"), made_rows(20))


@pytest.fixture(scope="session")
def trained(made, tmp_path_factory):
    """A model folder of train.py, convert.py and evaluate.py, made on `made`; not to be changed."""
    import convert
    import evaluate
    import train

    base = tmp_path_factory.mktemp("runs")
    cache = ["--cache", str(base / "cache")]
    results = ["--results", str(base / "runs.csv")]
    options = (
        f"--dataset {made} --output {base / 'made'} --backbone cnn_16_32 --size 24x32 "
        f"--weights none --batch 16 --epochs 40 --learning-rate 0.01 --set cache={base / 'cache'} "
        "head=pooling augment=0.3 average=0.9"
    )
    folder = train.main([*options.split(), *results])
    convert.main([str(folder), *results, *cache])
    evaluate.main([str(folder), "--resamples", "50", *results, *cache])
    return folder
