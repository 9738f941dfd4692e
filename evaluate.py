"""Measure a model folder: prints, and writes metrics.json, report.md and figures into it.

    python evaluate.py runs/NAME                                   the test part
    python evaluate.py model/bundled --dataset ../shared/ham10000  where the data set has moved
    python evaluate.py runs/NAME --part validation                 into runs/NAME/validation
    python evaluate.py runs/NAME --part all --dataset MINE --output mine
                                                                   your own labelled pictures
    python evaluate.py runs/NAME --part validation --flips         the mean answer to four flips too
    python evaluate.py runs/NAME --results results/runs.csv        its row of the table of runs
    python evaluate.py USER/NAME --push-to-hub USER/NAME           a model on the Hub, in a copy of
                                                                   it, runs/USER--NAME

`model.tflite` is measured, and the Keras weights too where the folder has them. All figures carry
95 % intervals from a bootstrap over lesions. `--part all` takes every picture of the data set,
which needs only the columns image and dx; the other parts are those of split.json.

    python evaluate.py runs/NAME --outliers PICTURES               a data set of anything else
measures too how well `model.tflite` tells such pictures, and generated ones, from the part's, and
how many of the part's it refuses to name.
"""

import argparse
import contextlib
import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in train.py

import numpy as np
from tqdm import tqdm

from model.benchmark import timing
from model.classifier import Classifier
from model.data import dataset as data
from model.evaluation.metrics import age_band, classification_metrics, subgroup_metrics
from model.evaluation.outliers import generated, measure, some_pictures
from model.evaluation.runs import write_row
from model.folder import (
    METRICS,
    SPLIT,
    TFLITE,
    WEIGHTS,
    ModelFolderError,
    changing,
    disk_error,
    read_config,
    read_json,
    read_metrics,
    write_checksums,
    write_json,
)
from model.hub.card import write_card
from model.hub.published import LATENCY_CALLS
from model.hub.push import add_push_arguments, check_push, push_if_asked, working_copy
from model.hub.report import print_report, write_report
from model.hub.tables import summary_rows

PIECE = 1024  # pictures


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="model folder, or a model on the Hub")
    parser.add_argument("--dataset", help="Hub id or folder (default: what it was trained on)")
    parser.add_argument("--part", choices=("test", "validation", "all"), default="test")
    parser.add_argument("--output", help="folder for metrics.json, report.md and figures")
    parser.add_argument("--label-column", help="column of the labels (default: as in training)")
    parser.add_argument("--outliers", help="Hub id or folder of pictures that are no lesions")
    parser.add_argument(
        "--flips", action="store_true", help="measure the mean of four flips of a picture too"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap")
    parser.add_argument(
        "--cache", help="folder of decoded pictures (default: ~/.cache/skin-lesion)"
    )
    parser.add_argument("--results", metavar="CSV", help="write the folder's row there")
    add_push_arguments(parser)
    return parser.parse_args(arguments)


def latency(call, image: np.ndarray) -> dict:
    """Milliseconds of as many calls on one picture as the paper timed, the network alone, after
    three to warm up; `low` and `high` bound the mean (95 %, bootstrap over the calls)."""
    times = timing.timed(partial(call, image), LATENCY_CALLS)
    figures = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max, "median": np.median}
    resampled = np.random.default_rng(0).choice(times, (1000, LATENCY_CALLS)).mean(axis=1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    figures = {k: f(times) for k, f in figures.items()} | {"low": low, "high": high}
    return {k: round(float(v), 3) for k, v in figures.items()} | {"calls": LATENCY_CALLS}


def tflite_probabilities(folder: Path, images: np.ndarray, timed=True) -> tuple[np.ndarray, dict]:
    """Probabilities [n, k] of `model.tflite`, and its latency where it is to be timed."""
    classifier = Classifier(folder)
    bar = tqdm(images, desc="TF Lite", file=sys.stdout, mininterval=1)
    probabilities = np.stack([classifier.run(np.ascontiguousarray(image))[0] for image in bar])
    return probabilities, latency(classifier.run, images[0]) if timed else {}


def keras_probabilities(folder: Path, images: np.ndarray, timed=True) -> tuple[np.ndarray, dict]:
    """Probabilities [n, k] of the Keras weights, and the latency of `predict` on one picture."""
    from model.network.network import load_network, predict_logits, softmax

    network, config = load_network(folder)
    temperature = config["calibration"]["temperature"]
    times = {}
    if timed:
        times = latency(lambda image: predict_logits(network, image[None]), images[0])
    print("Keras ...")
    # Whole batches at a time, as Keras copies what it is given.
    pieces = [images[start : start + PIECE] for start in range(0, len(images), PIECE)]
    logits = np.concatenate([predict_logits(network, piece) for piece in pieces])
    return softmax(logits, temperature), times


def flipped(images: np.ndarray) -> list[np.ndarray]:
    """The three mirrorings of images [n, height, width, 3], as views: left-right, up-down, both."""
    return [images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]]


