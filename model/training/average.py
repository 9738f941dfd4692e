"""The mean of several runs' weights, as a model folder of its own.

    python -m model.training.average runs/A runs/B runs/C --output runs/NAME
    python -m model.training.average runs/A runs/B --output runs/NAME --dataset X --results CSV
    python -m model.training.average runs/A A-1.weights.h5 runs/B --output runs/NAME

If runs continued from one another or started from the same weights, the mean of their weights
usually works too, and often better than each of them (Izmailov et al. 2018, "Averaging weights
leads to wider optima"; Wortsman et al. 2022, "Model soups"). The moving statistics of batch
normalisation are averaged like the other weights.

All runs must have the same data split, labels, input size and preprocessing. The mean is calibrated
and measured on the validation part. Check the figures: averaging unrelated runs gives a useless
network. A run may also be a folder with only a `model.tflite` (model/training/recover.py), or a
weights file of the same network, such as the best epoch so far that train.py keeps in
runs/NAME.training. The recorded settings are those of the last run named. Next: convert.py,
evaluate.py.
"""

import argparse
import sys
import time
from pathlib import Path

from model.packages import check_backend, name_missing

name_missing("requirements-train.txt")

from model.data import dataset as data
from model.data.fingerprints import Record, merged, read_record, write_record
from model.evaluation.calibration import validated
from model.evaluation.runs import commit, write_row
from model.folder import (
    CONFIG,
    SPLIT,
    WEIGHTS,
    ModelFolderError,
    check_file,
    check_free,
    check_writable,
    errors_in_words,
    new_folder,
    read_config,
    read_json,
    shareable,
    write_checksums,
    write_json,
    write_places,
)
from model.network.network import (
    NetworkError,
    first_line,
    load_network,
    network_from_config,
    predict_logits,
    save_weights,
)
from model.training.recover import recover
from model.training.run_folder import figures_text
from model.training.weights import served_only

ALIKE = "architecture", "head", "input", "preprocessing", "labels"
# Keys of a run's record that do not apply to the mean.
ITS_OWN = "epochs_run best_epoch minutes images_per_second speed device machine mean_of".split()


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="average.py RUN RUN ... --output FOLDER   (--help explains the options)",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", nargs="+", help="model folders or .weights.h5 files; the last must be a folder")
    add("--output", required=True, help="the model folder to make")
    add("--dataset", help="Hub id or folder (default: what they were trained on)")
    add("--cache", help="folder of decoded pictures (default: ~/.cache/skin-lesion)")
    add("--results", metavar="CSV", help="write the folder's row there")
    args = parser.parse_args(arguments)
    if len(args.runs) < 2 or args.runs[-1].endswith(".h5"):
        parser.error("name at least two runs, of which the last is a model folder")
    return args


def main(arguments=None) -> Path:
    args = parse(arguments)
    check_backend()
    check_free(args.output)
    check_writable(Path(args.output).parent, "--output")
    check_file(args.results, "--results")
    from model.hub.card import write_card  # only the finished folder needs it

    output, runs = Path(args.output), [Path(run) for run in args.runs]
    folders = [run for run in runs if run.suffix != ".h5"]
    configs = [read_config(folder) for folder in folders]
    split = _common_split(folders, configs)
    config, dataset = configs[-1], data.dataset_of(folders[-1], configs[-1], args.dataset)
    rows = data.rows_of_model(config, dataset)
    size = config["input"]["height"], config["input"]["width"]
    held = rows.find(split["validation"])
    images = data.decode(rows, held, *size, args.cache)

    mean = None
    for run in runs:
        if run.suffix == ".h5":
            network = network_from_config(config)
            _load(network, run)
        elif served_only(run):
            train = data.decode(rows, rows.find(split["train"]), *size, args.cache)
            network, _ = recover(run, train)
        else:
            network, _ = load_network(run)
        share = [weight / len(runs) for weight in network.get_weights()]
        mean = share if mean is None else [a + b for a, b in zip(mean, share, strict=True)]
    network.set_weights(mean)

    lesions = rows.units(config["data"]["split_by"])[held]
    calibration, figures = validated(
        rows.labels, rows.truth[held], predict_logits(network, images), lesions
    )
    command_line = sys.argv[1:] if arguments is None else arguments
    record = {k: v for k, v in config["training"].items() if k not in ITS_OWN}
    record |= {
        "dataset": shareable(dataset),
        "mean_of": [run.resolve().name for run in runs],
        "command": " ".join(["python -m model.training.average", *map(shareable, command_line)]),
        "finished": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "validation": figures,
    }
    config |= {"name": output.name, "calibration": calibration, "training": record}
    for key in ("familiarity", "keras_calibration"):  # convert.py measured them for one run
        config.pop(key, None)
    with new_folder(output) as folder:
        save_weights(network, folder / WEIGHTS)
        write_json(folder / SPLIT, split)
        if record_of_all := _pictures(runs):
            write_record(folder, record_of_all)
        write_json(folder / CONFIG, config)
        write_places(folder, {"dataset": dataset})
        write_card(folder)
        write_checksums(folder)
    print(figures_text(figures))
    print(f"{output} is ready; next: python convert.py {output}")
    if args.results:
        write_row(output, args.results)
    return output


def _pictures(runs) -> Record | None:
    """The record of the pictures that taught the runs; None if none of them has one."""
    records = [read_record(run) for run in runs]
    if not any(records):
        return None
    names = (run.resolve().name for run in runs)
    return merged([r or Record(unrecorded=[name]) for r, name in zip(records, names)])


def _load(network, path):
    try:
        network.load_weights(path)
    except Exception as error:
        raise NetworkError(f"{path} does not fit the other runs: {first_line(error)}") from None


def _common_split(folders, configs) -> dict:
    """The split.json that all runs share. Raises ModelFolderError for runs that do not match."""
    for folder, config in zip(folders, configs):
        if other := [key for key in ALIKE if config.get(key) != configs[0].get(key)]:
            raise ModelFolderError(
                f"{folder} and {folders[0]} differ in {', '.join(other)}: they cannot be averaged."
            )
        if "final" in config["training"]:
            raise ModelFolderError(
                f"{folder} was trained on the validation part too, so the mean could not be "
                "measured on that part."
            )
        if read_json(folder / SPLIT) != read_json(folders[0] / SPLIT):
            raise ModelFolderError(
                f"{folder} and {folders[0]} were trained on different parts of their data: images "
                "that one was trained on would validate the other."
            )
    return read_json(folders[0] / SPLIT)


if __name__ == "__main__":
    with errors_in_words("average"):
        main()
