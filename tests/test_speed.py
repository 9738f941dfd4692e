import numpy as np
import pytest

from model.network.network import build_network
from model.training import speed as s


@pytest.mark.parametrize(
    "architecture, size, classes, gmacs",
    [
        # As timm lists InceptionResNetV2 (13.18) and Xception (8.4), and the papers MobileNetV2
        # (Sandler et al. 2018) and ConvNeXt-T (Liu et al. 2022).
        ("inception_resnet_v2", 299, 1000, 13.2),
        ("mobilenet_v2", 224, 1000, 0.30),
        ("convnext_tiny", 224, 1000, 4.5),
        ("xception", 299, 1000, 8.4),
    ],
)
def test_multiply_adds_are_the_known_ones(architecture, size, classes, gmacs):
    network = build_network(architecture, size, size, classes)
    # The head works at every place of the last feature map, the printed ones' after pooling.
    places = np.prod(network.get_layer("head").output.shape[1:3]) - 1
    extra = places * np.prod(network.get_layer("head").kernel.shape)
    assert s.macs(network) - extra == pytest.approx(gmacs * 1e9, rel=0.02)


def test_speed_counts_both_ways_against_the_peak():
    figures = s.speed(100.0, 10**9, 2e12)
    assert figures["tflops"] == 0.6 and figures["share_of_peak"] == 0.3
    text = s.speed_text(100.0, figures)
    assert text == "100.0 images/s, 0.6 TFLOP/s, 30.0% of the measured matmul peak (2 TFLOP/s)"
    assert s.speed_text(100.0, s.speed(100.0, 10**9, None)) == "100.0 images/s, 0.6 TFLOP/s"


def test_peak_is_that_of_a_matrix_product(monkeypatch):
    import time

    monkeypatch.setattr(s, "LONG_ENOUGH", 0.01)
    assert s.matmul_peak("bfloat16") > 0
    peak = s.matmul_peak("float32")
    # A smaller product by another library cannot be thousands of times off.
    a = np.random.default_rng(0).standard_normal((512, 512), "f4")
    a @ a
    start = time.perf_counter()
    a @ a
    ours = 2 * 512**3 / (time.perf_counter() - start)
    assert ours / 100 < peak < ours * 100
