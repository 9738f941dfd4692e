"""The network: normalisation, a Keras backbone, one Dense head, and the evidence map of the head.

Keras 3 on any backend. Input: float32 or uint8 pixels [n, height, width, 3], 0-255, RGB.
Output: logits [n, classes].
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

from model.folder import CONFIG, WEIGHTS, ModelFolderError, read_config


@dataclass(frozen=True)
class Backbone:
    """A network of keras.applications: its class, published input size, and pixel scaling.

    `scaling` is what its ImageNet weights expect: "tf" is x / 127.5 - 1, "torch" ImageNet's mean
    and deviation, "inside" none, since the network holds its own. With `filters` it is a plain
    stack of 3x3 convolutions, ReLU and max pooling, without weights to download.
    """

    name: str
    size: int
    scaling: str
    filters: tuple[int, ...] = ()
    padding: str = "same"


BACKBONES = {
    "inception_resnet_v2": Backbone("InceptionResNetV2", 299, "tf"),
    "inception_v3": Backbone("InceptionV3", 299, "tf"),
    "xception": Backbone("Xception", 299, "tf"),
    "mobilenet": Backbone("MobileNet", 224, "tf"),
    "mobilenet_v2": Backbone("MobileNetV2", 224, "tf"),
    "mobilenet_v3_small": Backbone("MobileNetV3Small", 224, "inside"),
    "mobilenet_v3_large": Backbone("MobileNetV3Large", 224, "inside"),
    "nasnet_mobile": Backbone("NASNetMobile", 224, "tf"),
    "resnet50_v2": Backbone("ResNet50V2", 224, "tf"),
    "densenet121": Backbone("DenseNet121", 224, "torch"),
    "efficientnet_b0": Backbone("EfficientNetB0", 224, "inside"),
    "efficientnet_b1": Backbone("EfficientNetB1", 240, "inside"),
    "efficientnet_v2_b0": Backbone("EfficientNetV2B0", 224, "inside"),
    "efficientnet_v2_s": Backbone("EfficientNetV2S", 384, "inside"),
    "convnext_tiny": Backbone("ConvNeXtTiny", 224, "inside"),
    # The convolutions of the plain networks of P2 and P3 (model/published.py).
    "cnn_16_32": Backbone("plain", 224, "unit", (16, 32)),
    "cnn_32_32_64": Backbone("plain", 224, "unit", (32, 32, 64), "valid"),
    "cnn_192": Backbone("plain", 192, "unit", (32, 64, 128)),
}

SCALINGS = {
    "tf": ([1 / 127.5] * 3, [-1.0] * 3),
    "unit": ([1 / 255] * 3, [0.0] * 3),
    "inside": ([1.0] * 3, [0.0] * 3),
    "torch": (
        [1 / (255 * d) for d in (0.229, 0.224, 0.225)],
        [-m / d for m, d in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))],
    ),
}


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
    """Pixels to logits.

    `head="pooling"`: one Dense layer over the last feature map, then the mean over places: the
    Dense layer's map is the evidence whose mean is the logits (class activation mapping, Zhou et
    al. 2016). `head="flatten"`: Flatten and Dense, the published head. `scaling` is a key of
    SCALINGS, the backbone's own by default. `weights` is None or "imagenet".
    """
    if architecture not in BACKBONES:
        raise NetworkError(f"unknown backbone {architecture!r}; known are {', '.join(BACKBONES)}")
    spec = BACKBONES[architecture]
    scale, offset = SCALINGS[scaling or spec.scaling]
    try:
        if spec.filters:
            backbone = _plain(spec, height, width, weights)
        else:
            backbone = getattr(keras.applications, spec.name)(
                include_top=False, weights=weights, input_shape=(height, width, 3)
            )
    except Exception as error:
        if weights == "imagenet":
            raise NetworkError(
                f"ImageNet weights for {architecture} could not be had ({_first_line(error)}). "
                "With a network they download by themselves; without, start from --weights none, "
                "or from a model folder that train.py made on other pictures (--weights FOLDER)."
            ) from None
        raise NetworkError(f"{architecture} at {height}x{width}: {_first_line(error)}") from None
    pixels = keras.Input((height, width, 3), name="pixels")
    x = layers.Rescaling(scale, offset, dtype="float32", name="normalisation")(pixels)
    features = backbone(x)
    if head == "flatten":
        x = layers.Flatten(name="flatten")(features)
        x = layers.Dropout(dropout, name="dropout")(x)
        logits = layers.Dense(classes, dtype="float32", name="head")(x)
    else:
        # The same channels are dropped at every place: equal to dropout after pooling.
        shape = (None, 1, 1, features.shape[-1])
        x = layers.Dropout(dropout, noise_shape=shape, name="dropout")(features)
        evidence = layers.Dense(classes, dtype="float32", name="head")(x)
        logits = layers.GlobalAveragePooling2D(dtype="float32", name="logits")(evidence)
    return keras.Model(pixels, logits, name=f"{architecture}_{head}")


def _plain(spec: Backbone, height: int, width: int, weights: str | None) -> keras.Model:
    if weights:
        raise ValueError("a plain network has none")
    stack = [keras.Input((height, width, 3))]
    for filters in spec.filters:
        stack.append(layers.Conv2D(filters, 3, padding=spec.padding, activation="relu"))
        stack.append(layers.MaxPooling2D())
    return keras.Sequential(stack)


def _first_line(error: Exception) -> str:
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
            f"{folder} has no Keras weights ({WEIGHTS}); it can be served, not converted or trained."
        )
    network = network_from_config(config)
    try:
        network.load_weights(folder / WEIGHTS)
    except Exception as error:
        raise ModelFolderError(
            f"{folder / WEIGHTS} does not fit {folder / CONFIG} or is damaged: {_first_line(error)}"
        ) from None
    return network, config


def backbone_of(network: keras.Model) -> keras.Model:
    """The backbone inside a network that `build_network` made."""
    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def load_backbone(network: keras.Model, architecture: str, path: "str | Path") -> None:
    """Start `network`'s backbone from a model folder, whatever its labels, size and head, or from
    a Keras `.weights.h5` or `.h5` file of the bare backbone."""
    path = Path(path)
    target = backbone_of(network)
    if path.is_dir():
        source, config = load_network(path)
        if config["architecture"] != architecture:
            raise NetworkError(f"{path} holds {config['architecture']}, not {architecture}.")
        target.set_weights(backbone_of(source).get_weights())
        return
    if not path.is_file():
        raise NetworkError(
            f"--weights: there is no {path}. Use imagenet, none, a model folder, a model "
            "on the Hub (USER/NAME) or a weights file."
        )
    try:
        target.load_weights(path)
    except Exception as error:
        raise NetworkError(f"{path} does not fit {architecture}: {_first_line(error)}") from None


def set_batchnorm_momentum(network: keras.Model, momentum: float) -> None:
    """Let the moving statistics follow faster: Keras' 0.99 and 0.999 lag behind a short schedule."""
    for layer in network._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def with_evidence(network: keras.Model, config: dict) -> keras.Model:
    """Pixels to {"logits": [n, k], "evidence": [n, h, w, k]}; the evidence's mean is the logits."""
    features = network.get_layer("dropout").input
    if config["head"] == "flatten":
        features = network.get_layer("flatten").input
        height, width, channels = features.shape[1:]
        kernel, bias = network.get_layer("head").get_weights()
        local = layers.EinsumDense(
            "bhwc,hwck->bhwk", (height, width, len(bias)), bias_axes="k", name="evidence"
        )
        local.build(features.shape)
        places = height * width
        local.set_weights([kernel.reshape(height, width, channels, -1) * places, bias])
        evidence = local(features)
    else:
        evidence = network.get_layer("head").output
    return keras.Model(network.input, {"logits": network.output, "evidence": evidence})


def predict_logits(network: keras.Model, images: np.ndarray, batch: int = 32) -> np.ndarray:
    """float32 logits [n, k] of uint8 images [n, height, width, 3]."""
    return np.asarray(network.predict(images, batch_size=batch, verbose=0), dtype=np.float32)


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """float64 probabilities [n, k] of logits, divided by `temperature` (Guo et al. 2017)."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


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
