"""Familiarity: how much a picture resembles the training pictures. Part of the TF Lite graph.

A picture is described by 20 statistics of colour, contrast and detail at four scales, and by its
12 x 16 thumbnail. Its distance from the training pictures is the Mahalanobis distance, computed
separately for the two parts and weighted equally (De Maesschalck et al., The Mahalanobis distance,
Chemometrics 2000). Lee et al. (NeurIPS 2018) measure it on the network's features. Pixels separate
better: HAM10000's validation images from those of tiny-imagenet with an AUROC of 0.997 (features:
0.947), and from generated pictures with 0.999 (features: 0.993). The features were those of
EfficientNetV2B0 after 7 epochs (last feature map; the best number of components from 16 to 512). On
pixels, familiarity does not depend on the backbone and needs no outliers for fitting.
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

GRID = 48, 64  # height and width that pictures are reduced to first
COMPONENTS = 64  # principal components that are kept of the thumbnail's 576 values
STATISTICS = 20  # number of statistics; they precede the thumbnail in a description
# One grey level. It keeps logarithms finite, and its square keeps variances above zero.
FLOOR = 1 / 255


@dataclass(frozen=True)
class Reference:
    """The training pictures as `fit` saw them: the mean of their descriptions, float32 [d], and a
    whitening matrix, float32 [d, k]. The squared norm of a whitened description is 2 on average."""

    mean: np.ndarray
    matrix: np.ndarray


def describe(pixels):
    """Descriptions [n, 596] of float32 pixels [n, height, width, 3], 0-255."""
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
    """Familiarity, float32 [n], 0 to 1, of float32 pixels [n, height, width, 3], 0-255.

    0.5: the picture is as far from the mean of the training pictures as these are on average. For
    pictures that are farther away it approaches 0.
    """
    centred = describe(pixels) - reference.mean
    # Not a matmul: dynamic-range quantisation would round its weights.
    whitened = ops.sum(centred[:, :, None] * reference.matrix[None], axis=1)
    return 2.0 / (2.0 + ops.sum(ops.square(whitened), axis=1))


def fit(images: np.ndarray) -> Reference:
    """Fit mean and whitening to training pictures, uint8 [n, height, width, 3], and their mirror
    images."""
    described = []
    for start in range(0, len(images), 64):
        batch = np.asarray(images[start : start + 64], dtype=np.float32)
        for flipped in (batch, batch[:, ::-1], batch[:, :, ::-1], batch[:, ::-1, ::-1]):
            described.append(ops.convert_to_numpy(describe(ops.convert_to_tensor(flipped.copy()))))
    descriptions = np.concatenate(described).astype(np.float64)
    matrix = np.zeros((descriptions.shape[1], STATISTICS + COMPONENTS))
    matrix[:STATISTICS, :STATISTICS] = _whitening(descriptions[:, :STATISTICS], STATISTICS)
    matrix[STATISTICS:, STATISTICS:] = _whitening(descriptions[:, STATISTICS:], COMPONENTS)
    return Reference(descriptions.mean(axis=0).astype(np.float32), matrix.astype(np.float32))


def _whitening(values, components):
    variances, axes = np.linalg.eigh(np.cov(values.T))
    order = np.argsort(variances)[::-1][:components]
    return axes[:, order] / np.sqrt((variances[order] + FLOOR**2) * components)
