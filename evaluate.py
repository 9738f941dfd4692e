"""Measure a model folder: print its figures, and write metrics.json, report.md and PNGs into it.

    python evaluate.py runs/NAME                                    the test part
    python evaluate.py model/bundled --dataset ../shared/ham10000   the data set has moved
    python evaluate.py runs/NAME --part validation                  into runs/NAME/validation
    python evaluate.py runs/NAME --part all --dataset MINE --output mine
                                                                    your own labelled pictures
    python evaluate.py runs/NAME --part all --dataset MINE --output mine --group-by skin_type
                                                                    also by a column of yours
    python evaluate.py runs/NAME --outliers PICTURES                and pictures of other things
    python evaluate.py runs/NAME --results results/runs.csv         its row of the table of runs
    python evaluate.py runs/NAME --shift clinic                     a clinic that the calibration
                                                                    has not seen
    python evaluate.py runs/NAME --shift corruptions                blur, noise, hair and the like
    python evaluate.py USER/NAME --push-to-hub USER/NAME            a model on the Hub, in a copy,
                                                                    runs/USER--NAME

Measures `model.tflite`, and the Keras weights if the folder has them. Every figure has a 95 %
interval from a bootstrap over lesions, or over images if the data set names no lesions or the model
was trained with --split-by image. Each file has a calibration of its own (see convert.py). Of the
prediction sets of `model.tflite`, it measures how often they hold the true label, and how many
labels they name.

--part test and --part validation take the images that split.json lists. --part all takes every
picture of the data set, which then needs no columns but image and dx. With --label-column label, it
can be one folder for each diagnosis. If some of the pictures are copies or near-copies of pictures
that taught the model, their number is in metrics.json (`data.seen`), report.md and the card, since
the figures are no test then.

The figures are also those of groups: by sex, age, body site and clinic, as far as the data set has
the columns sex, age, localization and dataset (or the names that layouts.py knows them by).
--group-by adds columns of any other name, such as skin_type or camera: words, or numbers, of which
more than 12 different ones are cut at their quartiles. HAM10000 does not record skin tone; with
pictures that do, this measures it. report.md names the largest gaps between groups, and those too
small to compare.

--outliers names a data set of pictures that are not lesions. It also measures how well
`model.tflite` separates these, and generated pictures, from the pictures of the part, and how many
of each it refuses.

--shift measures `model.tflite` on the validation part, or on --part, and leaves the other figures
as they are. It writes a table, a figure and shift.json, which convert.py removes when it writes
another model. `clinic` fits temperature, operating point and prediction sets to the validation part
without one clinic at a time, and measures on that one; the network is not trained anew.
--group-by names another column than `dataset`, such as localization, or age for bands of age; the
model folder takes no figures of it, so it needs --output.
`corruptions` changes every picture in nine ways at three strengths; the larger models take ten
minutes on two cores. What is measured on the validation part goes into the model folder and its
card, figures of another part go into runs/NAME/PART.
"""

import argparse
import contextlib
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model.packages import check_backend, name_missing

name_missing("requirements-train.txt")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in train.py

import numpy as np

from model.data.dataset import data_name, dataset_of, decode, default_cache, rows_of_model
from model.data.fingerprints import count_known
from model.folder import (
    CONFIG,
    METRICS,
    SPLIT,
    TFLITE,
    WEIGHTS,
    ModelFolderError,
    changing,
    check_file,
    check_writable,
    errors_in_words,
    read_config,
    read_json,
    read_metrics,
    write_checksums,
    write_json,
)
from model.hub.push import add_push_arguments, check_push, push_if_asked, working_copy

PIECE = 1024  # pictures in one call of Keras, which copies what it is given


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="evaluate.py FOLDER [OPTION ...]   (--help explains the options)",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", help="model folder, or a model on the Hub")
    add("--dataset", help="Hub id or folder (default: that of the training)")
    parts = ("test", "validation", "all")
    add("--part", choices=parts, help="default: test; for --shift: validation")
    add("--output", help="folder for metrics.json, report.md and PNGs (default: see above)")
    add("--label-column", help="column of the labels (default: that of the training)")
    add("--group-by", nargs="+", default=[], metavar="COLUMN", help="further columns to group by")
    add("--outliers", help="Hub id or folder of pictures that are not lesions")
    add("--shift", choices=("clinic", "corruptions"), help="measure dataset shift; see above")
    add("--resamples", type=int, default=1000, help="bootstrap resamples (default: 1000)")
    add("--cache", help="folder of decoded pictures (default: ~/.cache/skin-lesion)")
    add("--results", metavar="CSV", help="table of runs to write the folder's row into")
    add_push_arguments(parser)
    args = parser.parse_args(arguments)
    args.home = "validation" if args.shift else "test"  # the part that belongs to the model folder
    args.part = args.part or args.home
    return args


