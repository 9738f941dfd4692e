"""Convert a trained model folder to TF Lite: writes `model.tflite` into it.

    python convert.py runs/NAME                        dynamic-range int8 weights (default)
    python convert.py runs/NAME --quantize none        float32, four times as large
    python convert.py runs/NAME --also float16         model_fp16.tflite beside it; see below
    python convert.py runs/NAME --dataset X            if the data set has moved
    python convert.py runs/NAME --recalibrate          keep model.tflite; see below
    python convert.py USER/NAME --push-to-hub USER/NAME
                                                       a model on the Hub, copied to runs/USER--NAME

The graph takes RGB pixels, float32 [1, height, width, 3], 0-255. Its outputs are:

    probabilities [1, classes]     calibrated
    evidence [1, h, w, classes]    the mean over places is the calibrated logits
    familiarity [1]                how much the picture resembles the training pictures, 0-1

All dimensions are fixed, since other runtimes (LiteRT.js, OpenVINO) do not handle a free batch size
well. TensorFlow writes the graph in float32, ai-edge-quantizer the other precisions (model/network/
quantization.py). The result is compared with Keras on the validation part. If their top-1 agrees on
less than 98 % of the pictures, nothing is written.

Temperature, operating points and prediction sets are fitted to the converted model's own answers
to the validation part, which differ a little from those of the Keras weights. If the temperature
differs in its four decimals from the one in the graph, the network is converted a second time. A
final run was trained on the validation part; its model keeps the calibration of the selected run.

--also writes the same graph in other precisions, for programs that want one. Each is compared with
Keras too, and left out below 98 %. The calibration in config.json is not fitted to them:
results/variants.md shows what that costs. A conversion removes those of an earlier one.

--recalibrate fits operating points and prediction sets anew to the `model.tflite` that is there, at
the temperature in its graph. It needs no Keras weights.

What evaluate.py measured of another model.tflite, or with another operating point or other sets, no
longer holds. It is removed: report.md, the figures, and all of metrics.json but `keras`, `data` and
`conversion`.

A picture counts as unfamiliar if its familiarity is below a threshold. That is set so that 0.75 %
of the validation pictures fall below it, and stored in config.json (see model/network/ood.py).
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from model.packages import name_missing

name_missing("requirements-train.txt")

os.environ["KERAS_BACKEND"] = "tensorflow"  # the converter reads TensorFlow graphs only
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in train.py

# TensorFlow and Keras are imported where they are used, so that --help answers at once.
import numpy as np

from model.data import dataset as data
from model.evaluation.agreement import AGREEMENT, answers, compared, write_variants
from model.evaluation.runs import write_row
from model.folder import (
    CONFIG,
    METRICS,
    QUANTIZATIONS,
    SPLIT,
    TFLITE,
    VARIANTS,
    ModelFolderError,
    changing,
    check_file,
    check_writable,
    errors_in_words,
    read_config,
    read_json,
    read_metrics,
    remove_measured,
    replacing,
    write_checksums,
    write_json,
)
from model.hub.push import add_push_arguments, check_push, push_if_asked, working_copy

# TensorFlow's guide to post-training quantisation asks for "a few hundred".
CALIBRATION_IMAGES = 200
# Training pictures for fitting familiarity. With their mirror images, about 100 samples per
# component of model/network/ood.py.
REFERENCE_IMAGES = 2000
# Share of the validation pictures that falls below the threshold. The target is at most 2 % of
# unseen lesion pictures; 0.75 % leaves three standard errors on HAM10000's 897 validation and 828
# test pictures.
UNFAMILIAR = 0.0075


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="convert.py FOLDER [OPTION ...]   (--help explains the options)",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", help="model folder made by train.py, or a model on the Hub")
    parser.add_argument("--quantize", choices=QUANTIZATIONS, default="dynamic")
    parser.add_argument(
        "--also",
        nargs="+",
        default=[],
        choices=QUANTIZATIONS,
        metavar="QUANTIZATION",
        help=f"write files in these too, after the folder: {', '.join(QUANTIZATIONS)}",
    )
    parser.add_argument("--dataset", help="Hub id or folder (default: what it was trained on)")
    parser.add_argument(
        "--cache", help="folder of decoded pictures (default: ~/.cache/skin-lesion)"
    )
    parser.add_argument(
        "--recalibrate", action="store_true", help="fit the calibration of an existing model.tflite"
    )
    parser.add_argument("--results", metavar="CSV", help="table of runs to write a row into")
    add_push_arguments(parser)
    args = parser.parse_args(arguments)
    if args.recalibrate and args.also:
        parser.error("--also converts, and --recalibrate keeps what was converted: leave one out")
    return args


def to_tflite(network, config: dict, quantize: str, calibration_images=None, reference=None):
    """The bytes of the TF Lite file.

    quantize: one of QUANTIZATIONS; calibration_images: uint8 [n, h, w, 3], for int8 only;
    reference: the Reference of model/network/ood.py; without one the graph has no output
    `familiarity`.
    """
    from model.network.graph import float32_graph
    from model.network.network import backbone_of
    from model.network.quantization import quantized

    graph, backbone = float32_graph(network, config, reference), backbone_of(network).name
    return quantized(graph, QUANTIZATIONS[quantize], backbone, calibration_images)


def calibrate(
    path: Path,
    graph: Callable,
    config: dict,
    images: np.ndarray,
    truth: np.ndarray,
    lesions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Write graph(config=config), the bytes of a TF Lite file, to `path`, and fit the calibration
    in `config` to its answers. An inherited calibration stays. Returns probabilities [n, k] and
    familiarity [n] of the images, uint8 [n, h, w, 3]; truth: [n] indices into the labels; lesions:
    [n], the lesion of each image."""
    from model.evaluation.calibration import fit_temperature, keras_calibration, served_calibration

    def convert():
        with replacing(path) as beside:
            beside.write_bytes(graph(config=config))
        return answers(path, images)

    probabilities, familiar, logits = convert()
    if "inherited" in config["calibration"]:
        return probabilities, familiar
    before = config["calibration"]["temperature"]
    temperature = fit_temperature(logits * before, truth)
    config["keras_calibration"] = keras_calibration(config)
    if temperature != before:
        print(f"converting again, with temperature {temperature} instead of {before} ...")
        config["calibration"] = {"temperature": temperature}
        probabilities, familiar, _ = convert()
    config["calibration"] = served_calibration(
        temperature, probabilities, truth, lesions, config["labels"]
    )
    return probabilities, familiar


