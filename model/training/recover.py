"""Keras weights out of a `model.tflite`, for a model folder without others, as the bundled one.

A TF Lite file keeps each convolution under its layer's name, with the batch normalisation behind it
folded into kernel and bias, in int8 by its channels where it was quantised. Unfolded they are the
weights of a network that answers as the file does, up to int8's rounding, and that can be trained
on. Backbones of plain convolutions, each with its own normalisation or none (InceptionResNetV2,
InceptionV3 and such), can be had back so; others are refused.
"""

import re
from pathlib import Path

import keras
import numpy as np
from keras import layers

from model.folder import TFLITE, read_config
from model.network.network import (
    NetworkError,
    backbone_of,
    network_from_config,
    predict_logits,
    softmax,
)

PRODUCTS = "CONV_2D", "FULLY_CONNECTED"
# Of the probabilities: what int8's rounding of what a layer takes in may make of them.
TOLERANCE = 0.1
BATCH = 32


def recover(folder: "str | Path", images: np.ndarray) -> tuple[keras.Model, dict]:
    """The network of a model folder from its `model.tflite`, and its config.

    `images`: uint8 [n, height, width, 3] of any size, as it will be trained on; from some hundred
    of them each normalisation takes its moving mean, which the file does not hold. Raises
    NetworkError for a network that cannot be had back.
    """
    folder = Path(folder)
    config = read_config(folder)
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float32")
    try:
        network = network_from_config(config)
    finally:
        keras.mixed_precision.set_global_policy(policy)
    products = _products(folder / TFLITE)
    learned = [
        layer
        for layer in network._flatten_layers()
        if isinstance(layer, (layers.Conv2D, layers.Dense))
    ]
    learned.sort(key=lambda layer: _natural(layer.name))
    if [layer.kernel.shape for layer in learned] != [p[0].shape for p in products]:
        raise NetworkError(_refusal(folder, "its layers are not those of the network"))
    for layer, (kernel, bias) in zip(learned, products):
        follower = layer._outbound_nodes[0].operation
        if isinstance(follower, layers.BatchNormalization):
            _unfold(follower, bias)
        elif layer.use_bias:
            # InceptionResNetV2 scales what a block adds; the file holds kernel and bias scaled.
            scale = getattr(follower, "scale", 1.0)
            kernel, bias = kernel / scale, bias / scale
            layer.bias.assign(bias)
        layer.kernel.assign(kernel)
    _compare(folder, network, config)
    _centre(network, images)
    return network, config


def _products(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel, as Keras shapes it, and bias of each product in the file, in the layers' order."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    tensors = {each["index"]: each for each in interpreter.get_tensor_details()}
    operations = interpreter._get_ops_details()
    halves = {o["outputs"][0]: o["inputs"][0] for o in operations if o["op_name"] == "DEQUANTIZE"}

    def numbers(index):
        index = halves.get(index, index)
        value = interpreter.get_tensor(index).astype(np.float32)
        scales = tensors[index]["quantization_parameters"]["scales"]
        # By output channel, which comes first, and around 0.
        return value * scales.reshape(-1, *[1] * (value.ndim - 1)) if len(scales) else value

    found = []
    for operation in operations:
        if operation["op_name"] in PRODUCTS:
            _, kernel, bias = operation["inputs"]
            name = _layer_name(tensors[kernel]["name"])
            # [out, ..., in] to [..., in, out]
            found.append((_natural(name), np.moveaxis(numbers(kernel), 0, -1), numbers(bias)))
    return [(kernel, bias) for _, kernel, bias in sorted(found, key=lambda each: each[0])]


def _layer_name(tensor: str) -> str:
    """ "a/conv2d_5_1/convolution" to "conv2d_5": the exporter numbers each name once more."""
    scopes = tensor.split(";")[0].split("/")
    end = next((i for i, s in enumerate(scopes) if s in ("convolution", "Tensordot", "MatMul")), -1)
    return re.sub(r"_\d+$", "", scopes[end - 1])


def _natural(name: str) -> list:
    """conv2d_9 before conv2d_10, and the same for names that count from another number."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _unfold(norm, bias) -> None:
    """Let `norm` add the bias and nothing else."""
    if norm.scale:
        norm.gamma.assign(np.ones(norm.gamma.shape))
    norm.moving_mean.assign(np.zeros(norm.moving_mean.shape))
    norm.moving_variance.assign(np.full(norm.moving_variance.shape, 1.0 - norm.epsilon))
    norm.beta.assign(bias)


def _centre(network: keras.Model, images: np.ndarray) -> None:
    """Give each normalisation the mean of what it takes in as moving mean, and to its shift what
    that takes away: in training, where the mean is the batch's, the answers stay what they are."""
    norms = [x for x in network._flatten_layers() if isinstance(x, layers.BatchNormalization)]
    if not norms:
        return
    backbone = backbone_of(network)
    means = keras.Model(
        backbone.input, [keras.ops.mean(norm.input, axis=(0, 1, 2)) for norm in norms]
    )
    scale = network.get_layer("normalisation")
    chosen = images[:: -(-len(images) // (8 * BATCH))]
    found = [
        means(scale(_resized(chosen[i : i + BATCH], network)), training=False)
        for i in range(0, len(chosen), BATCH)
    ]
    for norm, values in zip(norms, zip(*found)):
        mean = np.mean([keras.ops.convert_to_numpy(value) for value in values], axis=0)
        norm.moving_mean.assign(mean)
        norm.beta.assign(keras.ops.convert_to_numpy(norm.beta) + mean)


def _resized(images, network):
    pixels = np.asarray(images, dtype=np.float32)
    return keras.ops.image.resize(pixels, network.input.shape[1:3], data_format="channels_last")


def _compare(folder, network, config) -> None:
    """Raise NetworkError where the network's answers are not the file's."""
    from model.classifier import Classifier

    made = np.random.default_rng(0)
    size = config["input"]["height"], config["input"]["width"]
    pictures = made.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    pictures = pictures.repeat(-(-size[0] // 6), axis=1).repeat(-(-size[1] // 8), axis=2)
    pictures = pictures[:, : size[0], : size[1]]
    classifier = Classifier(folder)
    theirs = np.stack([classifier.run(picture)[0] for picture in pictures])
    ours = softmax(predict_logits(network, pictures), config["calibration"]["temperature"])
    if not np.abs(ours - theirs).max() < TOLERANCE:
        raise NetworkError(_refusal(folder, "its answers are not those of the file"))


def _refusal(folder, why: str) -> str:
    return (
        f"{folder} has no Keras weights, and they cannot be had back from its {TFLITE}: {why}. "
        "Start from a folder with model.weights.h5."
    )
