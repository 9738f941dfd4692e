import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from huggingface_hub import HfApi
from made import drawing
from scipy.special import softmax

import convert
from model import folder as f
from model.data import dataset as data
from model.data.artefacts import add_artefacts
from model.evaluation.agreement import compare, write_variants
from model.evaluation.calibration import calibrated, fit_temperature, served_calibration
from model.hub.push import push
from model.network import network as n
from model.network.ood import familiarity, fit

ROOT = Path(convert.__file__).parent
SHARED = Path(__file__).parents[2] / "shared" / "ham10000"


def keras_probabilities(network, config, images):
    logits = n.predict_logits(network, images)
    return softmax(logits / config["calibration"]["temperature"], axis=1)


@pytest.fixture(scope="module")
def network(trained):
    return n.load_network(trained)


@pytest.fixture(scope="module")
def smooth():
    """Pictures with a gradient from left to right, uint8 [20, 24, 32, 3]."""
    gradient = np.linspace(90, 200, 32)[None, None, :, None] + np.zeros((20, 24, 1, 3))
    return (gradient + np.random.default_rng(1).normal(0, 20, gradient.shape)).astype(np.uint8)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (8, 24, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def reference(smooth):
    return fit(smooth)


@pytest.fixture(scope="module")
def converted(network, reference, noise, tmp_path_factory):
    """The network converted in every way, {quantisation: path}. `smooth` is what is familiar."""
    folder = tmp_path_factory.mktemp("converted")
    paths = {kind: folder / f"{kind}.tflite" for kind in convert.QUANTIZATIONS}
    for kind, path in paths.items():
        path.write_bytes(convert.to_tflite(*network, kind, noise, reference))
    return paths


def test_arguments_are_read_without_tensorflow():
    code = "import sys, convert; convert.parse(['runs/x']); print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"tensorflow", "keras", "datasets", "sklearn", "matplotlib"}
    assert not heavy & set(done.stdout.split())


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


@pytest.mark.parametrize(
    "quantize, close, saved",
    [("none", 1e-4, 0), ("float16", 0.01, 2), ("dynamic", 0.1, 3), ("int8", 0.2, 3)],
)
def test_other_quantisations_answer_as_keras_does(
    network, converted, noise, quantize, close, saved
):
    ours, *_ = convert.answers(converted[quantize], noise)
    expected = keras_probabilities(*network, noise)
    assert compare(ours, expected)["largest_difference"] < close
    # All but 4,608 weights are in kernels too small for int8.
    less = converted["none"].stat().st_size - converted[quantize].stat().st_size
    assert less >= 4608 * saved - 3000  # for the operations that convert between precisions


def test_other_runtimes_can_read_every_precision(converted):
    """OpenVINO goes by the older field of an operation's code, and wants weights within the file's
    flatbuffer."""
    for quantize, path in converted.items():
        model = schema.Model.GetRootAs(path.read_bytes())
        codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
        older = [code.DeprecatedBuiltinCode() for code in codes]
        assert older == [min(code.BuiltinCode(), 127) for code in codes], quantize
        assert not any(model.Buffers(i).Offset() for i in range(model.BuffersLength())), quantize


def test_evidence_adds_up_to_the_probabilities_in_every_precision(converted, noise):
    whole = convert.answers(converted["none"], noise)[2]
    for quantize, path in converted.items():
        probabilities, _, logits = convert.answers(path, noise)
        np.testing.assert_allclose(calibrated(logits), probabilities, atol=1e-4, err_msg=quantize)
        np.testing.assert_allclose(logits, whole, atol=0.1 * np.ptp(whole), err_msg=quantize)


@pytest.mark.nightly
@pytest.mark.parametrize("quantize, close", [("none", 1e-3), ("dynamic", 0.1), ("int8", 0.25)])
def test_the_compact_model_is_converted_from_the_weights_it_ships_with(quantize, close, tmp_path):
    """Depthwise convolutions and ReLU6, which no other backbone of these tests has."""
    network, config = n.load_network(f.COMPACT)
    size = config["input"]["height"], config["input"]["width"]
    pictures = [drawing(dx, i, size[::-1]) for i, dx in enumerate(config["labels"])]
    images = np.stack([np.asarray(picture) for picture in pictures])
    path = tmp_path / "model.tflite"
    path.write_bytes(convert.to_tflite(network, config, quantize, images))
    probabilities, *_ = convert.answers(path, images)
    assert np.abs(probabilities - keras_probabilities(network, config, images)).max() < close
    run = Interpreter(str(path)).get_signature_runner()
    evidence = run(pixels=images[:1].astype(np.float32))["evidence"]
    logits = evidence.mean(axis=(1, 2))
    np.testing.assert_allclose(softmax(logits, axis=1), probabilities[:1], atol=0.02)
    assert f.COMPACT.joinpath(f.TFLITE).stat().st_size <= 8e6


def test_familiarity_in_the_graph_is_that_of_keras(converted, reference, smooth, noise):
    strange = np.stack([*noise, *np.full((2, 24, 32, 3), 128, np.uint8)])
    usual, odd = (
        np.asarray(familiarity(images.astype(np.float32), reference))
        for images in (smooth, strange)
    )
    assert usual.min() > 0.2 > 0.1 > odd.max()
    for quantize, path in converted.items():
        for images, expected in ((smooth, usual), (strange, odd)):
            familiar = convert.answers(path, images)[1]
            np.testing.assert_allclose(familiar, expected, atol=1e-4, err_msg=quantize)


def test_what_the_network_was_taught_to_ignore_is_familiar(made, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = f.read_config(copy)
    config["training"] |= {"artefacts": ["circle"], "artefact_share": 0.5}
    f.write_json(copy / f.CONFIG, config)
    convert.main([str(copy), "--cache", str(tmp_path / "cache")])
    pictures = np.stack([np.asarray(drawing("nv", i, (32, 24))) for i in range(20)])
    pictures = add_artefacts(pictures, ["circle"], 1.0, np.random.default_rng(0))
    before, after = (convert.answers(x / "model.tflite", pictures)[1] for x in (trained, copy))
    assert np.median(after) > 2 * np.median(before)


@pytest.fixture(scope="module")
def validation(made, trained):
    """The validation part of `trained`: uint8 pictures, their true labels, and their lesions."""
    config = f.read_config(trained)
    rows = data.rows_of_model(config, str(made))
    held = rows.find(f.read_json(trained / f.SPLIT)["validation"])
    images = data.decode(rows, held, 24, 32, trained.parent / "cache")
    return images, rows.truth[held], rows.lesion_id[held]


@pytest.mark.parametrize("quantize", convert.QUANTIZATIONS)
def test_the_calibration_is_fitted_to_what_is_served(network, validation, tmp_path, quantize):
    images, truth, lesions = validation
    # Some are wrong, so that the best temperature is not the lowest.
    truth = np.where(np.arange(len(truth)) % 4 == 0, (truth + 1) % 7, truth)
    keras = {"temperature": 4.0, "part": "validation"}  # far from what fits
    config = network[1] | {"calibration": keras}
    del config["keras_calibration"]
    graph = partial(convert.to_tflite, network[0], quantize=quantize, calibration_images=images)
    path = tmp_path / f.TFLITE
    ours, _ = convert.calibrate(path, graph, config, images, truth, lesions)
    served, temperature = config["calibration"], config["calibration"]["temperature"]
    probabilities, _, logits = convert.answers(path, images)
    assert (ours == probabilities).all() and config["keras_calibration"] == keras
    fitted = served_calibration(temperature, probabilities, truth, lesions, config["labels"])
    assert served == fitted and {"points", "sets"} <= set(served)
    assert temperature == pytest.approx(fit_temperature(logits * temperature, truth), rel=1e-3)
    assert 0.05 < temperature != 4.0
    np.testing.assert_allclose(calibrated(logits), probabilities, atol=1e-4)


def test_the_same_temperature_is_not_converted_again(trained, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "copy")
    convert.main([str(copy), "--cache", str(tmp_path / "cache")])
    said = capsys.readouterr().out
    before, after = f.read_config(trained), f.read_config(copy)
    assert after["calibration"] == before["calibration"]
    assert after["keras_calibration"] == before["keras_calibration"]
    assert "converting again" not in said
    keras, tflite = (after[key]["temperature"] for key in ("keras_calibration", "calibration"))
    assert f"temperature {tflite:.4f} (Keras weights: {keras:.4f})" in said


def test_another_temperature_leaves_the_logits_as_they_are(network, validation, tmp_path):
    logits = []
    for temperature in (0.5, 1.3):
        config = network[1] | {"calibration": {"temperature": temperature}}
        path = tmp_path / "model.tflite"
        path.write_bytes(convert.to_tflite(network[0], config, "dynamic"))
        logits.append(convert.answers(path, validation[0])[2] * temperature)
    np.testing.assert_allclose(*logits, rtol=1e-5, atol=1e-5)


def test_a_final_run_keeps_the_calibration_it_inherited(trained, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = f.read_config(copy)
    for key in ("calibration", "keras_calibration"):
        config[key] |= {"inherited": "selected"}
    config["calibration"]["temperature"] = 1.5
    f.write_json(copy / f.CONFIG, config)
    convert.main([str(copy), "--cache", str(tmp_path / "cache")])
    after = f.read_config(copy)
    assert after["calibration"] == config["calibration"]
    assert after["keras_calibration"] == config["keras_calibration"]
    assert "model.tflite has a calibration taken from selected: temperature 1.5" in (
        capsys.readouterr().out
    )
    del config["keras_calibration"]
    f.write_json(copy / f.CONFIG, config)
    convert.main([str(copy), "--cache", str(tmp_path / "cache")])
    assert f.read_config(copy)["calibration"] == config["calibration"]
    assert "The calibration is that of selected: this run was trained on its validation part." in (
        capsys.readouterr().out
    )


def test_a_folder_without_keras_weights_is_recalibrated(made, trained, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "model.weights.h5").unlink()
    before = f.read_config(copy)
    sparse = {key: before["calibration"][key] for key in ("temperature", "threshold")}
    sparse["sets"] = before["calibration"]["sets"]
    f.write_json(copy / f.CONFIG, before | {"calibration": sparse})
    command = f"{copy} --recalibrate --dataset {made} --cache {tmp_path}/cache".split()
    convert.main(command)
    assert f.read_config(copy) == before
    threshold = before["calibration"]["threshold"]
    said = capsys.readouterr().out
    assert f"The operating point of {copy} was {threshold} and is {threshold}.\n" in said
    assert "no longer holds" not in said
    assert (copy / f.METRICS).read_bytes() == (trained / f.METRICS).read_bytes()
    assert all((copy / name).exists() for name in f.REPORT_FILES)
    f.verify(copy)
    f.write_json(copy / f.CONFIG, before | {"calibration": sparse | {"threshold": 0.5}})
    convert.main(command)
    assert f.read_config(copy) == before
    said = capsys.readouterr().out
    assert f"The operating point of {copy} was 0.5 and is {threshold}.\n" in said
    assert f"measured before no longer holds: python evaluate.py {copy}" in said
    assert_nothing_measured(copy)
    # Sets are measured again once they have other limits.
    shutil.copy(trained / f.METRICS, copy / f.METRICS)
    f.write_json(copy / f.CONFIG, before | {"calibration": sparse | {"sets": None}})
    convert.main(command)
    assert f.read_config(copy) == before
    assert_nothing_measured(copy)
    assert f"measured before no longer holds: python evaluate.py {copy}" in capsys.readouterr().out


def assert_nothing_measured(folder):
    """That of the converted model nothing measured is left, in files or in the card."""
    assert set(f.read_metrics(folder)) == {"keras", "data", "conversion"}
    assert not [name for name in f.REPORT_FILES if (folder / name).exists()]
    card = (folder / "README.md").read_text()
    assert "confusion.png" not in card and "decision_curve.png" not in card
    f.verify(folder)


def test_another_model_takes_the_report_of_the_last_one_away(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    assert all((copy / name).exists() for name in f.REPORT_FILES)
    convert.main([str(copy), "--quantize", "none", "--cache", str(tmp_path / "cache")])
    assert_nothing_measured(copy)


def test_what_cannot_be_recalibrated_is_a_sentence(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / f.TFLITE).unlink()
    with pytest.raises(f.ModelFolderError, match=f"no model.tflite: run python convert.py {copy}"):
        convert.main([str(copy), "--recalibrate"])
    config = f.read_config(copy)
    config["calibration"] |= {"inherited": "selected"}
    f.write_json(copy / f.CONFIG, config)
    sentence = "keeps the calibration of selected: recalibrate that run."
    with pytest.raises(f.ModelFolderError, match=sentence):
        convert.main([str(copy), "--recalibrate"])


def test_variants_are_written_pushed_and_never_stale(trained, hub, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "copy")
    api = HfApi(endpoint=hub.url, token="hf_ann")
    command = [str(copy), "--cache", str(tmp_path / "cache")]
    convert.main([*command, "--also", "float16", "int8", "float16"])
    files = {"model_fp16.tflite", "model_static_wi8_ai8.tflite"}
    variants = f.read_metrics(copy)["conversion"]["variants"]
    assert {each["file"] for each in variants.values()} == files <= set(f.read_checksums(copy))
    f.verify(copy)
    images = np.stack([np.asarray(drawing("mel", i, (32, 24))) for i in range(4)])
    expected = keras_probabilities(*n.load_network(copy), images)
    for precision, known in variants.items():
        path = copy / f.VARIANTS[precision]
        assert known["megabytes"] == round(path.stat().st_size / 1e6, 2)
        assert known["images"] > 0 and 0.98 <= known["top_1_agreement"] <= 1
        assert compare(convert.answers(path, images)[0], expected)["largest_difference"] < 0.1
    push(copy, "ann/skin", api=api)
    assert files <= set(hub.files("ann/skin"))
    convert.main(command)
    assert "variants" not in f.read_metrics(copy)["conversion"]
    assert not list(copy.glob("model_*.tflite"))
    push(copy, "ann/skin", api=api)
    assert not files & set(hub.files("ann/skin"))


def test_a_variant_that_disagrees_is_left_out(network, converted, noise, tmp_path, capsys):
    expected = keras_probabilities(*network, noise)
    expected[0] = np.roll(expected[0], 1)
    write = {"fp16": converted["float16"].read_bytes()}.get
    assert write_variants(tmp_path, write, ["fp16"], noise, expected) == {}
    assert not list(tmp_path.iterdir())
    said = "model_fp16.tflite was left out: its agreement is less than 98%."
    assert said in capsys.readouterr().out


def test_variants_need_a_conversion(capsys):
    with pytest.raises(SystemExit):
        convert.main(["runs/x", "--recalibrate", "--also", "float16"])
    assert "leave one out" in capsys.readouterr().err


def test_disagreement_fails_and_leaves_the_old_file(trained, tmp_path, monkeypatch):
    copy = shutil.copytree(trained, tmp_path / "copy")
    before = {p.name: p.read_bytes() for p in copy.iterdir()}
    right = n.predict_logits
    monkeypatch.setattr(n, "predict_logits", lambda *given: np.roll(right(*given), 1, axis=1))
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


@pytest.mark.nightly
@pytest.mark.skipif(not SHARED.exists(), reason="the real images are not on this machine")
@pytest.mark.parametrize("folder", [f.BUNDLED, f.COMPACT])
def test_the_models_of_the_repository_are_calibrated_as_they_answer(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / folder.name)
    convert.main(f"{copy} --recalibrate --dataset {SHARED} --cache {tmp_path}/cache".split())
    stated, found = (f.read_config(x)["calibration"] for x in (folder, copy))
    # XNNPACK's kernels differ from one processor to another.
    assert found["threshold"] == pytest.approx(stated["threshold"], abs=0.005)
    assert found["sets"]["lesions"] == stated["sets"]["lesions"]
    for level, quantiles in stated["sets"]["quantiles"].items():
        assert found["sets"]["quantiles"][level] == pytest.approx(quantiles, abs=0.01)
