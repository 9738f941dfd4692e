import shutil

import numpy as np
import pytest
from huggingface_hub import HfApi
from made import drawing

import convert
from model.evaluation.calibration import calibrated
from model.folder import BUNDLED, WEIGHTS, read_config, write_checksums, write_json
from model.hub.pull import START, pull
from model.labels import LABELS
from model.network import network as n
from model.training import recover as module
from model.training.recover import recover
from model.training.weights import load_backbone


def pictures(height, width):
    return np.stack([np.asarray(drawing(dx, i, (width, height))) for i, dx in enumerate(LABELS)])


@pytest.fixture
def served(trained, tmp_path):
    """The trained folder as it is served: without Keras weights."""
    folder = shutil.copytree(trained, tmp_path / "served")
    (folder / WEIGHTS).unlink()
    return folder


@pytest.mark.parametrize("quantize", ["dynamic", "none", "float16", "int8"])
def test_weights_come_back_out_of_the_file(trained, served, quantize):
    network, config = n.load_network(trained)
    images = pictures(24, 32)
    # The tiny model's own temperature may be so low that int8 rounds its probabilities to halves.
    config["calibration"]["temperature"] = 1.0
    write_json(served / "config.json", config)
    # Int8 must be calibrated on coloured blocks too, which `recover` compares the predictions of.
    blocks = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    calibration = np.concatenate([images, blocks.repeat(4, axis=1).repeat(4, axis=2)])
    (served / "model.tflite").write_bytes(convert.to_tflite(network, config, quantize, calibration))
    write_checksums(served)
    again, _ = recover(served, images)
    for ours, theirs in zip(again.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.01 * np.abs(theirs).max())
    expected = calibrated(n.predict_logits(network, images))
    assert expected.max() > 0.5
    np.testing.assert_allclose(
        calibrated(n.predict_logits(again, images)), expected, atol=0.05, rtol=0
    )


def test_training_starts_from_a_folder_that_is_only_served(trained, served):
    network, config = n.load_network(trained)
    start = n.build_network(config["architecture"], 36, 48, 7)
    assert load_backbone(start, config["architecture"], served, config["labels"], pictures(36, 48))
    for ours, theirs in zip(start.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.01 * np.abs(theirs).max())


def test_training_starts_from_a_model_on_the_hub_that_is_only_served(hub, served, tmp_path):
    write_checksums(served)
    hub.put("ann/served", {path.name: path.read_bytes() for path in served.iterdir()})
    pulled = pull("ann/served", START, HfApi(endpoint=hub.url, token=False), tmp_path / "cache")
    start = n.build_network("cnn_16_32", 24, 32, 7)
    assert load_backbone(start, "cnn_16_32", pulled.folder, list(LABELS), pictures(24, 32))


def test_a_file_that_predicts_something_else_is_refused(trained, served, monkeypatch):
    """Such as one whose layers were taken for others of the same shapes."""
    monkeypatch.setattr(module, "predict_logits", lambda network, x: np.eye(7)[[0, 1, 2, 3]] * 9)
    with pytest.raises(n.NetworkError, match="cannot be recovered from its model.tflite: its pred"):
        recover(served, pictures(24, 32))


def test_a_file_of_another_network_is_refused(served):
    config = read_config(served)
    write_json(served / "config.json", config | {"architecture": "cnn_32_32_64"})
    with pytest.raises(n.NetworkError, match="its layers are not those of the network"):
        recover(served, pictures(24, 32))


def test_the_bundled_model_can_be_trained_on():
    """Its normalisations are folded, its blocks scaled; `recover` compares the predictions."""
    network, _ = recover(BUNDLED, pictures(192, 256))
    norm = n.backbone_of(network).get_layer("conv_7b_bn")
    assert np.abs(np.asarray(norm.moving_mean)).max() > 0.1