@dataclass
class Part:
    """The pictures to measure.

    record: `data` of metrics.json; images: uint8 [n, height, width, 3]; truth: [n] indices into
    the labels; lesions: [n] ids of what the bootstrap draws; unit: "lesion", or "image" if these
    are ids of images; groups: {subgroup: [n] names}; encoded: yields the n files.
    """

    record: dict
    images: np.ndarray
    truth: np.ndarray
    lesions: np.ndarray
    unit: str
    groups: dict
    encoded: object


def main(arguments=None) -> dict:
    """Run as from the command line; returns the content of metrics.json, or with --shift what was
    measured."""
    args = parse(arguments)
    check_backend()
    check_push(args)

    # a model on the Hub is copied first
    folder = working_copy(args.folder)
    config = read_config(folder)
    output = Path(args.output or (folder if args.part == args.home else folder / args.part))
    in_place = output.resolve() == folder.resolve()
    check(args, folder, config, None if in_place else output)
    # A model folder is changed in a copy beside it.
    check_writable(output.resolve().parent if in_place else output, "--output")
    check_file(args.results, "--results")
    check_writable(args.cache or default_cache(), "--cache")

    # pictures, answers and figures
    part = load_part(args, folder, config, args.part)
    if args.shift:
        record = measure_shift(args, folder, config, part)
        write_shifted(args.shift, output, record, in_place)
        push_if_asked(args, folder)
        return record
    metrics = measure(args, folder, config, part)
    keep_earlier(metrics, folder)

    # metrics.json, report.md, PNGs; in the model folder also the card and checksums
    write(output, config, metrics, in_place)

    # table of runs and Hub
    if args.results:
        from model.evaluation.runs import write_row

        write_row(folder, args.results)
    push_if_asked(args, folder)
    return metrics


def check(args: argparse.Namespace, folder: Path, config: dict, elsewhere: Path | None) -> None:
    """Raise ModelFolderError if the folder lacks what is to be measured, if the model was trained
    on the part to measure, or if the figures do not belong where they are to be written.
    `elsewhere`: the output, if it is not the model folder."""
    if not any((folder / name).is_file() for name in (WEIGHTS, TFLITE)):
        raise ModelFolderError(f"{folder} has neither {WEIGHTS} nor {TFLITE}: nothing to evaluate.")
    validated = args.part == "validation" or args.shift == "clinic"
    if validated and "final" in config["training"]:
        raise ModelFolderError(
            f"{folder} was trained on its validation part too, so that part measures nothing: "
            f"evaluate {config['training']['final']['like']}, the run that was selected."
        )
    if elsewhere and (elsewhere / CONFIG).exists():
        raise ModelFolderError(f"{elsewhere} is another model folder: choose another --output.")
    for option, value in (("--results", args.results), ("--push-to-hub", args.push_to_hub)):
        if elsewhere and value:
            raise ModelFolderError(
                f"{option} takes the figures of the {args.home} part in {folder}: leave out "
                f"{option}, or --output and --part."
            )
    for option, value in (("--outliers", args.outliers), ("--shift", args.shift)):
        if value and not (folder / TFLITE).is_file():
            raise ModelFolderError(
                f"{option} measures {TFLITE}, and {folder} has none: leave out {option}, or first "
                f"run: python convert.py {folder}"
            )
    for option, value in (("--results", args.results), ("--outliers", args.outliers)):
        if args.shift and value:
            raise ModelFolderError(f"{option} is not for --shift: run evaluate.py once for each.")
    if args.shift and len(args.group_by) > (args.shift == "clinic"):
        raise ModelFolderError(
            "--shift clinic leaves out the groups of one column, and --shift corruptions has none: "
            "name one column, or leave out --group-by."
        )
    if args.shift == "clinic" and not elsewhere and args.group_by not in ([], ["dataset"]):
        raise ModelFolderError(
            f"The card of {folder} is about clinics, column dataset: for the groups of "
            f"{args.group_by[0]} name another folder with --output."
        )
    if args.shift == "clinic" and args.part == "all":
        raise ModelFolderError(
            "--shift clinic compares clinics of the validation part with those of the part that it "
            "measures: leave out --part, or name the test part."
        )


