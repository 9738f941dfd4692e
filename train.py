"""Train a skin-lesion classifier: one command, one model folder.

    python train.py --output runs/NAME                                   HAM10000 from the Hub
    python train.py --dataset ../shared/ham10000 --output runs/NAME      or from a local folder
    python train.py --dataset X --output runs/trial --limit 200          a trial run
    python train.py --dataset X --output runs/NAME --resume              go on after a stop
    python train.py --dataset X --output runs/NAME --recipe paper        the published settings

The data set has the columns image, image_id, lesion_id and dx; `dx` is one of HAM10000's seven
codes or the long names of the public Hub copy. Any other labelled pictures train a backbone to
start from, which serves where ImageNet weights cannot be downloaded:

    python train.py --dataset PICTURES --label-column label --split-by image --output runs/first
    python train.py --dataset X --weights runs/first --output runs/NAME
    python train.py --dataset X --weights USER/NAME --output runs/NAME     one from the Hub
    python train.py --dataset X --weights model/bundled --output runs/NAME      the one that serves

From a model for the same labels the head is taken too, so that training goes on, at another --size.

Pictures of another set can join the training part, and no other part:

    python train.py --dataset X --extra MORE --extra-label-column label --output runs/NAME

Benign against malignant, of HAM10000 (malignant: mel, bcc, akiec) or of any labels; the parts stay
those of the labels as they are:

    python train.py --dataset X --task binary --output runs/NAME
    python train.py --dataset PICTURES --label-column label --split-by image --task binary \
        --malignant melanoma --output runs/NAME

Teachers, which are model folders too, say what they see in the very same augmented crops; their
mean answer is learned beside the labels, and further pictures without labels with it alone:

    python train.py --dataset X --teacher runs/A runs/B --unlabelled MORE --output runs/NAME

--hold-out CSV keeps the pictures it lists, and all others of their lesions, out of training and
validation, so that they can measure the model beside others that were measured on them.

When the recipe has been chosen by the validation part, a last run may train on that part too: all
settings, the number of epochs and the calibration are those of the selected run.

    python train.py --final runs/SELECTED --output runs/NAME

While it runs, all is kept in runs/NAME.training; in the end runs/NAME appears, whole: config.json,
model.weights.h5, split.json, history.csv, history.png, README.md. Then: convert.py, evaluate.py.
--push-to-hub USER/NAME pushes it, as those two do; --results results/runs.csv writes its row of
the table of runs.

Keras runs on TensorFlow, JAX or PyTorch, whichever KERAS_BACKEND names; --devices N spreads a run
over N devices, on JAX (model/training/devices.py).
"""

import os
import platform
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on its own build
# TensorFlow takes oneDNN by itself only on Intel's newer processors. On two cores by AMD a step of
# InceptionResNetV2 (144x192, 32 images, float32) is 3.5 times as fast with it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np

from model.data import dataset as data
from model.data.batches import Batches, InOrder
from model.data.split import (
    add_extra,
    add_unlabelled,
    check_selected,
    classes_of,
    count,
    hold_out,
    limit_rows,
    malignant_labels,
    split_rows,
    to_binary,
)
from model.evaluation.calibration import validated
from model.evaluation.figures import history_figure, write_figures
from model.evaluation.runs import commit, write_row
from model.folder import (
    CONFIG,
    FORMAT,
    SPLIT,
    WEIGHTS,
    ModelFolderError,
    disk_error,
    new_folder,
    write_checksums,
    write_json,
)
from model.hub.card import write_card
from model.hub.push import check_push, push_if_asked
from model.network.network import (
    BACKBONES,
    NetworkError,
    backend_device,
    build_network,
    predict_logits,
    save_weights,
    set_batchnorm_momentum,
)
from model.network.tf_cpu import speed_up_on_cpu
from model.preprocessing import PREPROCESSING
from model.training.callbacks import Checkpoint, begin, write_history
from model.training.devices import gather_alone, spread
from model.training.distillation import read_teachers
from model.training.plateau import plateau
from model.training.recipe import parse, settings_of
from model.training.speed import macs, matmul_peak, speed, speed_text
from model.training.trainer import compile_model
from model.training.weights import data_name, load_backbone, start_weights, weights_record


