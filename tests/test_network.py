import numpy as np
import pytest

from model import network as n
from model.folder import ModelFolderError

pytestmark = pytest.mark.filterwarnings("ignore")


def images(count, height, width):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def small(head="pooling", classes=7, **options):
    network = n.build_network("mobilenet_v2", 32, 64, classes, head=head, **options)
    config = {"architecture": "mobilenet_v2", "head": head}
    return network, config


@pytest.mark.parametrize("head", ["pooling", "flatten"])
def test_mean_of_the_evidence_is_the_logits(head):
    network, config = small(head)
    # Biases start at zero; others would show.
    weights = network.get_layer("head").get_weights()
    network.get_layer("head").set_weights([weights[0], np.arange(7, dtype="float32")])
    pixels = images(3, 32, 64)
    out = n.with_evidence(network, config).predict(pixels, verbose=0)
    logits = n.predict_logits(network, pixels)
    assert out["evidence"].shape == (3, 1, 2, 7)
    np.testing.assert_allclose(out["evidence"].mean(axis=(1, 2)), logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(out["logits"], logits, rtol=1e-4, atol=1e-5)


def test_published_network_has_its_parameters():
    network = n.build_network("inception_resnet_v2", 75, 75, 7)
    # keras.applications' InceptionResNetV2 without top, and Dense 1536 -> 7.
    assert network.count_params() == 54_336_736 + 1536 * 7 + 7
    assert n.BACKBONES["inception_resnet_v2"].size == 299


@pytest.mark.parametrize(
    "architecture", ["mobilenet", "mobilenet_v3_small", "efficientnet_v2_b0", "densenet121"]
)
def test_backbones_build_and_answer(architecture):
    network = n.build_network(architecture, 32, 32, 5)
    assert n.predict_logits(network, images(2, 32, 32)).shape == (2, 5)


def test_unknown_backbone_and_missing_weights_are_sentences(tmp_path):
    with pytest.raises(n.NetworkError, match="unknown backbone 'resnet'"):
        n.build_network("resnet", 32, 32, 7)
    network, _ = small()
    with pytest.raises(n.NetworkError, match="there is no"):
        n.load_backbone(network, "mobilenet_v2", tmp_path / "nothing")
    (tmp_path / "x.weights.h5").write_bytes(b"junk")
    with pytest.raises(n.NetworkError, match="does not fit"):
        n.load_backbone(network, "mobilenet_v2", tmp_path / "x.weights.h5")
    with pytest.raises(ModelFolderError, match="no model folder"):
        n.load_network(tmp_path)


def test_backbone_travels_through_a_weights_file(tmp_path):
    first, _ = small(classes=3)
    path = tmp_path / "backbone.weights.h5"
    n.backbone_of(first).save_weights(path)
    second, _ = small(classes=7)
    n.load_backbone(second, "mobilenet_v2", path)
    for a, b in zip(n.backbone_of(first).get_weights(), n.backbone_of(second).get_weights()):
        np.testing.assert_array_equal(a, b)


def test_batchnorm_momentum_reaches_every_layer():
    from keras import layers

    network, _ = small()
    n.set_batchnorm_momentum(network, 0.5)
    found = [
        x.momentum
        for x in n.backbone_of(network).layers
        if isinstance(x, layers.BatchNormalization)
    ]
    assert len(found) == 52 and set(found) == {0.5}


def test_softmax_with_temperature():
    logits = np.array([[1000.0, 1000.0, 0.0]])
    np.testing.assert_allclose(n.softmax(logits), [[0.5, 0.5, 0.0]])
    two = n.softmax(np.log([[0.8, 0.2]]), 2.0)
    np.testing.assert_allclose(two, [[2 / 3, 1 / 3]])
