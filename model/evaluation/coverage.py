"""What prediction sets cover: how often they hold the true label, and how many labels they name.

Of each level of model/sets.py: `coverage`, the share of images whose set holds the true label;
`size`, the mean number of labels in a set; `single`, the share of sets with one label only. These
are figures as in model/evaluation/metrics.py, with the same bootstrap over lesions.
"""

from collections.abc import Sequence

import numpy as np

from model.evaluation.metrics import bootstrap, clusters_of, interval, names_of
from model.sets import LEVELS, always, prediction_set


def members(
    labels: Sequence[str], probabilities: np.ndarray, config: dict, level: float
) -> np.ndarray:
    """bool [n, k], which of the labels are in the set of each image; probabilities: [n, k], 0 to 1;
    config: a model's config.json, with sets."""
    sets = (
        prediction_set(dict(zip(labels, row)), config, level)
        for row in np.asarray(probabilities).tolist()
    )
    return np.array([[label in found for label in labels] for found in map(set, sets)])


def set_metrics(
    labels: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    lesions: Sequence[str],
    config: dict,
    groups: dict[str, Sequence[str]],
    resamples: int = 1000,
    seed: int = 0,
    unit: str = "lesion",
) -> dict | None:
    """`sets` of metrics.json; None if `config`, a model's config.json, has no sets.

    truth: [n] indices into labels; probabilities: [n, k], 0 to 1, as served; lesions: [n] lesion
    ids; groups: {subgroup: [n] names}, of which None and "" count as "unknown"; unit: what
    `lesions` names, "lesion" or, where each image counts by itself, "image".

    Under `levels`: {level: the figures of all images, with `n` and, of lesions, `lesions`;
    `per_class`, those of the images of each label; `subgroups`, {subgroup: {name: those of its
    images}}}. `always`: see model/sets.py.
    """
    if prediction_set(dict.fromkeys(labels, 0.0), config) is None:
        return None
    truth, clusters = np.asarray(truth), clusters_of(lesions)
    counted = unit == "lesion" and any(lesions)
    parts = {("per_class", label): truth == index for index, label in enumerate(labels)}
    for key, values in groups.items():
        names = names_of(values)
        parts |= {("subgroups", key, name): names == name for name in np.unique(names).tolist()}

    found, levels = config["calibration"]["sets"], {}
    for level in LEVELS:
        within = members(labels, probabilities, config, level)
        size = within.sum(axis=1)
        images = np.stack([within[np.arange(len(truth)), truth], size, size == 1])
        entry = _figures(images, clusters, counted, resamples, seed)
        for path, rows in parts.items():
            tree = entry
            for key in path[:-1]:
                tree = tree.setdefault(key, {})
            tree[path[-1]] = _figures(images[:, rows], clusters[rows], counted, resamples, seed)
        levels[str(level)] = entry
    return {"method": found["method"], "always": always(found), "levels": levels}


def _figures(images, clusters, counted, resamples, seed):
    """The figures of images: rows [3, n], whether the set holds the truth, its size, and whether it
    is of one label; clusters: [n], the lesion of each image; counted: whether to tell their
    number."""
    names, n = ("coverage", "size", "single"), len(clusters)
    entry = {"n": n} | ({"lesions": len(np.unique(clusters))} if counted else {})
    if n == 0:
        return entry | {name: {"value": None, "low": None, "high": None} for name in names}

    def figures(weights):
        return dict(zip(names, images.astype(np.float64) @ weights / weights.sum(axis=0)))

    numbered = np.unique(clusters, return_inverse=True)[1]  # from 0, as `bootstrap` draws them
    draws = bootstrap(figures, numbered, resamples, seed)
    return entry | {name: interval(values) for name, values in draws.items()}
