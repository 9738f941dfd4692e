"""Broken model folders: app.py ends with one sentence, and nothing that was altered is served."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model import folder as f
from model.classifier import Classifier
from model.labels import LABELS

ROOT = Path(__file__).parents[1]


def config(**changes):
    def damage(folder):
        f.write_json(folder / f.CONFIG, f.read_json(folder / f.CONFIG) | changes)

    return damage


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def cut(name, share):
    def damage(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return damage


def flipped(name, share):
    def damage(folder):
        data = bytearray((folder / name).read_bytes())
        data[int(len(data) * share)] ^= 0x40
        (folder / name).write_bytes(data)

    return damage


# Altered, and SHA256SUMS with it: what remains is what the contents tell.
WHOLE = {
    "another format": config(format=2),
    "no format": config(format=None),
    "labels out of order": config(labels=LABELS[::-1]),
    "a label twice": config(labels=["nv"] * 7),
    "one label more": config(labels=[*LABELS, "scc"]),
    "one label less": config(labels=LABELS[:6]),
    "labels as text": config(labels="abcdefg"),
    "labels of numbers": config(labels=[*range(7)]),
    "labels within labels": config(labels=[["a"], ["b"]]),
    "no labels": config(labels=None),
    "another size": config(input={"height": 48, "width": 64}),
    "no size": config(input={"height": 0, "width": 32}),
    "a huge size": config(input={"height": 10**9, "width": 10**9}),
    "no temperature": config(calibration={}),
    "temperature 0": config(calibration={"temperature": 0}),
    "calibration as a list": config(calibration=[1]),
    "endless temperature": config(calibration={"temperature": "inf"}),
    "huge threshold": config(calibration={"temperature": 1, "threshold": 1e9}),
    "familiarity's huge threshold": config(familiarity={"threshold": 1e30}),
    "unknown suspicious label": config(calibration={"temperature": 1, "suspicious": ["scc"]}),
    "no architecture": config(architecture=None),
    "no data": config(data=None),
    "config is a list": write(f.CONFIG, b"[]"),
    "config is empty": write(f.CONFIG, b""),
    "config is binary": write(f.CONFIG, bytes(range(256))),
    "config cut off": cut(f.CONFIG, 0.5),
    "deep config": write(f.CONFIG, b"[" * 100_000),
    "metrics is a list": write(f.METRICS, b"[]"),
    "metrics is a number": write(f.METRICS, b"5"),
    "metrics without figures": write(f.METRICS, b'{"tflite": {"top_1": 5}}'),
    "metrics of another shape": write(f.METRICS, b'{"tflite": [], "data": 5, "conversion": 1}'),
    "metrics cut off": cut(f.METRICS, 0.5),
    "network empty": write(f.TFLITE, b""),
    "network of text": write(f.TFLITE, b"hello" * 1000),
    "network cut off": cut(f.TFLITE, 0.5),
    "network cut off early": cut(f.TFLITE, 0.01),
}
# With the old SHA256SUMS.
ALTERED = {
    **{
        f"{name} at {share}": flipped(name, share)
        for name in (f.CONFIG, f.TFLITE, f.METRICS)
        for share in (0.1, 0.5, 0.999)
    },
    "config missing": lambda folder: (folder / f.CONFIG).unlink(),
    "network missing": lambda folder: (folder / f.TFLITE).unlink(),
    "metrics missing": lambda folder: (folder / f.METRICS).unlink(),
    "sums missing": lambda folder: (folder / f.SUMS).unlink(),
    "sums cut": cut(f.SUMS, 0.5),
    "sums empty": write(f.SUMS, b""),
    "sums binary": write(f.SUMS, bytes(range(256)) * 9),
    "sums of other files": write(f.SUMS, b"0" * 64 + b"  ../../etc/passwd\n"),
}


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(f.BUNDLED, tmp_path / "copy")


def starts(folder) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "app.py", "--model", str(folder)],
        cwd=ROOT,
        text=True,
        timeout=300,
        capture_output=True,
        env=os.environ | {"GRADIO_SERVER_PORT": "1", "HF_HUB_OFFLINE": "1"},
    )


def refused(name, done):
    assert done.returncode == 1 and "Traceback" not in done.stderr, f"{name}: {done.stderr[-2000:]}"
    said = [line for line in done.stderr.splitlines() if line.startswith("app.py: ")]
    assert len(said) == 1 and len(said[0]) > 30, f"{name}: {done.stderr[-2000:]}"
    assert done.stderr.splitlines()[-1] == said[0] and len(said[0]) < 800, f"{name}: {said}"


@pytest.mark.parametrize("name", [*WHOLE, *ALTERED])
def test_never_loaded(copy, name):
    (WHOLE | ALTERED)[name](copy)
    if name in WHOLE:
        f.write_checksums(copy)
    with pytest.raises(f.ModelFolderError, match=r"^\S.{20,800}$") as caught:
        Classifier(copy)
    assert "\n" not in str(caught.value) and str(copy) in str(caught.value)


def test_the_page_ends_with_one_sentence(tmp_path):
    names = [
        "labels out of order",
        "network cut off",
        "metrics of another shape",
        f"{f.METRICS} at 0.5",
    ]
    for name in names:
        folder = shutil.copytree(f.BUNDLED, tmp_path / name)
        (WHOLE | ALTERED)[name](folder)
        if name in WHOLE:
            f.write_checksums(folder)
    folders = [tmp_path / name for name in [*names, "nothing"]]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for folder, done in zip(folders, pool.map(starts, folders)):
            refused(folder.name, done)


def save(path, outputs, names=("pixels",)):
    """A .tflite of 24 x 32 pixels whose outputs are `outputs(pixels)`."""
    tf = pytest.importorskip("tensorflow")
    module = tf.Module()
    spec = [tf.TensorSpec((1, 24, 32, 3), tf.float32, name=name) for name in names]
    module.serve = tf.function(lambda *inputs: outputs(tf, *inputs), input_signature=spec)
    concrete = module.serve.get_concrete_function()
    tf.saved_model.save(module, str(path) + ".saved", signatures={"serve": concrete})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path) + ".saved")
    path.write_bytes(converter.convert())


def made_of(probabilities, evidence=True, **more):
    def outputs(tf, pixels, *_):
        zero = tf.reduce_mean(pixels) * 0.0
        out = {"probabilities": tf.constant([probabilities], tf.float32) + zero}
        if evidence:
            out["evidence"] = tf.zeros((1, 2, 2, len(probabilities))) + zero
        return out | {key: tf.constant([value]) + zero for key, value in more.items()}

    return outputs


SEVENTH = [1 / 7] * 7
NETWORKS = {
    "whole": (made_of(SEVENTH), {}),
    "NaN": (made_of([float("nan")] * 7), {}),
    "one NaN": (made_of([*SEVENTH[:6], float("nan")]), {}),
    "infinite": (made_of([float("inf"), *[0.0] * 6]), {}),
    "zeros": (made_of([0.0] * 7), {}),
    "below 0": (made_of([2.0, -1.0, *[0.0] * 5]), {}),
    "eight": (made_of([1 / 8] * 8), {}),
    "no evidence": (made_of(SEVENTH, False), {}),
    "two inputs": (made_of(SEVENTH), {"names": "ab"}),
    "familiarity NaN": (made_of(SEVENTH, familiarity=float("nan")), {}),
    "another input": (made_of(SEVENTH), {"names": ["picture"]}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_gives_no_probabilities(copy, name):
    outputs, options = NETWORKS[name]
    save(copy / f.TFLITE, outputs, **options)
    shutil.rmtree(copy / f"{f.TFLITE}.saved", ignore_errors=True)
    config(input={"height": 24, "width": 32})(copy)
    f.write_checksums(copy)
    if name == "whole":
        assert Classifier(copy).labels == LABELS
        return
    with pytest.raises(f.ModelFolderError, match="give|fit|loaded"):
        Classifier(copy)


def test_weights_of_nan_are_refused_once_converted(trained, copy, tmp_path):
    import convert
    from model.network.network import load_network

    network, settings = load_network(trained)
    network.set_weights([w * float("nan") for w in network.get_weights()])
    folder = shutil.copytree(trained, tmp_path / "nan")
    (folder / f.TFLITE).write_bytes(convert.to_tflite(network, settings, "none"))
    f.write_checksums(folder)
    with pytest.raises(f.ModelFolderError, match="gives no probabilities"):
        Classifier(folder)


def test_whole_folder_is_taken(copy):
    assert Classifier(copy).labels == json.loads((copy / f.CONFIG).read_text())["labels"]
