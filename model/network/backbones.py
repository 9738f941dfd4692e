"""The networks that can be trained, as plain data. Importing this file imports no Keras."""

from dataclasses import dataclass

HEADS = ("pooling", "flatten", "published")
WEIGHTS_DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class Backbone:
    """A backbone: its title in print, the name of its class in keras.applications (or its name in
    efficientnet_lite.py), its published input size in pixels, and the pixel scaling (a key of
    SCALINGS) that its ImageNet weights expect.

    A backbone with `filters` is a plain stack of 3x3 convolutions, ReLU and max pooling, and has no
    ImageNet weights. `hidden`, `dropout` and `normalised` describe its published head: units of the
    hidden layer, dropout rate, and whether batch normalisation follows that layer.
    """

    title: str
    name: str
    size: int
    scaling: str
    filters: tuple[int, ...] = ()
    padding: str = "same"
    hidden: int | None = None
    dropout: float = 0.0
    normalised: bool = False


# P1, P2 and P3 are the published works cited in model/hub/published.json.
BACKBONES = {
    "inception_resnet_v2": Backbone("InceptionResNetV2", "InceptionResNetV2", 299, "tf"),
    "inception_v3": Backbone("InceptionV3", "InceptionV3", 299, "tf"),
    "xception": Backbone("Xception", "Xception", 299, "tf"),
    "mobilenet": Backbone("MobileNet", "MobileNet", 224, "tf"),
    "mobilenet_v2": Backbone("MobileNetV2", "MobileNetV2", 224, "tf", hidden=128),  # P3's head
    "mobilenet_v3_small": Backbone("MobileNetV3Small", "MobileNetV3Small", 224, "inside"),
    "mobilenet_v3_large": Backbone("MobileNetV3Large", "MobileNetV3Large", 224, "inside"),
    "nasnet_mobile": Backbone("NASNetMobile", "NASNetMobile", 224, "tf"),
    "resnet50_v2": Backbone("ResNet50V2", "ResNet50V2", 224, "tf"),
    "densenet121": Backbone("DenseNet121", "DenseNet121", 224, "torch"),
    "efficientnet_b0": Backbone("EfficientNetB0", "EfficientNetB0", 224, "inside"),
    "efficientnet_b1": Backbone("EfficientNetB1", "EfficientNetB1", 240, "inside"),
    "efficientnet_lite0": Backbone("EfficientNet-Lite0", "lite0", 224, "lite"),
    "efficientnet_lite1": Backbone("EfficientNet-Lite1", "lite1", 240, "lite"),
    "efficientnet_lite2": Backbone("EfficientNet-Lite2", "lite2", 260, "lite"),
    "efficientnet_v2_b0": Backbone("EfficientNetV2B0", "EfficientNetV2B0", 224, "inside"),
    "efficientnet_v2_s": Backbone("EfficientNetV2S", "EfficientNetV2S", 384, "inside"),
    "convnext_tiny": Backbone("ConvNeXtTiny", "ConvNeXtTiny", 224, "inside"),
    # The plain networks of P2 and P3.
    "cnn_16_32": Backbone("CNN of Conv 16, 32", "plain", 224, "unit", (16, 32), hidden=64),
    "cnn_32_32_64": Backbone(
        "CNN of Conv 32, 32, 64", "plain", 224, "unit", (32, 32, 64), "valid", hidden=64
    ),
    "cnn_192": Backbone(
        "CNN of Conv 32, 64, 128",
        "plain",
        192,
        "unit",
        (32, 64, 128),
        hidden=128,  # P3 does not state it; this is the width in its other network
        dropout=0.25,
        normalised=True,
    ),
}


def title_of(architecture: str) -> str:
    """A backbone's name in print; that of an unknown architecture as it is."""
    return BACKBONES[architecture].title if architecture in BACKBONES else architecture


# Scale and offset of each colour channel, for pixels 0-255. "inside": the network scales them.
SCALINGS = {
    "tf": ([1 / 127.5] * 3, [-1.0] * 3),
    "lite": ([1 / 128] * 3, [-127 / 128] * 3),
    "unit": ([1 / 255] * 3, [0.0] * 3),
    "inside": ([1.0] * 3, [0.0] * 3),
    "torch": (  # ImageNet's mean and standard deviation
        [1 / (255 * d) for d in (0.229, 0.224, 0.225)],
        [-m / d for m, d in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))],
    ),
}
