"""Intervals: figures of resampled lesions (Efron and Tibshirani, An introduction to the bootstrap,
1993, chapter 13)."""

from collections.abc import Callable, Sequence

import numpy as np

LEVEL = 0.95
BLOCK = 1_000_000  # weights held at a time (images x resamples), 8 MB


def clusters_of(lesions: Sequence[str]) -> np.ndarray:
    """Indices [n] of the lesions, counted from 0; an image without an id is a lesion of its own."""
    named = [
        f"#{row}" if lesion in (None, "") else f"={lesion}" for row, lesion in enumerate(lesions)
    ]
    return np.unique(named, return_inverse=True)[1]


def resampled(figures: Callable, clusters: np.ndarray, resamples: int, seed: int) -> dict:
    """figures(weights [n, r]) for the images as they are and for all resamples: {path: [1 + r]}.

    clusters: [n], those of clusters_of; each resample draws as many of them as there are.
    """
    random = np.random.default_rng(seed)
    lesions = clusters.max() + 1
    parts = [figures(np.ones((len(clusters), 1)))]
    block = max(1, BLOCK // len(clusters))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = random.integers(lesions, size=(lesions, count)) * count + np.arange(count)
        weights = np.bincount(drawn.ravel(), minlength=lesions * count).reshape(lesions, count)
        parts.append(figures(weights[clusters].astype(np.float64)))
    return {path: np.concatenate([part[path] for part in parts]) for path in parts[0]}


def interval(values: np.ndarray) -> dict:
    """The figure of values [1 + resamples]: the first is the value, the others its resamples."""
    value, draws = values[0], values[1:][~np.isnan(values[1:])]
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    low, high = None, None
    if len(draws):
        tail = (1 - LEVEL) / 2
        low, high = (round(float(q), 6) for q in np.quantile(draws, [tail, 1 - tail]))
    return {"value": round(float(value), 6), "low": low, "high": high}