def main(arguments=None) -> dict:
    args = parse(arguments)
    check_push(args)
    folder = working_copy(args.folder)
    config = read_config(folder)
    runtimes = [name for name in (WEIGHTS, TFLITE) if (folder / name).is_file()]
    if not runtimes:
        raise ModelFolderError(f"{folder} has neither {WEIGHTS} nor {TFLITE}: nothing to evaluate.")
    labels, calibration = config["labels"], config["calibration"]
    if args.part == "validation" and "final" in config["training"]:
        raise ModelFolderError(
            f"{folder} was trained on its validation part too, so that part measures nothing: "
            f"evaluate {config['training']['final']['like']}, the run that was selected."
        )

    # data
    name = args.dataset or config["training"]["dataset"]
    column = args.label_column or config["data"]["label_column"]
    everything = args.part == "all"
    rows = data.load_rows(
        name,
        column,
        () if everything else ("image_id",),
        labels=labels,
        classes=config["data"].get("classes"),
    )
    chosen = np.arange(len(rows)) if everything else rows.find(read_json(folder / SPLIT)[args.part])
    size = config["input"]["height"], config["input"]["width"]
    images = data.decode(rows, chosen, *size, args.cache, mapped=True)
    truth = rows.truth[chosen]
    by_lesion = rows.lesion_id is not None and config["data"]["split_by"] == "lesion"
    lesions = (rows.lesion_id if by_lesion else rows.image_id)[chosen]

    # predictions and figures
    options = {
        "suspicious": calibration.get("suspicious", []),
        "threshold": calibration.get("threshold"),
        "resamples": args.resamples,
    }
    metrics = {
        "data": {
            "dataset": Path(name).name if Path(name).exists() else name,
            "part": args.part,
            "images": len(chosen),
            "lesions": len(set(lesions)),
        }
    }
    if WEIGHTS in runtimes:
        probabilities, times = keras_probabilities(folder, images)
        metrics["keras"] = classification_metrics(labels, truth, probabilities, lesions, **options)
        metrics["keras"]["latency_ms"] = times
    if TFLITE in runtimes:
        probabilities, times = tflite_probabilities(folder, images)
        metrics["tflite"] = classification_metrics(labels, truth, probabilities, lesions, **options)
        metrics["tflite"]["latency_ms"] = times
    if args.flips:
        answer = tflite_probabilities if TFLITE in runtimes else keras_probabilities
        other = [answer(folder, turned, timed=False)[0] for turned in flipped(images)]
        metrics["flips"] = classification_metrics(
            labels, truth, np.mean([probabilities, *other], axis=0), lesions, **options
        )
    # softmax(l) from softmax(l / T): the same figures before the temperature.
    raised = probabilities ** calibration["temperature"]
    plain = classification_metrics(
        labels, truth, raised / raised.sum(axis=1, keepdims=True), lesions, resamples=0
    )
    metrics["uncalibrated"] = {"ece": plain["ece"], "reliability": plain["reliability"]}
    groups = {k: rows.metadata[k][chosen] for k in ("dataset", "sex") if k in rows.metadata}
    if "age" in rows.metadata:
        groups["age"] = np.array([age_band(age) for age in rows.metadata["age"][chosen]])
    metrics["subgroups"] = {
        key: subgroup_metrics(labels, truth, probabilities, lesions, values, **options)
        for key, values in groups.items()
        if len(set(values)) > 1
    }
    if args.outliers and TFLITE in runtimes:
        metrics["familiarity"] = measure(
            Classifier(folder),
            map(rows.encoded, chosen),
            lesions,
            {Path(args.outliers).name: some_pictures(args.outliers), "generated": generated()},
            args.resamples,
        )

    # output
    output = (
        Path(args.output) if args.output else folder / ("" if args.part == "test" else args.part)
    )
    before = read_metrics(folder)
    if "conversion" in before:
        metrics["conversion"] = before["conversion"]
    if WEIGHTS not in runtimes and "keras" in before and before.get("data") == metrics["data"]:
        # The weights have been left out, as of the bundled folder; what they did still holds.
        metrics["keras"] = before["keras"]
    with changing(folder) if output == folder else contextlib.nullcontext(output) as new:
        new.mkdir(parents=True, exist_ok=True)
        write_json(new / METRICS, metrics)
        write_report(new, config, metrics)
        if output == folder:
            write_card(new)
            write_checksums(new)
    print(print_report(metrics))
    if args.flips:
        print("\nThe mean answer to a picture and its three mirror images, which is not served:")
        for title, *cells in summary_rows({"flips": metrics["flips"]}):
            print(f"{title:<24}{cells[0]:>24}")
    print(f"metrics.json, report.md and figures are in {output}")
    if args.results and output == folder:
        write_row(folder, args.results)
    push_if_asked(args, folder)
    return metrics


if __name__ == "__main__":
    try:
        main()
    except (data.DatasetError, ModelFolderError) as error:
        sys.exit(f"evaluate.py: {error}")
    except OSError as error:
        sys.exit(f"evaluate.py: {disk_error(error)}")
