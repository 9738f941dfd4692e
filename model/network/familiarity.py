"""How like its training pictures a picture is, as part of the TF Lite graph; Keras 3, any backend.

A picture is described by 20 figures of colour, contrast and detail at four scales and by its
12 x 16 thumbnail; the distance is Mahalanobis' to the training pictures, whitened within each of
the two parts and the parts weighing the same (De Maesschalck et al., The Mahalanobis distance,
Chemometrics 2000; for pictures far from the training data, Lee et al., NeurIPS 2018). It is taken
of the pixels and not, as Lee et al. do, of the network's features: those told HAM10000's validation
images from tiny-imagenet's with an AUROC of 0.947 and from made junk with 0.993 (EfficientNetV2B0
after 7 epochs, last feature map, the best of 16 to 512 components), the pixels with 0.997 and
0.999. And so it is the same for any backbone, and needs no outliers to learn from.
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

GRID = 48, 64  # the size that everything is computed at
COMPONENTS = 64  # of the thumbnail's 576 values
COMMON = 20  # figures before the thumbnail in the description
# One grey level: added where a logarithm, and its square where a variance, could be of nothing.
FLOOR = 1 / 255


@dataclass(frozen=True)
class Reference:
    """What `fit` learned: `mean` float32 [d], and `matrix` float32 [d, k], whose product with a
    description less its mean has squares that sum to 2 for the average training picture."""

    mean: np.ndarray
    matrix: np.ndarray


def describe(pixels):
    """float32 pixels [n, height, width, 3], 0-255, to descriptions [n, 596]."""
    x = pixels / 255.0
    stride = tuple(max(1, have // want) for have, want in zip(x.shape[1:3], GRID))
    if stride != (1, 1):
        x = ops.average_pool(x, stride, stride, data_format="channels_last")
    if tuple(x.shape[1:3]) != GRID:
        x = ops.image.resize(x, GRID, data_format="channels_last")
    differences = x[..., :2] - x[..., 1:]  # R - G, G - B
    deviations = [_deviation(x), _deviation(differences)]
    figures = [ops.mean(x, axis=(1, 2)), *(ops.log(d + FLOOR) for d in deviations)]
    for level in range(4):
        quarters = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        x = sum(quarters) / 4.0
        detail = sum(ops.mean(ops.abs(q - x), axis=(1, 2)) for q in quarters) / 4.0
        figures.append(ops.log(detail + FLOOR / 2))
        if level == 1:
            thumbnail = ops.reshape(x, (-1, x.shape[1] * x.shape[2] * 3))
    return ops.concatenate([*figures, thumbnail], axis=1)


def _deviation(x):
    return ops.sqrt(ops.mean(ops.square(x - ops.mean(x, axis=(1, 2), keepdims=True)), axis=(1, 2)))


def familiarity(pixels, reference: Reference):
    """float32 [n], 0 to 1 of pixels [n, height, width, 3]: 0.5 for a picture as far from the mean
    of the training pictures as they are on average, towards 0 the further it is."""
    centred = describe(pixels) - reference.mean
    # A product and a sum rather than a matmul, whose weights dynamic quantisation would round.
    whitened = ops.sum(centred[:, :, None] * reference.matrix[None], axis=1)
    return 2.0 / (2.0 + ops.sum(ops.square(whitened), axis=1))


def fit(images: np.ndarray) -> Reference:
    """Learn from training pictures, uint8 [n, height, width, 3], and their mirror images."""
    found = []
    for start in range(0, len(images), 64):
        batch = np.asarray(images[start : start + 64], dtype=np.float32)
        for flipped in (batch, batch[:, ::-1], batch[:, :, ::-1], batch[:, ::-1, ::-1]):
            found.append(ops.convert_to_numpy(describe(ops.convert_to_tensor(flipped.copy()))))
    descriptions = np.concatenate(found).astype(np.float64)
    matrix = np.zeros((descriptions.shape[1], COMMON + COMPONENTS))
    matrix[:COMMON, :COMMON] = _whitening(descriptions[:, :COMMON], COMMON)
    matrix[COMMON:, COMMON:] = _whitening(descriptions[:, COMMON:], COMPONENTS)
    return Reference(descriptions.mean(axis=0).astype(np.float32), matrix.astype(np.float32))


def _whitening(values, components):
    variances, axes = np.linalg.eigh(np.cov(values.T))
    order = np.argsort(variances)[::-1][:components]
    return axes[:, order] / np.sqrt((variances[order] + FLOOR**2) * components)
