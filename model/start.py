"""What a network starts from: a model folder, whole or only converted, or a weights file."""

from pathlib import Path

import keras
import numpy as np

from model.folder import TFLITE, WEIGHTS
from model.network import NetworkError, backbone_of, first_line, load_network
from model.recover import recover


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
    as it is when training goes on at another size; returns whether it did. A folder without Keras
    weights, as the bundled one, has them back from its `model.tflite`, for which `images` (uint8
    [n, height, width, 3], those it will be trained on) are needed. Raises NetworkError.
    """
    path = Path(path)
    target = backbone_of(network)
    if path.is_dir():
        lacks = not (path / WEIGHTS).is_file() and (path / TFLITE).is_file()
        source, config = recover(path, images) if lacks else load_network(path)
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
