"""The network: pixel scaling, a backbone and a head. Keras 3 on any backend.

Input: float32 or uint8 RGB pixels [n, height, width, 3], 0-255. Output: logits [n, classes].
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers, ops

from model.folder import CONFIG, WEIGHTS, ModelFolderError, UserError, read_config, replacing
from model.network.backbones import BACKBONES, SCALINGS, Backbone
from model.network.efficientnet_lite import SCALES, efficientnet_lite, load_imagenet

CPUINFO = Path("/proc/cpuinfo")  # Linux; only x86 has lines that begin with "flags"


class NetworkError(UserError):
    """Weights or settings that do not fit the network; the message says what to do."""


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
    """Build a network that maps pixels to logits [n, classes].

    `architecture` is a key of BACKBONES, `head` one of HEADS (see `add_head`), `scaling` a key of
    SCALINGS (default: the backbone's own), `weights` None or "imagenet". Raises NetworkError.
    """
    if architecture not in BACKBONES:
        raise NetworkError(f"unknown backbone {architecture!r}; known are {', '.join(BACKBONES)}")
    spec = BACKBONES[architecture]
    if head == "published" and not spec.hidden:
        raise NetworkError(
            f"{architecture} has no head of its own: use head=pooling or head=flatten"
        )
    try:
        backbone = _backbone(spec, height, width, weights)
    except Exception as error:
        if weights == "imagenet":
            way = "Install" if spec.name in SCALES else "Connect to the Internet to download"
            raise NetworkError(
                f"ImageNet weights for {architecture} are not available ({first_line(error)}). "
                f"{way} them, or start without (--weights none) or from a model folder of the same "
                "network: --weights model/bundled for inception_resnet_v2, --weights model/compact "
                "for efficientnet_lite2, or one that train.py made on other pictures."
            ) from None
        raise NetworkError(f"{architecture} at {height}x{width}: {first_line(error)}") from None
    scale, offset = SCALINGS[scaling or spec.scaling]
    pixels = keras.Input((height, width, 3), name="pixels")
    x = layers.Rescaling(scale, offset, dtype="float32", name="normalisation")(pixels)
    logits = add_head(backbone(x), head, classes, dropout, spec)
    return keras.Model(pixels, logits, name=f"{architecture}_{head}")


def _backbone(spec: Backbone, height: int, width: int, weights: str | None) -> keras.Model:
    if spec.filters:
        if weights:
            raise ValueError("a plain network has none")
        stack = [keras.Input((height, width, 3))]
        for filters in spec.filters:
            stack.append(layers.Conv2D(filters, 3, padding=spec.padding, activation="relu"))
            stack.append(layers.MaxPooling2D())
        return keras.Sequential(stack)
    if spec.name in SCALES:
        backbone = efficientnet_lite(spec.name, height, width)
        if weights:
            load_imagenet(backbone)
        return backbone
    make = getattr(keras.applications, spec.name)
    return make(include_top=False, weights=weights, input_shape=(height, width, 3))


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its class if the message is empty."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def add_head(features, head: str, classes: int, dropout: float, spec: Backbone):
    """Put a head on features [n, h, w, c] and return its logits [n, classes].

    "pooling": a Dense layer at every place, then the mean over places. The Dense layer's output is
    the class activation map (Zhou et al., CVPR 2016).
    "flatten": Flatten and Dense, the head of P1.
    "published": the head of P2's and P3's networks: Flatten (in MobileNetV2 the mean over places),
    the hidden Dense layer that `spec` describes, and Dense. For two classes the last layer computes
    one logit, as for a sigmoid. The other class has the logit 0, so the softmax of the two equals
    the sigmoid. P1, P2 and P3 are explained in backbones.py.
    """
    if head == "pooling":
        # The same channels are dropped at every place, as if dropout came after pooling.
        shape = (None, 1, 1, features.shape[-1])
        x = layers.Dropout(dropout, noise_shape=shape, name="dropout")(features)
        evidence = layers.Dense(classes, dtype="float32", name="head")(x)
        return layers.GlobalAveragePooling2D(dtype="float32", name="logits")(evidence)
    if head == "flatten":
        x = layers.Flatten(name="flatten")(features)
        x = layers.Dropout(dropout, name="dropout")(x)
        return layers.Dense(classes, dtype="float32", name="head")(x)
    x = layers.Dropout(dropout, name="dropout")(features)
    if spec.filters:
        x = layers.Flatten(name="flatten")(x)
    else:
        x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(spec.hidden, activation="relu", name="hidden")(x)
    if spec.normalised:
        x = layers.BatchNormalization(name="hidden_normalisation")(x)
    if classes > 2:
        return layers.Dense(classes, dtype="float32", name="head")(x)
    sigmoid = layers.Dense(1, dtype="float32", name="head")(x)
    nothing = layers.Rescaling(0.0, dtype="float32", name="other_logit")(sigmoid)
    return layers.Concatenate(dtype="float32", name="logits")([nothing, sigmoid])


def with_evidence(network: keras.Model, config: dict) -> keras.Model:
    """The network with its evidence map: pixels to {"logits": [n, k], "evidence": [n, h, w, k]}.

    The logits are the mean of the evidence over places. A published head is linear in those hidden
    units that are active, so the evidence of a place is its features times the gradient (Ancona et
    al., Towards better understanding of gradient-based attribution methods, ICLR 2018).
    """
    named = {layer.name: layer for layer in network.layers}
    head = named["head"]
    if config["head"] == "pooling":
        return keras.Model(network.input, {"logits": network.output, "evidence": head.output})
    if config["head"] == "flatten":
        features = named["flatten"].input
        local = _by_place(features, *head.get_weights(), "evidence")
        return keras.Model(network.input, {"logits": network.output, "evidence": local(features)})
    features = named["dropout"].input
    kernel, bias = named["hidden"].get_weights()
    if "pooled" in named:
        by_place = layers.Dense(len(bias), dtype="float32", name="hidden_by_place")
        local = by_place(features)
        by_place.set_weights([kernel, bias])
    else:
        local = _by_place(features, kernel, bias, "hidden_by_place")(features)
    total = layers.GlobalAveragePooling2D(keepdims=True, dtype="float32")(local)
    active = ops.cast(total > 0, "float32")
    kernel, bias = head.get_weights()
    if norm := named.get("hidden_normalisation"):
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        kernel, bias = scale[:, None] * kernel, bias + (beta - mean * scale) @ kernel
    if head.units < len(config["labels"]):
        kernel, bias = (np.concatenate([0 * part, part], axis=-1) for part in (kernel, bias))
    output = layers.Dense(kernel.shape[1], dtype="float32", name="evidence")
    evidence = output(local * active)
    output.set_weights([kernel, bias])
    logits = layers.GlobalAveragePooling2D(dtype="float32", name="mean_evidence")(evidence)
    return keras.Model(network.input, {"logits": logits, "evidence": evidence})


def _by_place(features, kernel, bias, name):
    """A layer that splits the output of a Dense layer on flattened features [n, h, w, c] by place:
    the mean over places of its output [n, h, w, units] is the Dense layer's output."""
    height, width, channels = features.shape[1:]
    local = layers.EinsumDense(
        "bhwc,hwck->bhwk", (height, width, len(bias)), bias_axes="k", dtype="float32", name=name
    )
    local.build(features.shape)
    places = height * width
    local.set_weights([kernel.reshape(height, width, channels, -1) * places, bias])
    return local


def network_from_config(config: dict) -> keras.Model:
    """Build the network that a model folder's `config.json` describes, with random weights."""
    return build_network(
        config["architecture"],
        config["input"]["height"],
        config["input"]["width"],
        len(config["labels"]),
        scaling=config["preprocessing"]["scaling"],
        head=config["head"],
    )


def load_network(folder: "str | Path") -> tuple[keras.Model, dict]:
    """Load the trained network of a model folder, and its config. Raises ModelFolderError."""
    folder = Path(folder)
    config = read_config(folder)
    if not (folder / WEIGHTS).is_file():
        raise ModelFolderError(
            f"{folder} has no Keras weights ({WEIGHTS}): it can be served, but not converted or "
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


def save_weights(network: keras.Model, path: "str | Path", dtype: str = "float32") -> None:
    """Write the network's weights to `path`; `dtype` "float16" halves the file. Keras loads either.

    Only kernels are rounded to float16 (11 significant bits). Biases and the weights of
    normalisation are few, and some are outside the range of float16.
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


def backbone_of(network: keras.Model) -> keras.Model:
    """The backbone inside a network that `build_network` made."""
    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def all_layers(network: keras.Model) -> Iterator[keras.Layer]:
    """The layers of a network, including those of the models inside it, in order."""
    for layer in network.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)


def set_batchnorm_momentum(network: keras.Model, momentum: float) -> None:
    """Set the momentum of every batch normalisation. With Keras' 0.99 or 0.999 the moving
    statistics lag behind in a short training."""
    for layer in all_layers(network):
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def predict_logits(network: keras.Model, images: np.ndarray, batch: int = 32) -> np.ndarray:
    """float32 logits [n, k] of uint8 images [n, height, width, 3]."""
    return np.asarray(network.predict(images, batch_size=batch, verbose=0), dtype=np.float32)


def on_gpu() -> bool:
    """Whether Keras runs on an accelerator."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    devices = [name.lower() for name in keras.distribution.list_devices()]
    return any(name.startswith(("gpu", "tpu", "cuda")) for name in devices)


def emulates(precision: str) -> bool:
    """Whether this processor computes in 16 bits, as `precision` asks, by way of float32, which is
    many times as slow as float32 itself. False where this is not known: on a GPU, and on systems
    other than Linux on x86."""
    wanted = {
        "mixed_bfloat16": {"avx512_bf16", "amx_bf16"},
        "mixed_float16": {"avx512_fp16", "amx_fp16"},
    }
    if precision not in wanted or not CPUINFO.is_file() or on_gpu():
        return False
    lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = [set(line.split()) for line in lines if line.startswith("flags")]
    return bool(flags) and not flags[0] & wanted[precision]


def backend_device() -> str:
    """Keras' backend and its device, as recorded in config.json."""
    name = keras.backend.backend()
    if name == "jax":
        import jax

        return f"jax {jax.devices()[0].device_kind}"
    if name == "torch":
        import torch

        return f"torch {torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'}"
    return f"{name} {', '.join(keras.distribution.list_devices())}"