def validation_part(
    args: argparse.Namespace, folder: Path, config: dict, rows: data.Rows
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pictures of the validation part, uint8 [n, h, w, 3]; their true labels, [n] indices; and
    their lesions [n]. `rows`: the data set."""
    held = rows.find(read_json(folder / SPLIT)["validation"])
    size = config["input"]["height"], config["input"]["width"]
    lesions = rows.units(config["data"]["split_by"])[held]
    return data.decode(rows, held, *size, args.cache), rows.truth[held], lesions


def training_pictures(args, folder: Path, config: dict, rows: data.Rows) -> np.ndarray:
    """REFERENCE_IMAGES pictures of the training part, uint8 [n, h, w, 3]."""
    # The part is sorted by image id, so evenly spaced images have all labels.
    ids = data.evenly(read_json(folder / SPLIT)["train"], REFERENCE_IMAGES)
    size = config["input"]["height"], config["input"]["width"]
    return data.decode(rows, rows.find(ids), *size, args.cache)


def reference_of(config: dict, pictures: np.ndarray):
    """The Reference of model/network/ood.py for a network, from training pictures."""
    from model.data.artefacts import add_artefacts
    from model.network.ood import fit

    # Artefacts that the network has learned to ignore are familiar too.
    kinds = config["training"].get("artefacts") or []
    share = config["training"].get("artefact_share") or 0.0
    return fit(add_artefacts(pictures, kinds, share, np.random.default_rng(0)))


def recalibrate(args: argparse.Namespace, folder: Path) -> None:
    """Fit all of `calibration` but the temperature to the `model.tflite` of `folder`.

    Raises ModelFolderError if there is none, or if the model was trained on its validation part.
    """
    from model.evaluation.calibration import keras_calibration, served_calibration
    from model.hub.card import write_card

    config = read_config(folder)
    before = config["calibration"]
    if "inherited" in before:
        raise ModelFolderError(
            f"{folder} was trained on its validation part and keeps the calibration of "
            f"{before['inherited']}: recalibrate that run."
        )
    if not (folder / TFLITE).is_file():
        raise ModelFolderError(f"{folder} has no {TFLITE}: run python convert.py {folder}")
    check_writable(folder.resolve().parent, "folder")
    rows = data.rows_of_model(config, data.dataset_of(folder, config, args.dataset))
    images, *known = validation_part(args, folder, config, rows)
    probabilities, *_ = answers(folder / TFLITE, images)
    after = served_calibration(before["temperature"], probabilities, *known, config["labels"])
    config |= {"calibration": after, "keras_calibration": keras_calibration(config)}
    # The suspicious labels follow from the labels.
    changed = any(after.get(key) != before.get(key) for key in ("threshold", "sets"))
    with changing(folder) as new:
        write_json(new / CONFIG, config)
        if changed:
            remove_measured(new)
        write_card(new)
        write_checksums(new)
    old, new = (calibration.get("threshold") for calibration in (before, after))
    print(f"The operating point of {folder} was {old} and is {new}.")
    if changed:
        print(f"What was measured before no longer holds: python evaluate.py {folder}")


def main(arguments=None) -> Path:
    args = parse(arguments)
    check_push(args)
    from model.evaluation.calibration import calibrated
    from model.hub.card import write_card
    from model.hub.tables import calibration_text
    from model.network.graph import float32_graph
    from model.network.network import backbone_of, load_network, predict_logits
    from model.network.quantization import quantized

    folder = working_copy(args.folder)
    if args.recalibrate:
        recalibrate(args, folder)
        push_if_asked(args, folder)
        return folder / TFLITE
    network, config = load_network(folder)
    # A model folder is changed in a copy beside it; TensorFlow exports to a temporary folder.
    check_writable(folder.resolve().parent, "folder")
    check_file(args.results, "--results")
    check_writable(args.cache or data.default_cache(), "--cache")
    tempfile.gettempdir()
    rows = data.rows_of_model(config, data.dataset_of(folder, config, args.dataset))
    validation, truth, lesions = validation_part(args, folder, config, rows)
    train = training_pictures(args, folder, config, rows)
    reference = reference_of(config, train)

    print(f"converting {folder} ({args.quantize}) ...")
    samples = data.evenly(train, CALIBRATION_IMAGES)
    graph = partial(
        to_tflite, network, quantize=args.quantize, calibration_images=samples, reference=reference
    )
    with changing(folder) as new:
        ours, familiar = calibrate(new / TFLITE, graph, config, validation, truth, lesions)
        logits = predict_logits(network, validation)
        expected = calibrated(logits, config["calibration"]["temperature"])
        result = {"quantize": args.quantize} | compared(new / TFLITE, ours, expected)
        if result["top_1_agreement"] < AGREEMENT:
            raise ModelFolderError(
                f"the converted model agrees with Keras on {result['top_1_agreement']:.2%} of the "
                f"validation images only, less than {AGREEMENT:.0%}; nothing was written. Try "
                "--quantize float16 or none, or train for longer."
            )
        for name in VARIANTS.values():
            (new / name).unlink(missing_ok=True)
        if args.also:
            whole = float32_graph(network, config, reference)
            backbone = backbone_of(network).name
            write = partial(quantized, whole, backbone=backbone, pictures=samples)
            also = [QUANTIZATIONS[word] for word in args.also]
            result["variants"] = write_variants(new, write, also, validation, expected)
        config["familiarity"] = {
            "threshold": round(float(np.quantile(familiar, UNFAMILIAR)), 5),
            "quantile": UNFAMILIAR,
            "part": "validation",
            "images": len(train),
        }
        write_json(new / CONFIG, config)
        print(
            calibration_text(config)
            or f"The calibration is that of {config['calibration']['inherited']}: this run was "
            "trained on its validation part."
        )
        remove_measured(new)
        write_json(new / METRICS, read_metrics(new) | {"conversion": result})
        write_card(new)
        write_checksums(new)
    print(f"{folder / TFLITE} is ready; next: python evaluate.py {folder}")
    if args.results:
        write_row(folder, args.results)
    push_if_asked(args, folder)
    return folder / TFLITE


if __name__ == "__main__":
    with errors_in_words("convert.py"):
        main()
