"""Broken model folders: Classifier refuses each with a sentence, with which app.py ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model import folder as f
from model.classifier import Classifier
from model.labels import LABELS
from model.sets import prediction_set

ROOT = Path(__file__).parents[1]


def config(**changes):
    def damage(folder):
        f.write_json(folder / f.CONFIG, f.read_json(folder / f.CONFIG) | changes)

    return damage


EVERY = dict.fromkeys(LABELS, 0.9)


def sets(quantiles):
    found = {"method": "threshold", "quantiles": quantiles, "lesions": dict.fromkeys(LABELS, 9)}
    return config(calibration={"temperature": 1, "sets": found})


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


# SHA256SUMS is rewritten after the change: only the contents can give it away.
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
    "a point without its figures": config(
        calibration={"temperature": 1, "points": [{"threshold": 0.1}]}
    ),
    "sets of some labels": sets({"0.8": EVERY, "0.9": EVERY, "0.95": {"mel": 0.9}}),
    "sets of some levels": sets({"0.9": EVERY}),
    "a quantile above 1": sets({"0.8": EVERY, "0.9": EVERY, "0.95": EVERY | {"mel": 1.1}}),
    "sets as a list": config(calibration={"temperature": 1, "sets": [0.9]}),
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
# SHA256SUMS stays as it was.
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
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


def damage(folder: Path, name: str) -> None:
    (WHOLE | ALTERED)[name](folder)
    if name in WHOLE:
        f.write_checksums(folder)


def test_whole_folder_is_taken(copy):
    assert Classifier(copy).labels == f.read_config(copy)["labels"]


def test_the_sets_of_an_earlier_version_are_not_read(copy):
    of_one_level = {"level": 0.9, "quantiles": EVERY, "part": "validation"}
    config(calibration={"temperature": 1, "sets": of_one_level})(copy)
    f.write_checksums(copy)
    assert prediction_set(EVERY, Classifier(copy).config) is None


@pytest.mark.parametrize("name", [*WHOLE, *ALTERED])
def test_never_loaded(copy, name):
    damage(copy, name)
    with pytest.raises(f.ModelFolderError, match=r"^\S.{20,800}$") as caught:
        Classifier(copy)
    assert "\n" not in str(caught.value) and str(copy) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "network cut off",
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("labels out of order", "metrics of another shape", f"{f.METRICS} at 0.5")
        ),
    ],
)
def test_the_page_ends_with_one_sentence(copy, name):
    damage(copy, name)
    ended_with_one_sentence(copy)


@pytest.mark.nightly
def test_the_page_ends_with_one_sentence_where_there_is_no_folder(tmp_path):
    ended_with_one_sentence(tmp_path / "nothing")


def ended_with_one_sentence(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "app.py", "--model", str(folder)],
        cwd=ROOT,
        text=True,
        timeout=300,
        capture_output=True,
        env=os.environ | {"GRADIO_SERVER_PORT": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    said = [line for line in done.stderr.splitlines() if line.startswith("app.py: ")]
    assert said == done.stderr.splitlines()[-1:] and 30 < len(said[0]) < 800, done.stderr[-2000:]


def save(path, outputs, names=("pixels",)):
    """A .tflite for inputs of 24 x 32 pixels, which gives `outputs(tf, pixels)`."""
    tf = pytest.importorskip("tensorflow")
    module = tf.Module()
    spec = [tf.TensorSpec((1, 24, 32, 3), tf.float32, name=name) for name in names]
    module.serve = tf.function(lambda *inputs: outputs(tf, *inputs), input_signature=spec)
    concrete = module.serve.get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert())


# Values that stand out in the file, so that tests can replace them there.
PROBABILITIES = np.float32([0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.19])
FAMILIARITY = np.float32([0.4321])


def gives(probabilities=PROBABILITIES, evidence=True):
    """Outputs that do not depend on the picture."""

    def outputs(tf, pixels, *_):
        zero = tf.reduce_mean(pixels) * 0.0
        out = {
            "probabilities": tf.constant(np.float32([probabilities])) + zero,
            "familiarity": tf.constant(FAMILIARITY) + zero,
        }
        if evidence:
            out["evidence"] = tf.zeros((1, 2, 2, len(probabilities))) + zero
        return out

    return outputs


@pytest.fixture(scope="module")
def whole_network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / f.TFLITE
    save(path, gives())
    return path.read_bytes()


NAN = float("nan")
REPLACED = {
    "NaN": (PROBABILITIES, [NAN] * 7),
    "one NaN": (PROBABILITIES, [*PROBABILITIES[:6], NAN]),
    "infinite": (PROBABILITIES, [float("inf"), *[0.0] * 6]),
    "zeros": (PROBABILITIES, [0.0] * 7),
    "below 0": (PROBABILITIES, [2.0, -1.0, *[0.0] * 5]),
    "familiarity NaN": (FAMILIARITY, [NAN]),
}


def test_a_whole_network_of_another_make_is_taken(copy, whole_network):
    (copy / f.TFLITE).write_bytes(whole_network)
    f.write_checksums(copy)
    assert Classifier(copy).labels == LABELS


@pytest.mark.parametrize("name", REPLACED)
def test_a_network_that_gives_no_probabilities(copy, whole_network, name):
    old, new = (np.float32(values).tobytes() for values in REPLACED[name])
    assert whole_network.count(old) == 1
    (copy / f.TFLITE).write_bytes(whole_network.replace(old, new))
    f.write_checksums(copy)
    with pytest.raises(f.ModelFolderError, match="gives no probabilities"):
        Classifier(copy)


@pytest.mark.parametrize(
    "outputs, names",
    [
        (gives([1 / 8] * 8), ["pixels"]),
        (gives(evidence=False), ["pixels"]),
        (gives(), ["a", "b"]),
        (gives(), ["picture"]),
    ],
    ids=["eight classes", "no evidence", "two inputs", "another input"],
)
def test_a_network_that_does_not_fit(copy, outputs, names):
    save(copy / f.TFLITE, outputs, names)
    f.write_checksums(copy)
    with pytest.raises(f.ModelFolderError, match="fit|loaded"):
        Classifier(copy)


def test_weights_of_nan_are_refused_once_converted(copy):
    import convert
    from model.network.network import load_network

    network, settings = load_network(copy)
    network.set_weights([w * NAN for w in network.get_weights()])
    (copy / f.TFLITE).write_bytes(convert.to_tflite(network, settings, "none"))
    f.write_checksums(copy)
    with pytest.raises(f.ModelFolderError, match="gives no probabilities"):
        Classifier(copy)
