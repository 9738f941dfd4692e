"""Classification metrics, each with a bootstrap confidence interval.

A figure is {"value", "low", "high"}: the value on the images as they are, and the 95 % percentile
interval over bootstrap resamples of *lesions* (Efron and Tibshirani, An introduction to the
bootstrap, 1993, chapter 13). Views of one lesion are not independent, so a lesion is drawn with all
its images or not at all. An undefined figure, such as the recall of a class without images, is
null; resamples in which a figure is undefined do not count towards its interval.

Averages over classes (balanced accuracy, macro figures, ROC AUC) run over the classes that the
images hold, as in scikit-learn's balanced_accuracy_score. A class that is present but never
predicted has precision 0 and F1 0. Among equally probable classes the first ranks first.
"""

import bisect
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import confusion_matrix, roc_curve

from model.groups import NAMED, UNKNOWN

LEVEL = 0.95  # of the intervals
BLOCK = 1_000_000  # weights held at a time (images x resamples), 8 MB
BINS = 15  # of the reliability figure and the calibration error, as in Guo et al. 2017
ROC_POINTS = 100
BANDS = ("0-29", "30-44", "45-59", "60-74", "75+")  # of age, in years
EPSILON = 1e-7  # lower bound of a probability in the log-loss


def classification_metrics(
    labels: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    lesions: Sequence[str],
    *,
    suspicious: Sequence[str] = (),
    threshold: float | None = None,
    unit: str = "lesion",
    resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """All figures of one classifier on one set of images, ready for metrics.json.

    labels: k >= 2 class codes. truth: [n] indices into labels. probabilities: [n, k], 0 to 1.
    lesions: [n] lesion ids; an image whose id is empty or None is a lesion of its own.
    suspicious, threshold: an image is suspicious when the probabilities of these codes sum to at
    least the threshold; without a threshold the key `suspicious` is left out.
    unit: what `lesions` names, "lesion" or, where each image counts by itself, "image".
    resamples: 0 leaves every interval null. Raises ValueError for arrays that do not fit together.

    `log_loss` is the mean of -log of the probability of the true class (at least 1e-7), in nats.
    Macro ROC AUC is one-versus-rest, unweighted. The expected calibration error is that of Guo
    et al., On calibration of modern neural networks, ICML 2017 (15 bins of equal width over the
    highest probability); resampling adds noise to every bin, so its interval is biased upwards
    and may lie entirely above the value.
    """
    labels = list(labels)
    truth, probabilities = _checked(labels, truth, probabilities, lesions)
    k, n = len(labels), len(truth)
    if unknown := [code for code in suspicious if code not in labels]:
        raise ValueError(f"suspicious names {unknown}, which are not among the labels {labels}.")
    predicted = probabilities.argmax(axis=1)
    support = np.bincount(truth, minlength=k)
    options = {"suspicious": suspicious, "threshold": threshold}
    options |= {"resamples": resamples, "seed": seed}
    figures = draws(labels, truth, probabilities, lesions, **options)

    result = {
        "n": n,
        "interval": {
            "level": LEVEL,
            "unit": unit if any(lesions) else "image",
            "units": int(clusters_of(lesions).max()) + 1,
            "resamples": resamples,
            "seed": seed,
        },
        "support": {label: int(count) for label, count in zip(labels, support)},
    }
    for path, values in figures.items():
        _put(result, path, interval(values))
    for index, label in enumerate(labels):
        entry = result["per_class"][label]
        entry["support"] = int(support[index])
        entry["roc_curve"] = _roc_points(truth == index, probabilities[:, index])
    result["baseline"]["label"] = labels[int(support.argmax())]
    if "suspicious" in result:
        result["suspicious"] |= {"labels": list(suspicious), "threshold": float(threshold)}
    result["confusion"] = confusion_matrix(truth, predicted, labels=np.arange(k)).tolist()
    result["reliability"] = reliability_bins(truth, probabilities)
    return result


def draws(
    labels: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    lesions: Sequence[str],
    *,
    suspicious: Sequence[str] = (),
    threshold: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[tuple[str, ...], np.ndarray]:
    """Every figure of classification_metrics, by its path there, as [1 + resamples] values.

    The first value is that of the images as they are; NaN stands for an undefined figure. With the
    same lesions and seed two classifiers share their resamples, so their draws can be subtracted.
    """
    labels = list(labels)
    truth, probabilities = _checked(labels, truth, probabilities, lesions)
    support = np.bincount(truth, minlength=len(labels))
    rows, scores = _rows(labels, truth, probabilities, suspicious, threshold)
    return bootstrap(
        lambda weights: _figures(labels, rows, scores, support, weights),
        clusters_of(lesions),
        resamples,
        seed,
    )


def subgroup_metrics(
    labels: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    lesions: Sequence[str],
    groups: Sequence[str],
    **options,
) -> dict:
    """The main figures of each group of images, in alphabetical order of the groups.

    groups: [n] names such as the clinic of origin, the sex or the age band; None and "" count as
    "unknown". options: those of classification_metrics. If `lesions` names lesions, their number in
    the group is in `lesions`.
    """
    lesions = list(lesions)
    truth, probabilities = _checked(labels, truth, probabilities, lesions)
    names = names_of(groups)
    if len(names) != len(truth):
        raise ValueError(f"{len(names)} groups for {len(truth)} images.")
    keep = ("n", "support", "top_1", "balanced_accuracy", "macro_f1", *NAMED, "suspicious")
    result = {}
    for name in np.unique(names).tolist():
        rows = np.flatnonzero(names == name)
        metrics = classification_metrics(
            labels, truth[rows], probabilities[rows], [lesions[row] for row in rows], **options
        )
        result[name] = {key: metrics[key] for key in keep if key in metrics}
        if metrics["interval"]["unit"] == "lesion":
            result[name]["lesions"] = metrics["interval"]["units"]
    return result


def age_band(age: float | None) -> str:
    """The age group of an age in years; "unknown" for None, NaN and anything that is not an age."""
    try:
        age = float(age)
    except (TypeError, ValueError):
        return UNKNOWN
    if not 0 <= age < 130:
        return UNKNOWN
    return BANDS[bisect.bisect((30, 45, 60, 75), age)]


def suspicious_score(
    labels: Sequence[str], probabilities: np.ndarray, suspicious: Sequence[str]
) -> np.ndarray:
    """Summed probability [n] of the suspicious codes, the score of operating_point."""
    columns = [list(labels).index(code) for code in suspicious]
    return np.asarray(probabilities, np.float64)[:, columns].sum(axis=1)


def reliability_bins(truth: np.ndarray, probabilities: np.ndarray) -> list[dict]:
    """Mean confidence and accuracy in 15 equal bins of the highest probability (lower, upper]."""
    bins, confidence, correct = _binned(np.asarray(truth), np.asarray(probabilities, np.float64))
    result = []
    for index in range(BINS):
        inside = bins == index
        empty = not inside.any()
        result.append(
            {
                "lower": round(index / BINS, 6),
                "upper": round((index + 1) / BINS, 6),
                "n": int(inside.sum()),
                "confidence": None if empty else round(float(confidence[inside].mean()), 6),
                "accuracy": None if empty else round(float(correct[inside].mean()), 6),
            }
        )
    return result


def names_of(groups: Sequence[str]) -> np.ndarray:
    """str [n]: the groups of images, "unknown" for None and ""."""
    return np.array([UNKNOWN if group in (None, "") else str(group) for group in groups])


def clusters_of(lesions: Sequence[str]) -> np.ndarray:
    """Index [n] of each image's lesion, from 0; an image without an id is a lesion of its own."""
    named = [
        f"#{row}" if lesion in (None, "") else f"={lesion}" for row, lesion in enumerate(lesions)
    ]
    return np.unique(named, return_inverse=True)[1]


def bootstrap(figures: Callable, clusters: np.ndarray, resamples: int, seed: int) -> dict:
    """figures(weights [n, r]) of the images as they are and of all resamples: {path: [1 + r]}.

    clusters: [n], from clusters_of; each resample draws as many clusters as there are.
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
    """The figure of [1 + resamples] values, of which the first is that of the images themselves."""
    value, draws = values[0], values[1:][~np.isnan(values[1:])]
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    low, high = None, None
    if len(draws):
        tail = (1 - LEVEL) / 2
        low, high = (round(float(q), 6) for q in np.quantile(draws, [tail, 1 - tail]))
    return {"value": round(float(value), 6), "low": low, "high": high}


def _checked(labels, truth, probabilities, lesions):
    truth, probabilities = np.asarray(truth), np.asarray(probabilities, np.float64)
    n, k = len(truth), len(labels)
    if k < 2 or n == 0:
        raise ValueError(f"{n} images of {k} classes: at least 1 image and 2 classes are needed.")
    if probabilities.shape != (n, k) or len(lesions) != n:
        raise ValueError(
            f"{n} images of {k} classes need probabilities ({n}, {k}) and {n} lesions, "
            f"not {probabilities.shape} and {len(lesions)}."
        )
    if not ((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all():  # NaN fails this too
        row = int(np.argmin(((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all(axis=1)))
        raise ValueError(f"Image {row} has probabilities outside 0 to 1: {probabilities[row]}.")
    if not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0 or truth.max() >= k:
        raise ValueError(f"The truth must be whole numbers from 0 to {k - 1}.")
    return truth, probabilities


def _binned(truth, probabilities):
    confidence = probabilities.max(axis=1)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return bins, confidence, probabilities.argmax(axis=1) == truth


def _rows(labels, truth, probabilities, suspicious, threshold):
    """Per-image rows to sum {name: [rows, n]}, and scores to rank {path: (score, positive)}.

    All figures except the areas under curves follow from weighted sums over images, so one matrix
    product gives them for all resamples at once.
    """
    k = len(labels)
    classes, predicted = np.arange(k)[:, None], probabilities.argmax(axis=1)
    own = probabilities[np.arange(len(truth)), truth][:, None]
    earlier = classes.T < truth[:, None]
    rank = ((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1)
    bins, confidence, correct = _binned(truth, probabilities)
    rows = {
        "images": np.ones((1, len(truth))),
        "support": truth == classes,
        "predicted": predicted == classes,
        "hits": (truth == classes) & (predicted == truth),
        "top": rank < np.arange(1, min(4, k))[:, None],
        "nll": -np.log(np.maximum(own.T, EPSILON)),
        "calibration_gap": (bins == np.arange(BINS)[:, None]) * (correct - confidence),
    }
    scores = {
        ("per_class", label): (probabilities[:, index], truth == index)
        for index, label in enumerate(labels)
    }
    if suspicious and threshold is not None:
        score = suspicious_score(labels, probabilities, suspicious)
        positive = np.isin(truth, [list(labels).index(code) for code in suspicious])
        flagged = score >= threshold
        rows["suspicious"] = np.stack(
            [positive, ~positive, positive & flagged, ~positive & ~flagged]
        )
        scores[("suspicious",)] = (score, positive)
    return rows, scores


def _figures(labels, rows, scores, full_support, weights):
    """Every figure {path: [r]} under weights [n, r]; NaN where it is undefined."""
    sums = {name: row.astype(np.float64) @ weights for name, row in rows.items()}
    n = sums["images"][0]
    support, predicted, hits = sums["support"], sums["predicted"], sums["hits"]
    held = support > 0
    per_class = {
        "precision": np.where(held, _ratio(hits, predicted, 0.0), np.nan),
        "recall": _ratio(hits, support),
        "f1": np.where(held, _ratio(2 * hits, support + predicted, 0.0), np.nan),
        "specificity": _ratio(n - support - predicted + hits, n - support),
        "roc_auc": np.stack([_roc_auc(weights, *scores["per_class", label]) for label in labels]),
    }
    macro = {name: _mean(values) for name, values in per_class.items()}
    weighted = {
        name: np.where(held, values * support, 0).sum(axis=0) / n
        for name, values in per_class.items()
    }
    figures = {(f"top_{k}",): top / n for k, top in enumerate(sums["top"], start=1)}
    figures["balanced_accuracy",] = macro["recall"]
    figures["macro_f1",] = macro["f1"]
    figures["weighted_f1",] = weighted["f1"]
    figures["ece",] = np.abs(sums["calibration_gap"]).sum(axis=0) / n
    figures["log_loss",] = sums["nll"][0] / n
    figures["roc_auc",] = macro["roc_auc"]
    for index, label in enumerate(labels):
        for name, values in per_class.items():
            figures["per_class", label, name] = values[index]
    for name in ("precision", "recall", "f1"):
        figures["macro", name] = macro[name]
        figures["weighted", name] = weighted[name]
    for key, label in NAMED.items():
        if label in labels:
            figures[key, "sensitivity"] = figures["per_class", label, "recall"]
            figures[key, "specificity"] = figures["per_class", label, "specificity"]
    if "suspicious" in sums:
        positive, negative, caught, cleared = sums["suspicious"]
        figures["suspicious", "sensitivity"] = _ratio(caught, positive)
        figures["suspicious", "specificity"] = _ratio(cleared, negative)
        figures["suspicious", "roc_auc"] = _roc_auc(weights, *scores["suspicious",])
    # The baseline always ranks the classes by their number of images, before resampling.
    order = np.argsort(-full_support, kind="stable")
    common = support[order]
    for k in range(1, min(4, len(labels))):
        figures["baseline", f"top_{k}"] = common[:k].sum(axis=0) / n
    figures["baseline", "balanced_accuracy"] = (common[0] > 0) / held.sum(axis=0)
    f1 = 2 * common[0] / (n + common[0])
    figures["baseline", "macro_f1"] = f1 / held.sum(axis=0)
    figures["baseline", "weighted_f1"] = f1 * common[0] / n
    for key, label in NAMED.items():
        if label in labels:
            always, those = float(labels[order[0]] == label), support[labels.index(label)]
            figures["baseline", key, "sensitivity"] = _ratio(always * those, those)
            figures["baseline", key, "specificity"] = _ratio((1 - always) * (n - those), n - those)
    return figures


def _ratio(part, whole, otherwise=np.nan):
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full_like(part, otherwise), where=whole > 0)


def _mean(values):
    """Mean [r] of values [k, r] over the classes where they are defined."""
    return _ratio(np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0))


def _roc_auc(weights, score, positive):
    """Area under the ROC curve [r] under weights [n, r]; tied scores count half (Mann-Whitney)."""
    negative = np.flatnonzero(~positive)
    negative = negative[np.argsort(score[negative])]
    below = np.zeros((len(negative) + 1, weights.shape[1]))
    np.cumsum(weights[negative], axis=0, out=below[1:])
    lower = below[np.searchsorted(score[negative], score[positive], side="left")]
    upper = below[np.searchsorted(score[negative], score[positive], side="right")]
    wins = np.einsum("pr,pr->r", weights[positive], (lower + upper) / 2)
    return _ratio(wins, weights[positive].sum(axis=0) * below[-1])


def _roc_points(positive, score):
    """At most ROC_POINTS pairs (false, true positive rate), evenly along the curve, or None."""
    if positive.all() or not positive.any():
        return None
    false_rate, true_rate, _ = roc_curve(positive, score)
    length = np.cumsum(np.abs(np.diff(false_rate)) + np.abs(np.diff(true_rate)))
    along = np.concatenate([[0], length])
    if len(along) > ROC_POINTS:
        keep = np.unique(np.searchsorted(along, np.linspace(0, along[-1] - 1e-9, ROC_POINTS)))
    else:
        keep = np.arange(len(along))
    return [[round(float(false_rate[i]), 5), round(float(true_rate[i]), 5)] for i in keep]


def _put(tree, path, value):
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
