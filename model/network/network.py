"""The network: normalisation, a Keras backbone, a head, and the evidence map of the head.

Keras 3 on any backend. Input: float32 or uint8 pixels [n, height, width, 3], 0-255, RGB.
Output: logits [n, classes].
"""

from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers

from model.folder import CONFIG, WEIGHTS, ModelFolderError, read_config, replacing
from model.network.backbones import BACKBONES, SCALINGS, Backbone
from model.network.efficientnet_lite import SCALES, efficientnet_lite, load_imagenet
from model.network.heads import add_head


class NetworkError(ValueError):
    """Weights or settings that do not make a network; the message says what to do."""


def build_network(
    architecture: str,
    height: int,
    width: int,
    classes: int,
    *,
    scaling: str | None = None,
    head: str = "pooling",
    dropout: float = 0.0,
    weights: str | None = None,
) -> keras.Model:
    """Pixels to logits [n, classes].

    `head` is one of model/network/heads.py; `scaling` a key of SCALINGS, the backbone's own by default;
    `weights` None or "imagenet". Raises NetworkError.
    """
    if architecture not in BACKBONES:
        raise NetworkError(f"unknown backbone {architecture!r}; known are {', '.join(BACKBONES)}")
    spec = BACKBONES[architecture]
    if head == "published" and not spec.hidden:
        raise NetworkError(
            f"{architecture} has no head of its own: take the head pooling or flatten"
        )
    scale, offset = SCALINGS[scaling or spec.scaling]
    try:
        if spec.filters:
            backbone = _plain(spec, height, width, weights)
        elif spec.name in SCALES:
            backbone = efficientnet_lite(spec.name, height, width)
            if weights:
                load_imagenet(backbone)
        else:
            backbone = getattr(keras.applications, spec.name)(
                include_top=False, weights=weights, input_shape=(height, width, 3)
            )
    except Exception as error:
        if weights == "imagenet":
            where = "With a network they download by themselves; without, start"
            if spec.name in SCALES:
                where = "Install them, or start"
            raise NetworkError(
                f"ImageNet weights for {architecture} could not be had ({first_line(error)}). "
                f"{where} from --weights none, or from a model folder that train.py made on other "
                "pictures (--weights FOLDER)."
            ) from None
        raise NetworkError(f"{architecture} at {height}x{width}: {first_line(error)}") from None
    pixels = keras.Input((height, width, 3), name="pixels")
    x = layers.Rescaling(scale, offset, dtype="float32", name="normalisation")(pixels)
    features = backbone(x)
    logits = add_head(features, head, classes, dropout, spec)
    return keras.Model(pixels, logits, name=f"{architecture}_{head}")


def _plain(spec: Backbone, height: int, width: int, weights: str | None) -> keras.Model:
    if weights:
        raise ValueError("a plain network has none")
    stack = [keras.Input((height, width, 3))]
    for filters in spec.filters:
        stack.append(layers.Conv2D(filters, 3, padding=spec.padding, activation="relu"))
        stack.append(layers.MaxPooling2D())
    return keras.Sequential(stack)


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def network_from_config(config: dict) -> keras.Model:
    """The network that a model folder's `config.json` describes, with fresh weights."""
    return build_network(
        config["architecture"],
        config["input"]["height"],
        config["input"]["width"],
        len(config["labels"]),
        scaling=config["preprocessing"]["scaling"],
        head=config["head"],
    )


def load_network(folder: "str | Path") -> tuple[keras.Model, dict]:
    """The trained network of a model folder, and its config."""
    folder = Path(folder)
    config = read_config(folder)
    if not (folder / WEIGHTS).is_file():
        raise ModelFolderError(
            f"{folder} has no Keras weights ({WEIGHTS}); it can be served, not converted or "
            "trained."
        )
    network = network_from_config(config)
    try:
        network.load_weights(folder / WEIGHTS)
    except Exception as error:
        raise ModelFolderError(
            f"{folder / WEIGHTS} does not fit {folder / CONFIG} or is damaged: {first_line(error)}"
        ) from None
    return network, config


def backbone_of(network: keras.Model) -> keras.Model:
    """The backbone inside a network that `build_network` made."""
    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def set_batchnorm_momentum(network: keras.Model, momentum: float) -> None:
    """Let moving statistics follow faster: Keras' 0.99 and 0.999 lag behind a short schedule."""
    for layer in network._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def predict_logits(network: keras.Model, images: np.ndarray, batch: int = 32) -> np.ndarray:
    """float32 logits [n, k] of uint8 images [n, height, width, 3]."""
    return np.asarray(network.predict(images, batch_size=batch, verbose=0), dtype=np.float32)


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """float64 probabilities [n, k] of logits, divided by `temperature` (Guo et al. 2017)."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def save_weights(network: keras.Model, path: "str | Path", dtype: str = "float32") -> None:
    """Write the network's weights; "float16" halves the file, for transport.

    Kernels are rounded to float16's 11 bits; biases and the figures of normalisation, which are
    few and may be out of its range, stay as they are. Keras reads either file.
    """
    network.save_weights(path)
    if dtype == "float32":
        return
    with replacing(path) as beside:
        with h5py.File(path) as whole, h5py.File(beside, "w") as half:

            def copy(name, item):
                if isinstance(item, h5py.Group):
                    target = half.require_group(name)
                else:
                    small = "f2" if item.ndim > 1 and item.dtype == np.float32 else None
                    target = half.create_dataset(name, data=item[()], dtype=small)
                target.attrs.update(item.attrs)

            half.attrs.update(whole.attrs)
            whole.visititems(copy)


def on_gpu() -> bool:
    """Whether Keras has an accelerator to run on."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    devices = [name.lower() for name in keras.distribution.list_devices()]
    return any(name.startswith(("gpu", "tpu", "cuda")) for name in devices)


def backend_device() -> str:
    """What Keras runs on, in words for the record."""
    name = keras.backend.backend()
    if name == "jax":
        import jax

        return f"jax {jax.devices()[0].device_kind}"
    if name == "torch":
        import torch

        return f"torch {torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'}"
    return f"{name} {', '.join(keras.distribution.list_devices())}"
