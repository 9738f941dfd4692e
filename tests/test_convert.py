import json
import shutil

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from made import drawing

import convert
from model import folder as f
from model.data.artefacts import drawn
from model.network.network import load_network, predict_logits, softmax
from model.network.ood import familiarity, fit


def test_every_dimension_is_fixed_and_the_batch_is_one(trained):
    interpreter = Interpreter(str(trained / "model.tflite"))
    interpreter.allocate_tensors()
    for tensor in interpreter.get_tensor_details():
        assert -1 not in tensor["shape_signature"].tolist(), tensor["name"]
    signature = interpreter.get_signature_runner()
    details = signature.get_input_details() | signature.get_output_details()
    shapes = {name: detail["shape"].tolist() for name, detail in details.items()}
    assert shapes == {
        "pixels": [1, 24, 32, 3],
        "probabilities": [1, 7],
        "evidence": [1, 6, 8, 7],
        "familiarity": [1],
    }
    assert all(detail["dtype"] == np.float32 for detail in details.values())


def test_conversion_is_kept_in_the_metrics(trained):
    conversion = json.loads((trained / "metrics.json").read_text())["conversion"]
    assert conversion["quantize"] == "dynamic" and conversion["top_1_agreement"] >= 0.98
    assert conversion["largest_difference"] < 0.1
    f.verify(trained)


@pytest.mark.parametrize("quantize", ["none", "float16", "int8"])
def test_other_quantisations_answer_as_keras_does(trained, quantize):
    network, config = load_network(trained)
    images = np.random.default_rng(0).integers(0, 256, (8, 24, 32, 3), dtype=np.uint8)
    path = trained.parent / f"{quantize}.tflite"
    path.write_bytes(convert.to_tflite(network, config, quantize, images))
    expected = softmax(predict_logits(network, images), config["calibration"]["temperature"])
    ours, _ = convert.answers(path, images)
    largest = convert.compare(ours, expected)["largest_difference"]
    assert largest < {"none": 1e-4, "float16": 0.01, "int8": 0.2}[quantize]
    sizes = {"none": 1.0, "float16": 0.8, "int8": 0.7}
    whole = len(convert.to_tflite(network, config, "none"))
    assert path.stat().st_size <= whole * sizes[quantize]


@pytest.mark.parametrize("quantize", ["none", "dynamic", "int8"])
def test_the_compact_model_is_converted_from_the_weights_it_ships_with(quantize, tmp_path):
    """Depthwise convolutions and ReLU6, which no other backbone of these tests has."""
    network, config = load_network(f.COMPACT)
    size = config["input"]["height"], config["input"]["width"]
    pictures = [drawing(dx, i, size[::-1]) for i, dx in enumerate(config["labels"])]
    images = np.stack([np.asarray(picture) for picture in pictures])
    path = tmp_path / "model.tflite"
    path.write_bytes(convert.to_tflite(network, config, quantize, images))
    expected = softmax(predict_logits(network, images), config["calibration"]["temperature"])
    probabilities, _ = convert.answers(path, images)
    largest = np.abs(probabilities - expected).max()
    assert largest < {"none": 1e-3, "dynamic": 0.1, "int8": 0.25}[quantize]
    run = Interpreter(str(path)).get_signature_runner()
    evidence = run(pixels=images[:1].astype(np.float32))["evidence"]
    np.testing.assert_allclose(softmax(evidence.mean(axis=(1, 2))), probabilities[:1], atol=0.02)
    assert f.COMPACT.joinpath(f.TFLITE).stat().st_size <= 8e6


def test_familiarity_in_the_graph_is_that_of_keras(trained):
    _, config = load_network(trained)
    images = np.random.default_rng(0).integers(0, 256, (8, 24, 32, 3), dtype=np.uint8)
    images = np.stack([*images, *(np.full((2, 24, 32, 3), 128, np.uint8))])
    smooth = np.linspace(90, 200, 32)[None, None, :, None] + np.zeros((20, 24, 1, 3))
    smooth += np.random.default_rng(1).normal(0, 20, smooth.shape)
    reference = fit(smooth.astype(np.uint8))
    network, _ = load_network(trained)
    path = trained.parent / "familiarity.tflite"
    for quantize, close in (("none", 1e-4), ("dynamic", 1e-4), ("float16", 0.01)):
        path.write_bytes(convert.to_tflite(network, config, quantize, None, reference))
        for some in (images, smooth.astype(np.uint8)):
            expected = np.asarray(familiarity(some.astype(np.float32), reference))
            np.testing.assert_allclose(convert.answers(path, some)[1], expected, atol=close)
    assert expected.min() > 0.2 > 0.1 > convert.answers(path, images)[1].max()


def test_what_the_network_was_taught_to_ignore_is_familiar(made, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = f.read_config(copy)
    config["training"] |= {"artefacts": ["circle"], "artefact_share": 0.5}
    f.write_json(copy / f.CONFIG, config)
    convert.main([str(copy), "--cache", str(tmp_path / "cache")])
    pictures = np.stack([np.asarray(drawing("nv", i, (32, 24))) for i in range(20)])
    pictures = drawn(pictures, ["circle"], 1.0, np.random.default_rng(0))
    before, after = (convert.answers(x / "model.tflite", pictures)[1] for x in (trained, copy))
    assert np.median(after) > 2 * np.median(before)


def test_disagreement_fails_and_leaves_the_old_file(trained, tmp_path, monkeypatch):
    copy = shutil.copytree(trained, tmp_path / "copy")
    before = {p.name: p.read_bytes() for p in copy.iterdir()}
    monkeypatch.setattr(
        convert, "softmax", lambda logits, t: np.roll(softmax(logits, t), 1, axis=1)
    )
    with pytest.raises(f.ModelFolderError, match="nothing was written"):
        convert.main([str(copy), "--cache", str(tmp_path / "cache")])
    assert {p.name: p.read_bytes() for p in copy.iterdir()} == before


def test_folder_without_weights_is_a_sentence(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "model.weights.h5").unlink()
    with pytest.raises(f.ModelFolderError, match="no Keras weights"):
        convert.main([str(copy)])
    (copy / "model.weights.h5").write_bytes(b"junk")
    with pytest.raises(f.ModelFolderError, match="damaged"):
        convert.main([str(copy)])
