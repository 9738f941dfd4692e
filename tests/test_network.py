import shutil

import numpy as np
import pytest
from keras import layers
from made import drawing

from model.evaluation.calibration import calibrated
from model.folder import ModelFolderError
from model.labels import LABELS
from model.network import network as n
from model.training.weights import load_backbone

pytestmark = pytest.mark.filterwarnings("ignore")


def images(count, height, width):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def small(classes=7):
    return n.build_network("mobilenet_v2", 32, 64, classes)


@pytest.mark.parametrize("head", ["pooling", "flatten"])
def test_mean_of_the_evidence_is_the_logits(head):
    network = n.build_network("cnn_16_32", 32, 64, 7, head=head)
    # Biases start at zero, where they would not show.
    weights = network.get_layer("head").get_weights()
    network.get_layer("head").set_weights([weights[0], np.arange(7, dtype="float32")])
    pixels = images(3, 32, 64)
    out = n.with_evidence(network, {"head": head}).predict(pixels, verbose=0)
    logits = n.predict_logits(network, pixels)
    assert out["evidence"].shape == (3, 8, 16, 7)
    np.testing.assert_allclose(out["evidence"].mean(axis=(1, 2)), logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(out["logits"], logits, rtol=1e-4, atol=1e-5)


@pytest.mark.nightly
def test_published_network_has_its_parameters():
    network = n.build_network("inception_resnet_v2", 75, 75, 7)
    # keras.applications' InceptionResNetV2 without top, and Dense 1536 -> 7.
    assert network.count_params() == 54_336_736 + 1536 * 7 + 7
    assert n.BACKBONES["inception_resnet_v2"].size == 299


@pytest.mark.parametrize(
    "architecture",
    [
        "mobilenet",
        pytest.param("mobilenet_v3_small", marks=pytest.mark.nightly),
        pytest.param("efficientnet_v2_b0", marks=pytest.mark.nightly),
        pytest.param("densenet121", marks=pytest.mark.nightly),
    ],
)
def test_backbones_build_and_answer(architecture):
    network = n.build_network(architecture, 32, 32, 5)
    assert n.predict_logits(network, images(2, 32, 32)).shape == (2, 5)


def test_unknown_backbone_and_missing_weights_are_sentences(tmp_path):
    with pytest.raises(n.NetworkError, match="unknown backbone 'resnet'"):
        n.build_network("resnet", 32, 32, 7)
    network = small()
    with pytest.raises(n.NetworkError, match="there is no"):
        load_backbone(network, "mobilenet_v2", tmp_path / "nothing")
    (tmp_path / "x.weights.h5").write_bytes(b"junk")
    with pytest.raises(n.NetworkError, match="does not fit"):
        load_backbone(network, "mobilenet_v2", tmp_path / "x.weights.h5")
    with pytest.raises(ModelFolderError, match="not a model folder"):
        n.load_network(tmp_path)


def test_backbone_travels_through_a_weights_file(tmp_path):
    first = small(classes=3)
    path = tmp_path / "backbone.weights.h5"
    n.backbone_of(first).save_weights(path)
    second = small(classes=7)
    load_backbone(second, "mobilenet_v2", path)
    for a, b in zip(n.backbone_of(first).get_weights(), n.backbone_of(second).get_weights()):
        np.testing.assert_array_equal(a, b)


def test_half_precision_rounds_kernels_and_leaves_the_rest(tmp_path):
    first = small()
    # Batch statistics outside float16's range, as training leaves them.
    normalisation = n.backbone_of(first).get_layer("bn_Conv1")
    gamma, beta, mean, variance = normalisation.get_weights()
    mean[0], variance[:2] = 1e5, (1e10, 1e-9)
    normalisation.set_weights([gamma, beta, mean, variance])
    whole, half = tmp_path / "whole.weights.h5", tmp_path / "half.weights.h5"
    n.save_weights(first, whole)
    n.save_weights(first, half, "float16")
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert sorted(p.name for p in tmp_path.iterdir()) == [half.name, whole.name]
    second = small()
    second.load_weights(half)
    rounded = 0
    for before, after in zip(first.get_weights(), second.get_weights()):
        assert after.dtype == np.float32
        if before.ndim > 1:
            np.testing.assert_allclose(after, before, rtol=2**-11, atol=2**-24)
            rounded += not (before == after).all()
        else:
            np.testing.assert_array_equal(after, before)
    assert rounded > 50


def test_a_folder_in_half_precision_answers_nearly_the_same(trained, tmp_path):
    network, _ = n.load_network(trained)
    folder = shutil.copytree(trained, tmp_path / "half")
    n.save_weights(network, folder / "model.weights.h5", "float16")
    pixels = np.stack([np.asarray(drawing(dx, i, (32, 24))) for i, dx in enumerate(LABELS)])
    expected = calibrated(n.predict_logits(network, pixels))
    loaded, _ = n.load_network(folder)
    answers = calibrated(n.predict_logits(loaded, pixels))
    assert expected.max() > 0.5 and 0 < np.abs(answers - expected).max() < 0.01
    start = n.build_network("cnn_16_32", 24, 32, 3)
    load_backbone(start, "cnn_16_32", folder)
    for a, b in zip(n.backbone_of(start).get_weights(), n.backbone_of(network).get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("change, taken", [("size", True), ("labels", False), ("head", False)])
def test_the_head_is_taken_where_it_is_for_the_same_labels(trained, change, taken):
    network, config = n.load_network(trained)
    labels = config["labels"][::-1] if change == "labels" else config["labels"]
    head = "published" if change == "head" else config["head"]
    assert config["head"] == "pooling"
    start = n.build_network(config["architecture"], 36, 48, 7, head=head)
    assert load_backbone(start, config["architecture"], trained, labels) is taken
    ours, theirs = start.get_layer("head").get_weights(), network.get_layer("head").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs)) is taken


def test_batchnorm_momentum_reaches_every_layer():
    network = small()
    n.set_batchnorm_momentum(network, 0.5)
    inside = n.backbone_of(network).layers
    momenta = [x.momentum for x in inside if isinstance(x, layers.BatchNormalization)]
    assert len(momenta) == 52 and set(momenta) == {0.5}


def test_all_layers_include_those_of_the_backbone():
    network = n.build_network("cnn_16_32", 24, 32, 3)
    kinds = [type(layer).__name__ for layer in n.all_layers(network)]
    backbone = ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D"]
    head = ["Dropout", "Dense", "GlobalAveragePooling2D"]
    assert kinds == ["InputLayer", "Rescaling", "Sequential", *backbone, *head]


def test_softmax_with_temperature():
    logits = np.array([[1000.0, 1000.0, 0.0]])
    np.testing.assert_allclose(calibrated(logits), [[0.5, 0.5, 0.0]])
    two = calibrated(np.log([[0.8, 0.2]]), 2.0)
    np.testing.assert_allclose(two, [[2 / 3, 1 / 3]])
