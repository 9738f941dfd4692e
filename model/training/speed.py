"""How fast a network trains, against what the device can do.

macs(network)                  multiply-adds of one image, one way
matmul_peak("bfloat16")        what a large matrix product reaches here, in FLOP/s
speed(rate, macs, peak)        the two together, for config.json
"""

import math
import time

import numpy as np
from keras import layers, ops

# Forward, and backward to the inputs and to the weights: three times the work of one way.
PASSES = 3
LARGEST = 8192  # side of the matrices, at most; 4 GB of memory traffic hides behind its 1.1 TFLOP
LONG_ENOUGH = 0.1  # seconds of one product, by which starting it no longer counts


def macs(network) -> int:
    """Multiply-adds of one image through the network, one way: convolutions and Dense layers.

    Counted from the layers' shapes; normalisation, activations and pooling are left out, as is
    usual. A layer is taken to be used once.
    """
    total = 0
    for layer in network._flatten_layers():
        if isinstance(layer, layers.SeparableConv2D):
            places = math.prod(layer.output.shape[1:3])
            depthwise, pointwise = layer.depthwise_kernel.shape, layer.pointwise_kernel.shape
            total += places * (math.prod(depthwise) + math.prod(pointwise))
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            # The kernel holds what one place of the output takes, groups considered.
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, layers.Dense):
            total += math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
    return total


def matmul_peak(dtype: str) -> float:
    """FLOP/s of the product of two large square matrices of `dtype`, by Keras' backend, the best
    of several; takes a second or two."""
    side, best = 512, 0.0
    while True:
        matrix = ops.cast(np.random.default_rng(0).standard_normal((side, side), "f4"), dtype)
        times = []
        for _ in range(4):  # the first one compiles
            start = time.perf_counter()
            ops.convert_to_numpy(ops.cast(ops.matmul(matrix, matrix)[0, 0], "float32"))
            times.append(time.perf_counter() - start)
        best = max(best, 2 * side**3 / min(times[1:]))
        if min(times[1:]) > LONG_ENOUGH or side >= LARGEST:
            return best
        side *= 2


def speed(images_per_second: float, macs: int, peak: float | None) -> dict:
    """The figures of a training's speed; peak in FLOP/s, or None where it was not measured."""
    flops = images_per_second * macs * 2 * PASSES
    return {
        "gmacs_per_image": round(macs / 1e9, 4),
        "tflops": round(flops / 1e12, 4),
        "matmul_peak_tflops": round(peak / 1e12, 4) if peak else None,
        "share_of_peak": round(flops / peak, 4) if peak else None,
    }


def speed_text(images_per_second: float, figures: dict) -> str:
    """`speed` as a line: N images/s, X TFLOP/s, Y % of the measured matmul peak."""
    text = f"{images_per_second:.1f} images/s, {figures['tflops']:.3g} TFLOP/s"
    if figures["share_of_peak"] is not None:
        text += f", {figures['share_of_peak']:.1%} of the measured matmul peak"
        text += f" ({figures['matmul_peak_tflops']:.3g} TFLOP/s)"
    return text
