"""The weights that a network starts from: ImageNet's, a weights file, or a model folder.

A folder with only a `model.tflite`, such as model/bundled, is enough (model/training/recover.py).
"""

from pathlib import Path

import keras
import numpy as np

from model.evaluation.runs import data_sets
from model.folder import CONFIG, TFLITE, WEIGHTS, no_folder, read_config, read_json
from model.hub.pull import START, find, parse_id
from model.network.network import (
    NetworkError,
    backbone_of,
    build_network,
    first_line,
    load_network,
    set_batchnorm_momentum,
)
from model.network.tf_cpu import speed_up_on_cpu
from model.training.recover import recover


def start_weights(weights: str) -> Path | None:
    """The folder or file of --weights, after pulling it if it is a model on the Hub; None for
    "imagenet" and "none"."""
    if weights in ("imagenet", "none"):
        return None
    if Path(weights).exists() or weights.count("/") != 1:
        return Path(weights)
    pulled = find(weights, START)
    if pulled.notice:
        print(pulled.notice)
    return pulled.folder


def check_network(settings, start: Path | None) -> None:
    """Raise NetworkError or ModelFolderError, before any picture is decoded, if the network cannot
    be made or cannot start from its weights. Downloads those of ImageNet.

    `settings`: the arguments of train.py; `start`: the result of `start_weights`.
    """
    for folder in [*settings.teacher, *([start] if start and start.is_dir() else [])]:
        config = read_config(folder)
        if folder == start:
            _same_network(start, config["architecture"], settings.backbone)
    if start and not start.is_dir():
        _check_file(start)
    # The number of labels is not known yet, and does not matter here.
    fresh_network(
        settings, ["one", "other"], "imagenet" if settings.weights == "imagenet" else None
    )


def _same_network(path, theirs, ours):
    if theirs != ours:
        raise NetworkError(
            f"{path} holds {theirs}, not {ours}: choose it with --backbone {theirs}."
        )


def _check_file(path):
    if not path.is_file():
        raise NetworkError(
            f"{no_folder(path)}--weights: there is no {path}. Use imagenet, none, a model folder, "
            "a model on the Hub (USER/NAME) or a weights file."
        )
    if (path.parent / CONFIG).is_file():
        raise NetworkError(
            f"--weights: {path} is a file of a model folder. Name the folder: {path.parent}"
        )


def start_network(
    settings, labels: list[str], start: Path | None, images: np.ndarray
) -> tuple[keras.Model, dict]:
    """The network to train, with the weights it starts from, and a record of these for config.json.

    `settings`: the arguments of train.py; `start`: the result of `start_weights`; `images`: as in
    `recover`. Raises NetworkError.
    """
    imagenet = "imagenet" if settings.weights == "imagenet" else None
    network = fresh_network(settings, labels, imagenet)
    record = weights_record(settings.weights, start)
    if start:
        with_head = load_backbone(network, settings.backbone, start, labels, images)
        record |= {"head": True} if with_head else {}
        print(f"starts from {start}: the backbone{' and the head' if with_head else ''}")
    if settings.batchnorm_momentum:
        set_batchnorm_momentum(network, settings.batchnorm_momentum)
    return speed_up_on_cpu(network), record


def fresh_network(settings, labels: list[str], weights: str | None = None) -> keras.Model:
    """The network of `settings` with random weights, or with `weights` "imagenet"."""
    return build_network(
        settings.backbone,
        settings.height,
        settings.width,
        len(labels),
        scaling=settings.scaling,
        head=settings.head,
        dropout=settings.dropout,
        weights=weights,
    )


def read_network(folder: Path, images: np.ndarray | None) -> tuple[keras.Model, dict]:
    """The trained network of a model folder and its config. Without Keras weights, `recover` reads
    its `model.tflite` with the help of `images`. Raises NetworkError or ModelFolderError."""
    return recover(folder, images) if served_only(folder) else load_network(folder)


def served_only(folder: Path) -> bool:
    """Whether a model folder has a `model.tflite` and no Keras weights."""
    return not (folder / WEIGHTS).is_file() and (folder / TFLITE).is_file()


def load_backbone(
    network: keras.Model,
    architecture: str,
    path: "str | Path",
    labels: list | None = None,
    images: np.ndarray | None = None,
) -> bool:
    """Load `network`'s backbone from a model folder, whatever its labels, size and head, or from
    a Keras `.weights.h5` or `.h5` file of the backbone alone.

    The head is loaded too if the folder has the same `labels` and a head of the same shape.
    Returns whether it was. `images`: as in `recover`. Raises NetworkError.
    """
    path = Path(path)
    target = backbone_of(network)
    if path.is_dir():
        source, config = read_network(path, images)
        _same_network(path, config["architecture"], architecture)
        target.set_weights(backbone_of(source).get_weights())
        ours, theirs = _head_weights(network), _head_weights(source)
        same = config["labels"] == labels and [w.shape for w in ours] == [w.shape for w in theirs]
        for mine, start in zip(ours, theirs if same else []):
            mine.assign(start)
        return same
    _check_file(path)
    try:
        target.load_weights(path)
    except Exception as error:
        raise NetworkError(f"{path} does not fit {architecture}: {first_line(error)}") from None
    return False


def _head_weights(network):
    backbone = backbone_of(network)
    return [w for layer in network.layers if layer is not backbone for w in layer.weights]


def weights_record(weights: str, path: Path | None) -> dict:
    """What the backbone started from, and what that had started from, for config.json and the
    card."""
    if path is None or not path.is_dir():
        return {"start": path.name if path else weights}
    before = read_json(path / CONFIG)
    on_hub = not Path(weights).is_dir()
    return {
        "start": parse_id(weights)[0] if on_hub else path.name,
        **({"commit": path.name} if on_hub else {}),
        "dataset": data_sets(before["data"]),
        "images": before["data"].get("trained_on", before["data"]["images"]),
        "held_out": before["data"].get("held_out"),
        "size": f"{before['input']['height']}x{before['input']['width']}",
        "before": before["weights"],
    }