def load_part(args: argparse.Namespace, folder: Path, config: dict, name: str) -> Part:
    """The pictures of a part, "test", "validation" or "all". Raises DatasetError."""
    from model.evaluation.groups import groups_of

    dataset = dataset_of(folder, config, args.dataset)
    need = () if name == "all" else ("image_id",)
    rows = rows_of_model(config, dataset, args.label_column, need, args.group_by)
    chosen = np.arange(len(rows))
    if name != "all":
        parts = read_json(folder / SPLIT)
        chosen = rows.find(parts[name])
    grouped = chosen
    if args.shift == "clinic":  # bands of numbers must be the same in both parts
        both = {"validation", args.part}
        grouped = np.concatenate([rows.find(parts[part]) for part in sorted(both)])
    split_by = config["data"]["split_by"]
    named = None if rows.lesion_id is None else rows.lesion_id[chosen]
    groups = groups_of(rows.take(grouped).metadata, args.group_by)
    place = {row: number for number, row in enumerate(grouped)}
    here = [place[row] for row in chosen]
    groups = {key: names[here] for key, names in groups.items()}
    record = {
        "dataset": data_name(dataset),
        "part": name,
        "images": len(chosen),
        "lesions": None if named is None else len(set(named)),
    }
    seen = count_known(folder, config, rows.take(chosen), args.cache)
    if name == "all" or seen["trained"]:
        record["seen"] = seen
    size = config["input"]["height"], config["input"]["width"]
    images = decode(rows, chosen, *size, args.cache, mapped=True)
    encoded = map(rows.encoded, chosen)
    lesions, unit = rows.units(split_by)[chosen], rows.unit(split_by)
    return Part(record, images, rows.truth[chosen], lesions, unit, groups, encoded)


def measure(args: argparse.Namespace, folder: Path, config: dict, part: Part) -> dict:
    """The content of metrics.json."""
    from model.evaluation import decisions
    from model.evaluation.calibration import keras_calibration
    from model.evaluation.coverage import set_metrics
    from model.evaluation.metrics import classification_metrics, subgroup_metrics

    labels = config["labels"]
    metrics = {"data": part.record}
    for runtime, file, answers, calibration in (
        ("keras", WEIGHTS, keras_probabilities, keras_calibration(config)),
        ("tflite", TFLITE, tflite_probabilities, config["calibration"]),
    ):
        if (folder / file).is_file():
            probabilities, times = answers(folder, part.images)
            temperature = calibration["temperature"]
            options = {
                "suspicious": calibration.get("suspicious", []),
                "threshold": calibration.get("threshold"),
                "resamples": args.resamples,
                "unit": part.unit,
            }
            metrics[runtime] = classification_metrics(
                labels, part.truth, probabilities, part.lesions, **options
            ) | {"latency_ms": times}
    # Of the last of them, which is served, also before temperature scaling: softmax(l) from
    # softmax(l / T).
    raised = probabilities**temperature
    raised /= raised.sum(axis=1, keepdims=True)
    plain = classification_metrics(labels, part.truth, raised, part.lesions, resamples=0)
    metrics["uncalibrated"] = {"ece": plain["ece"], "reliability": plain["reliability"]}
    metrics["decisions"] = decisions.measure(
        labels, part.truth, probabilities, part.lesions, calibration, args.resamples
    )
    metrics["subgroups"] = {
        key: subgroup_metrics(labels, part.truth, probabilities, part.lesions, values, **options)
        for key, values in part.groups.items()
    }
    if "tflite" in metrics:  # whose answers the sets are fitted to
        sets = set_metrics(
            labels,
            part.truth,
            probabilities,
            part.lesions,
            config,
            part.groups,
            args.resamples,
            unit=part.unit,
        )
        metrics |= {"sets": sets} if sets else {}
    if args.outliers:
        from model.classifier import Classifier
        from model.evaluation import outliers

        metrics["familiarity"] = outliers.measure(
            Classifier(folder),
            part.encoded,
            part.lesions,
            {
                Path(args.outliers).name: outliers.some_pictures(args.outliers),
                "generated": outliers.generated(),
            },
            args.resamples,
        )
    return metrics