def main(arguments=None) -> Path:
    args = parse(__doc__, arguments)
    check_push(args)
    output = Path(args.output)
    work = output.with_name(output.name + ".training")
    if (output / CONFIG).exists():
        if args.resume:
            print(f"{output} is finished; nothing to resume.")
            push_if_asked(args, output)
            return output
        raise ModelFolderError(f"{output} holds a finished model; choose another --output.")
    number, processes = spread(args.devices)
    if number:  # Keras saves on all hosts at once, so each has a folder of its own
        work = work.with_name(f"{work.name}-{number}")
    start = start_weights(args.weights)
    begin(work, settings_of(args), args.resume)

    # data
    keras.utils.set_random_seed(args.seed)
    need = ("image_id", "lesion_id") if args.split_by == "lesion" else ("image_id",)
    rows = data.load_rows(args.dataset, args.label_column, need)
    split, held_out = split_rows(rows, args.split_by), None
    if args.hold_out:
        split, held_out = hold_out(rows, split, args.hold_out)
    joined, extra = add_extra(rows, split, args.extra, args.extra_label_column)
    further = np.arange(len(rows), len(joined))
    # What this run must not know, the pictures that are held out among them.
    held_ids = rows.image_id[np.setdiff1d(np.arange(len(rows)), split["train"])]
    if args.limit:
        split = limit_rows(split, rows.dx, args.limit)
        further = limit_rows({"train": further}, joined.dx, args.limit)["train"]
    selected = check_selected(args.final, rows, split) if args.final else None
    as_they_are = rows.labels
    if args.task == "binary":
        malignant = malignant_labels(rows, args.malignant)
        rows, joined = to_binary(rows, malignant), to_binary(joined, malignant)
    parts = split | {"extra": further}
    counts = {part: count(joined.dx[i], rows.labels, part) for part, i in parts.items()}
    joined, unlabelled = add_unlabelled(joined, args.unlabelled)
    alone = np.flatnonzero(joined.dx == "")[: args.limit]
    taught = np.concatenate(
        [split["train"], *([split["validation"]] if selected else []), further, alone]
    ).astype(np.int64)
    truth = joined.truth
    images = data.decode(joined, taught, args.height, args.width, args.cache)
    if not selected:
        held = data.decode(rows, split["validation"], args.height, args.width, args.cache)
        held_truth = truth[split["validation"]]

    # model
    classes = len(rows.labels)
    if args.monitor == "val_top_3" and classes <= 3:
        raise NetworkError(f"--monitor val_top_3 tells nothing of {classes} labels; say another.")
    keras.mixed_precision.set_global_policy(args.precision)
    shape = {"scaling": args.scaling, "head": args.head, "dropout": args.dropout}
    network = build_network(
        args.backbone,
        args.height,
        args.width,
        classes,
        **shape,
        weights="imagenet" if args.weights == "imagenet" else None,
    )
    with_head = bool(start) and load_backbone(network, args.backbone, start, rows.labels, images)
    if start:
        print(f"starts from {start}: the backbone{' and the head' if with_head else ''}")
    if args.batchnorm_momentum:
        set_batchnorm_momentum(network, args.batchnorm_momentum)
    network = speed_up_on_cpu(network)
    batches = Batches(
        images,
        truth[taught],
        classes,
        args.batch,
        balance=args.balance,
        power=args.oversample_power,
        seed=args.seed,
        share=(number, processes),
        artefacts=args.artefacts,
        artefact_share=args.artefact_share,
    )
    if batches.batch % args.devices:
        raise NetworkError(
            f"{batches.batch} images cannot be shared evenly by {args.devices} devices."
        )
    teachers, taught_by = read_teachers(args.teacher, rows.labels, held_ids, images)
    model = compile_model(args, network, classes, batches, teachers)
    print(
        f"{args.backbone} {args.height}x{args.width}: {network.count_params():,} parameters, "
        f"{len(batches)} steps of {batches.batch} an epoch, on {backend_device()}"
    )
    work_of_one = macs(network)
    dtype = keras.mixed_precision.global_policy().compute_dtype
    peak = None if args.no_peak else matmul_peak(dtype)

    # loop
    average = keras.callbacks.SwapEMAWeights() if args.average else None
    checkpoint = Checkpoint(
        work,
        network,
        None if selected else args.monitor,
        args.patience,
        len(batches) * batches.batch,
        average=average,
    )
    first = checkpoint.load()
    if first:
        checkpoint.restore(model)
        batches.draw(first)
        print(f"resumed after epoch {first}")
    if first < args.stop_after and not checkpoint.finished:
        model.fit(
            batches,
            validation_data=None
            if selected
            else InOrder(held, held_truth, classes, batches.batch, (number, processes)),
            initial_epoch=first,
            epochs=args.stop_after,
            callbacks=[
                checkpoint,
                keras.callbacks.TerminateOnNaN(),
                *filter(None, [average]),
                *plateau(args, checkpoint.state["rows"]),
            ],
            verbose=0 if number else 1 if sys.stdout.isatty() else 2,
        )
    history = checkpoint.state["rows"]
    device = f"{backend_device()}{f' x {args.devices}' if args.devices > 1 else ''}"
    if number:  # the first host makes the model folder
        shutil.rmtree(work)
        return output

    # model folder
    if args.devices > 1:
        gather_alone()
        network = build_network(args.backbone, args.height, args.width, classes, **shape)
    network.load_weights(checkpoint.best)
    rate = history[-1]["images_per_second"]
    fast = speed(rate, work_of_one, peak)
    record = settings_of(args) | {
        "command": "python train.py " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "epochs_run": len(history),
        "best_epoch": checkpoint.state["best_epoch"],
        "minutes": round(sum(row["seconds"] for row in history) / 60, 1),
        "images_per_second": round(rate, 1),
        "speed": fast,
        "device": device,
        "machine": f"{os.cpu_count()} x {platform.machine()}",
        "finished": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        **({"teachers": taught_by} if taught_by else {}),
    }
    if selected:
        calibration = selected["calibration"] | {"inherited": Path(args.final).name}
        record["final"] = {
            "like": Path(args.final).name,
            "epochs": args.stop_after,
            "validation": selected["training"]["validation"],
        }
    else:
        lesions = rows.lesion_id if args.split_by == "lesion" else rows.image_id
        calibration, record["validation"] = validated(
            rows.labels, held_truth, predict_logits(network, held), lesions[split["validation"]]
        )
    config = {
        "format": FORMAT,
        "name": output.name,
        "architecture": args.backbone,
        "head": args.head,
        "input": {"height": args.height, "width": args.width, "channels": "RGB", "values": "0-255"},
        "preprocessing": PREPROCESSING
        | {"scaling": args.scaling or BACKBONES[args.backbone].scaling},
        "labels": rows.labels,
        "calibration": calibration,
        "data": {
            "dataset": data_name(args.dataset),
            "label_column": args.label_column,
            "images": len(rows),
            "repeated_rows_dropped": rows.repeated,
            "split_by": args.split_by,
            "split_seed": 101,
            "counts": {part: counts[part] for part in split},
            "extra": _by_name(extra),
            **({"held_out": held_out} if held_out else {}),
            **({"unlabelled": _by_name(unlabelled)} if unlabelled else {}),
            "trained_on": int(len(taught)),
            **({"classes": classes_of(as_they_are, malignant)} if args.task else {}),
        },
        "weights": weights_record(args.weights, start) | ({"head": True} if with_head else {}),
        "training": record,
        "parameters": network.count_params(),
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "seed": args.seed,
    }
    with new_folder(output) as folder:
        save_weights(network, folder / WEIGHTS, args.weights_dtype)
        write_json(folder / SPLIT, {part: rows.image_id[i].tolist() for part, i in split.items()})
        write_history(history, folder / "history.csv")
        history_figure(history, folder / "history.png")
        if args.figures:
            write_figures(folder, args, batches, rows.labels)
        write_json(folder / CONFIG, config)
        write_card(folder)
        write_checksums(folder)
    shutil.rmtree(work)
    print(speed_text(rate, fast))
    if selected:
        print(f"epoch {args.stop_after}, the best of {args.final}, is kept")
    else:
        best = record["validation"]
        print(
            f"best epoch {checkpoint.state['best_epoch']}: validation top-1 "
            f"{best['top_1']['value']:.2%}, balanced accuracy "
            f"{best['balanced_accuracy']['value']:.3f}"
        )
    print(f"{output} is ready; next: python convert.py {output}")
    if args.results:
        write_row(output, args.results)
    push_if_asked(args, output)
    return output


def _by_name(records):
    return [record | {"dataset": data_name(record["dataset"])} for record in records]


if __name__ == "__main__":
    try:
        main()
    except (data.DatasetError, ModelFolderError, NetworkError) as error:
        sys.exit(f"train.py: {error}")
    except OSError as error:
        print(f"train.py: {disk_error(error)}", file=sys.stderr, flush=True)
        os._exit(1)  # HDF5 ends in a segmentation fault over a file that it could not write
