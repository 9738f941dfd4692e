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

While it runs, all is kept in runs/NAME.training; in the end runs/NAME appears, whole: config.json,
model.weights.h5, split.json, history.csv, history.png, README.md. Then: convert.py, evaluate.py.
--push-to-hub USER/NAME pushes it, as those two do.

Keras runs on TensorFlow, JAX or PyTorch, whichever KERAS_BACKEND names.
"""

import argparse
import math
import os
import platform
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on its own build

import keras
import numpy as np
from keras import layers

from model import dataset as data
from model import training
from model.card import write_card
from model.folder import (
    CONFIG,
    FORMAT,
    SPLIT,
    WEIGHTS,
    ModelFolderError,
    new_folder,
    read_json,
    write_checksums,
    write_json,
)  # fmt: skip
from model.hub import START, find, parse_id
from model.labels import LABELS, SUSPICIOUS
from model.metrics import classification_metrics, fit_temperature, operating_point, suspicious_score
from model.network import (
    BACKBONES,
    NetworkError,
    backend_device,
    build_network,
    load_backbone,
    predict_logits,
    set_batchnorm_momentum,
    softmax,
)  # fmt: skip
from model.preprocessing import PREPROCESSING
from model.push import add_push_arguments, check_push, push_if_asked
from model.report import history_figure

RECIPES = {
    # Harahap and Zulkifli, IJECBE 1(2) 2023: Adam 0.01 with epsilon 0.1, flatten and softmax.
    "paper": {
        "head": "flatten", "scaling": "unit", "optimizer": "adam", "learning_rate": 0.01,
        "epsilon": 0.1, "weight_decay": 0.0, "schedule": "constant", "warmup_epochs": 0.0,
        "label_smoothing": 0.0, "dropout": 0.0, "average": 0.0, "batchnorm_momentum": 0.0,
        "augment": 0.7, "balance": "oversample", "oversample_power": 1.0, "batch": 64,
        "epochs": 200, "patience": 20, "monitor": "val_accuracy",
    },
    # batchnorm_momentum: Keras' own 0.99 and more would measure stale statistics in a short run.
    "default": {
        "head": "pooling", "scaling": None, "optimizer": "adamw", "learning_rate": 1e-3,
        "epsilon": 1e-7, "weight_decay": 0.02, "schedule": "cosine", "warmup_epochs": 1.0,
        "label_smoothing": 0.05, "dropout": 0.3, "average": 0.99, "batchnorm_momentum": 0.9,
        "augment": 1.0, "balance": "oversample", "oversample_power": 0.5, "batch": 32,
        "epochs": 30, "patience": None, "monitor": "val_balanced_accuracy",
    },
}  # fmt: skip


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", default="marmal88/skin_cancer", help="Hub id or local folder")
    add("--label-column", default="dx", help="column of the labels (default: dx)")
    add("--split-by", choices=("lesion", "image"), default="lesion")
    add("--limit", type=int, help="use about this many pictures, for a trial")
    add("--output", required=True, help="the model folder to make, as runs/NAME")
    add("--resume", action="store_true", help="go on from the last whole epoch")
    add("--recipe", choices=RECIPES, default="default")
    add("--backbone", choices=BACKBONES, default="inception_resnet_v2")
    add(
        "--weights",
        default="imagenet",
        help="imagenet (default), none, a model folder, a model on the "
        "Hub (USER/NAME[@REVISION]) or a weights file",
    )
    add("--size", help="input as HxW, e.g. 224x299 (default: the backbone's published size)")
    add("--seed", type=int, default=0)
    add("--precision", default="float32", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    add("--cache", help="folder of decoded pictures (default: ~/.cache/skin-lesion)")
    add("--steps-per-execution", type=int, default=1, help="steps in one compiled call")
    over = parser.add_argument_group("settings of the recipe; without them, the recipe's")
    over.add_argument("--balance", choices=training.BALANCES)
    over.add_argument("--oversample-power", type=float, help="1 equal classes, 0.5 square root")
    over.add_argument("--head", choices=("pooling", "flatten"))
    over.add_argument("--batch", type=int)
    over.add_argument("--epochs", type=int)
    over.add_argument("--patience", type=int)
    over.add_argument("--learning-rate", type=float)
    over.add_argument("--weight-decay", type=float)
    over.add_argument("--warmup-epochs", type=float)
    over.add_argument("--label-smoothing", type=float)
    over.add_argument("--dropout", type=float)
    over.add_argument("--augment", type=float, help="strength; 0 is none")
    over.add_argument(
        "--average", type=float, help="momentum of the moving average of weights; 0 none"
    )
    over.add_argument("--batchnorm-momentum", type=float, help="0 leaves Keras' own")
    over.add_argument("--monitor", choices=("val_balanced_accuracy", "val_accuracy", "val_loss"))
    add_push_arguments(parser)
    args = parser.parse_args(arguments)
    for key, value in RECIPES[args.recipe].items():
        if getattr(args, key, None) is None:
            setattr(args, key, value)
    size = args.size or "x".join([str(BACKBONES[args.backbone].size)] * 2)
    try:
        args.height, args.width = (int(side) for side in size.lower().split("x"))
    except ValueError:
        parser.error(f"--size {size}: say HxW, as 224x299")
    if min(args.height, args.width, args.batch, args.epochs) < 1:
        parser.error("--size, --batch and --epochs must be at least 1")
    if args.limit is not None and args.limit < 20:
        parser.error("--limit must be at least 20")
    return args


def compile_model(args, network, classes: int, steps: int) -> keras.Model:
    """Augmentation and network as one compiled Keras model on uint8 pixels."""
    rate = args.learning_rate
    if args.schedule == "cosine":
        warmup = max(1, int(args.warmup_epochs * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            rate / 100, max(1, steps * args.epochs - warmup), alpha=0.0, warmup_target=rate,
            warmup_steps=warmup,
        )  # fmt: skip
    average = {"use_ema": args.average > 0, "ema_momentum": args.average or 0.99}
    if args.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(
            rate, epsilon=args.epsilon, weight_decay=args.weight_decay, **average
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    else:
        optimizer = keras.optimizers.Adam(rate, epsilon=args.epsilon, **average)
    model = keras.Sequential([
        keras.Input((args.height, args.width, 3), dtype="uint8"),
        layers.Rescaling(1.0, dtype="float32", name="pixels_as_float"),
        *training.augmentation(args.augment, args.seed),
        network,
    ])  # fmt: skip
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=args.label_smoothing
        ),
        metrics=[
            keras.metrics.CategoricalAccuracy(name="accuracy"),
            training.BalancedAccuracy(classes),
        ],
        steps_per_execution=args.steps_per_execution,
        # Some augmentation layers say they can't be compiled; on JAX all of them can.
        jit_compile=True if keras.backend.backend() == "jax" else "auto",
    )
    return model


def calibrate(logits, truth, labels) -> dict:
    """Temperature and operating point from the validation part, as kept in config.json."""
    calibration = {
        "temperature": round(float(fit_temperature(logits, truth)), 4),
        "part": "validation",
    }
    suspicious = [label for label in SUSPICIOUS if label in labels] if labels == LABELS else []
    if suspicious:
        probabilities = softmax(logits, calibration["temperature"])
        score = suspicious_score(labels, probabilities, suspicious)
        positive = np.isin(truth, [labels.index(label) for label in suspicious])
        if positive.any() and not positive.all():
            threshold = float(operating_point(score, positive, sensitivity=0.95))
            calibration |= {"suspicious": suspicious, "threshold": threshold, "sensitivity": 0.95}
    return calibration


def main(arguments=None) -> Path:
    args = parse(arguments)
    check_push(args)
    aside = ("resume", "output", "cache", "size", "push_to_hub", "private", "revision")
    settings = {k: v for k, v in vars(args).items() if k not in aside}
    output = Path(args.output)
    work = output.with_name(output.name + ".training")
    if (output / CONFIG).exists():
        if args.resume:
            print(f"{output} is finished; nothing to resume.")
            push_if_asked(args, output)
            return output
        raise ModelFolderError(f"{output} holds a finished model; choose another --output.")
    if work.exists() and not args.resume:
        raise ModelFolderError(
            f"{work} holds an unfinished run: go on with --resume, or remove that folder."
        )
    start = start_weights(args.weights)
    work.mkdir(parents=True, exist_ok=True)
    if (work / "settings.json").exists():
        before = read_json(work / "settings.json")
        changed = sorted(k for k in settings if before.get(k) != settings[k])
        if changed:
            raise ModelFolderError(
                f"{work} was started with other settings of: {', '.join(changed)}. "
                "Resume with the same command, or choose another --output."
            )
    else:
        write_json(work / "settings.json", settings)

    # data
    keras.utils.set_random_seed(args.seed)
    need = ("image_id", "lesion_id") if args.split_by == "lesion" else ("image_id",)
    rows = data.load_rows(args.dataset, args.label_column, need)
    split = data.split_rows(rows, args.split_by)
    if args.limit:
        split = data.limit_rows(split, rows.dx, args.limit)
    counts = {
        part: {label: int((rows.dx[i] == label).sum()) for label in rows.labels}
        for part, i in split.items()
    }
    for part, by_label in counts.items():
        shown = "  ".join(f"{k} {v}" for k, v in by_label.items()) if len(by_label) <= 20 else ""
        print(f"{part:10} {len(split[part]):6} images  {shown}")
    truth = rows.truth
    images = {
        part: data.decode(rows, split[part], args.height, args.width, args.cache)
        for part in ("train", "validation")
    }
    y = {part: truth[split[part]] for part in images}

    # model
    classes = len(rows.labels)
    keras.mixed_precision.set_global_policy(args.precision)
    network = build_network(
        args.backbone, args.height, args.width, classes, scaling=args.scaling, head=args.head,
        dropout=args.dropout, weights="imagenet" if args.weights == "imagenet" else None,
    )  # fmt: skip
    if start:
        load_backbone(network, args.backbone, start)
    if args.batchnorm_momentum:
        set_batchnorm_momentum(network, args.batchnorm_momentum)
    batches = training.Batches(
        images["train"], y["train"], classes, args.batch, balance=args.balance,
        power=args.oversample_power, seed=args.seed,
    )  # fmt: skip
    model = compile_model(args, network, classes, len(batches))
    print(f"{args.backbone} {args.height}x{args.width}: {network.count_params():,} parameters, "
          f"{len(batches)} steps of {batches.batch} an epoch, on {backend_device()}")  # fmt: skip

    # loop
    checkpoint = training.Checkpoint(
        work, network, args.monitor, args.patience, len(batches) * batches.batch
    )
    first = checkpoint.load()
    if first:
        checkpoint.restore(model)
        batches.draw(first)
        print(f"resumed after epoch {first}")
    callbacks = [checkpoint, keras.callbacks.TerminateOnNaN()]
    if args.average:
        callbacks.append(keras.callbacks.SwapEMAWeights())
    if first < args.epochs and not checkpoint.finished:
        model.fit(
            batches,
            validation_data=(
                images["validation"],
                np.eye(classes, dtype="float32")[y["validation"]],
            ),
            validation_batch_size=args.batch,
            initial_epoch=first,
            epochs=args.epochs,
            callbacks=callbacks,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    history = checkpoint.state["rows"]
    if not history or not math.isfinite(history[-1]["loss"]):
        raise NetworkError("the loss is not a number: lower --learning-rate, or use float32.")

    # model folder
    network.load_weights(checkpoint.best)
    logits = predict_logits(network, images["validation"])
    lesions = (rows.lesion_id if args.split_by == "lesion" else rows.image_id)[split["validation"]]
    calibration = calibrate(logits, y["validation"], rows.labels)
    validation = classification_metrics(
        rows.labels, y["validation"], softmax(logits, calibration["temperature"]), lesions,
        resamples=200,
    )  # fmt: skip
    config = {
        "format": FORMAT,
        "architecture": args.backbone,
        "head": args.head,
        "input": {"height": args.height, "width": args.width, "channels": "RGB", "values": "0-255"},
        "preprocessing": PREPROCESSING | {"scaling": args.scaling or BACKBONES[args.backbone].scaling},
        "labels": rows.labels,
        "calibration": calibration,
        "data": {
            "dataset": args.dataset if not Path(args.dataset).exists() else Path(args.dataset).name,
            "label_column": args.label_column,
            "images": len(rows),
            "repeated_rows_dropped": rows.repeated,
            "split_by": args.split_by,
            "split_seed": 101,
            "counts": counts,
        },
        "weights": weights_record(args.weights, start),
        "training": settings
        | {
            "command": "python train.py " + " ".join(sys.argv[1:] if arguments is None else arguments),
            "epochs_run": len(history),
            "best_epoch": checkpoint.state["best_epoch"],
            "minutes": round(sum(row["seconds"] for row in history) / 60, 1),
            "images_per_second": round(history[-1]["images_per_second"], 1),
            "device": backend_device(),
            "machine": f"{os.cpu_count()} x {platform.machine()}",
            "finished": time.strftime("%Y-%m-%d"),
            "validation": {
                k: validation[k]
                for k in ("top_1", "top_2", "top_3", "balanced_accuracy", "macro_f1", "ece")
                if k in validation
            },
        },
        "parameters": network.count_params(),
        "versions": {"python": platform.python_version(), "keras": keras.__version__, "numpy": np.__version__},
        "seed": args.seed,
    }  # fmt: skip
    with new_folder(output) as folder:
        network.save_weights(folder / WEIGHTS)
        write_json(folder / SPLIT, {part: rows.image_id[i].tolist() for part, i in split.items()})
        training.write_history(history, folder / "history.csv")
        history_figure(history, folder / "history.png")
        write_json(folder / CONFIG, config)
        write_card(folder)
        write_checksums(folder)
    shutil.rmtree(work)
    best = config["training"]["validation"]
    print(f"best epoch {checkpoint.state['best_epoch']}: validation top-1 {best['top_1']['value']:.2%}, "
          f"balanced accuracy {best['balanced_accuracy']['value']:.3f}\n{output} is ready; next: "
          f"python convert.py {output}")  # fmt: skip
    push_if_asked(args, output)
    return output


def start_weights(weights: str) -> Path | None:
    """The folder or file of --weights, a model on the Hub pulled first; None for imagenet, none."""
    if weights in ("imagenet", "none"):
        return None
    if Path(weights).exists() or weights.count("/") != 1:
        return Path(weights)
    pulled = find(weights, START)
    if pulled.notice:
        print(pulled.notice)
    return pulled.folder


def weights_record(weights: str, path: Path | None) -> dict:
    """What the backbone started from, and from what that had started, for config.json and card."""
    if path is not None and path.is_dir():
        before = read_json(path / CONFIG)
        on_hub = not Path(weights).is_dir()
        return {
            "start": parse_id(weights)[0] if on_hub else path.name,
            **({"commit": path.name} if on_hub else {}),
            "dataset": before["data"]["dataset"],
            "images": before["data"]["images"],
            "size": f"{before['input']['height']}x{before['input']['width']}",
            "before": before["weights"],
        }
    return {"start": path.name if path else weights}


if __name__ == "__main__":
    try:
        main()
    except (data.DatasetError, ModelFolderError, NetworkError) as error:
        sys.exit(f"train.py: {error}")