def measure_shift(args: argparse.Namespace, folder: Path, config: dict, part: Part) -> dict:
    """The record of --shift for shift.json: `figures`, and what they were measured on."""
    from model.evaluation import shift

    classifier = shift.several(folder)
    record = part.record | {"unit": part.unit, "resamples": args.resamples}
    if args.shift == "corruptions":
        known = part.truth, part.lesions, args.resamples
        return record | {"figures": shift.corruptions(classifier, part.encoded, *known)}

    (column,) = args.group_by or ["dataset"]

    def answers(part):
        if column not in part.groups:
            raise ModelFolderError(
                f"{part.record['dataset']} has no column {column} that names clinics: --group-by "
                f"can be {' or '.join(part.groups) or 'none of its columns'}."
            )
        logits = shift.logits_of(classifier, part.images, part.record["part"])
        return shift.Answers(logits, part.truth, part.lesions, part.groups[column])

    measured = None
    if args.part == "validation":
        validation = answers(part)
    else:
        measured = answers(part)
        validation = answers(load_part(args, folder, config, "validation"))
    figures = shift.clinics(config["labels"], validation, measured, args.resamples)
    return record | {"column": column, "figures": figures}


def write_shifted(kind: str, output: Path, record: dict, in_place: bool) -> None:
    """Write what --shift measured into `output` and print it. `in_place`: into the model folder."""
    from model.hub.card import write_card
    from model.hub.shift import write_shift

    with changing(output) if in_place else contextlib.nullcontext(output) as new:
        new.mkdir(parents=True, exist_ok=True)
        print(write_shift(new, kind, record))
        if in_place:
            write_card(new)
            write_checksums(new)
    print(f"shift.json, shift_{kind}.md and its figure are in {output}")


def keep_earlier(metrics: dict, folder: Path) -> None:
    """Add to `metrics` what the folder's metrics.json holds and cannot be measured any more."""
    before = read_metrics(folder)
    if "conversion" in before:
        metrics["conversion"] = before["conversion"]
    if "keras" not in metrics and "keras" in before and before.get("data") == metrics["data"]:
        metrics["keras"] = before["keras"]  # the bundled folder leaves out its Keras weights


def write(output: Path, config: dict, metrics: dict, in_place: bool) -> None:
    """Write what was measured into `output` and print it. `in_place`: into the model folder."""
    from model.hub.card import report_text, write_card, write_report

    with changing(output) if in_place else contextlib.nullcontext(output) as new:
        new.mkdir(parents=True, exist_ok=True)
        write_json(new / METRICS, metrics)
        write_report(new, config, metrics)
        if in_place:
            write_card(new)
            write_checksums(new)
    print(report_text(metrics))
    print(f"metrics.json, report.md and figures are in {output}")


def tflite_probabilities(folder: Path, images: np.ndarray, timed=True) -> tuple[np.ndarray, dict]:
    """Probabilities [n, k] of `model.tflite`; if timed, its latency on one picture, else {}."""
    from tqdm import tqdm

    from model.classifier import Classifier

    classifier = Classifier(folder)
    bar = tqdm(images, desc="TF Lite", file=sys.stdout, mininterval=1)
    probabilities = np.stack([classifier.run(np.ascontiguousarray(image))[0] for image in bar])
    return probabilities, latency(classifier.run, images[0]) if timed else {}


def keras_probabilities(folder: Path, images: np.ndarray, timed=True) -> tuple[np.ndarray, dict]:
    """Probabilities [n, k] of the Keras weights; if timed, the latency of `predict` on one picture,
    else {}."""
    from model.evaluation.calibration import calibrated, keras_calibration
    from model.network.network import load_network, predict_logits

    network, config = load_network(folder)
    times = latency(lambda one: predict_logits(network, one[None]), images[0]) if timed else {}
    print("Keras ...")
    pieces = [images[start : start + PIECE] for start in range(0, len(images), PIECE)]
    logits = np.concatenate([predict_logits(network, piece) for piece in pieces])
    return calibrated(logits, keras_calibration(config)["temperature"]), times


def latency(call, image: np.ndarray) -> dict:
    """Milliseconds of the network alone on one picture, over as many calls as the paper timed.

    `low` and `high` bound the mean (95 %, bootstrap over the calls).
    """
    from model.benchmark.measures import timed
    from model.hub.card import PUBLISHED

    calls = PUBLISHED["latency_calls"]
    times = timed(partial(call, image), calls)
    resampled = np.random.default_rng(0).choice(times, (1000, calls)).mean(axis=1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    figures = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max, "median": np.median}
    figures = {key: figure(times) for key, figure in figures.items()} | {"low": low, "high": high}
    return {key: round(float(value), 3) for key, value in figures.items()} | {"calls": calls}


if __name__ == "__main__":
    with errors_in_words("evaluate.py"):
        main()
