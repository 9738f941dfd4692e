"""What a network starts from: a model folder, whole or only converted, or a weights file."""

from pathlib import Path

import keras
import numpy as np

from model.evaluation.runs import data_sets
from model.folder import CONFIG, TFLITE, WEIGHTS, read_json
from model.hub.pull import START, find, parse_id
from model.network.network import NetworkError, backbone_of, first_line, load_network
from model.training.recover import recover


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


def read_network(folder: Path, images: np.ndarray | None) -> tuple[keras.Model, dict]:
    """The trained network of a model folder and its config.

    Where the folder has no Keras weights, as `model/bundled`, they are recovered from its
    `model.tflite` with the help of `images` (uint8 [n, height, width, 3], like those it was trained
    on). Raises NetworkError or ModelFolderError.
    """
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
    """Start `network`'s backbone from a model folder, whatever its labels, size and head, or from
    a Keras `.weights.h5` or `.h5` file of the bare backbone.

    The head starts from the folder too where that is for the same `labels` and of the same shape,
    as it is when training goes on at another size; returns whether it did. `images`: as in
    `read_network`. Raises NetworkError.
    """
    path = Path(path)
    target = backbone_of(network)
    if path.is_dir():
        source, config = read_network(path, images)
        if config["architecture"] != architecture:
            raise NetworkError(f"{path} holds {config['architecture']}, not {architecture}.")
        target.set_weights(backbone_of(source).get_weights())
        ours, theirs = _heads_weights(network), _heads_weights(source)
        same = config["labels"] == labels and [w.shape for w in ours] == [w.shape for w in theirs]
        for mine, start in zip(ours, theirs if same else []):
            mine.assign(start)
        return same
    if not path.is_file():
        raise NetworkError(
            f"--weights: there is no {path}. Use imagenet, none, a model folder, a model "
            "on the Hub (USER/NAME) or a weights file."
        )
    try:
        target.load_weights(path)
    except Exception as error:
        raise NetworkError(f"{path} does not fit {architecture}: {first_line(error)}") from None
    return False


def _heads_weights(network):
    backbone = backbone_of(network)
    return [w for layer in network.layers if layer is not backbone for w in layer.weights]


def weights_record(weights: str, path: Path | None) -> dict:
    """What the backbone started from, and from what that had started, for config.json and card."""
    if path is not None and path.is_dir():
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
    return {"start": path.name if path else weights}


def data_name(dataset: str) -> str:
    """A Hub id as it is; of a local folder its name, which is what others can make use of."""
    return Path(dataset).name if Path(dataset).exists() else dataset
