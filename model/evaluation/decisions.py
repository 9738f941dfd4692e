"""What a model's answers are worth for decisions, as figures for metrics.json.

Risk and coverage: the accuracy on the pictures that are answered, when the least sure are left out
(El-Yaniv and Wiener, On the foundations of noise-free selective classification, JMLR 11, 2010), and
the area under the risk-coverage curve (Geifman, Uziel and El-Yaniv, Bias-reduced uncertainty
estimation for deep neural classifiers, ICLR 2019).

Decision curve: the net benefit of acting on the warning (Vickers and Elkin, Decision curve
analysis, Medical Decision Making 26(6), 2006, doi:10.1177/0272989X06295361).

Figures are those of model/evaluation/metrics.py, with its bootstrap over lesions. With the same
lesions and seed, the resamples are also the same.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from model.evaluation.coverage import members
from model.evaluation.metrics import NAMED, bootstrap, clusters_of, interval, suspicious_score
from model.sets import LEVEL, prediction_set

SHARES = (1.0, 0.9, 0.8, 0.7, 0.5)  # of the pictures that are answered, in the table
CURVE = np.arange(2, 101, 2) / 100  # the same, in the curve
MOST = 10  # rows of the table of prediction sets
THRESHOLDS = np.arange(1, 51) / 100  # of the decision curve


def measure(
    labels: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    lesions: Sequence[str],
    calibration: dict,
    resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """`decisions` of metrics.json: `risk_coverage`; `sets`, if the model has prediction sets;
    `decision_curve` and `excisions`, if it has an operating point; `watched`, the label that is
    also counted by itself (mel or malignant), if it is among the labels.

    truth: [n] indices into labels; probabilities: calibrated, [n, k]; lesions: [n] ids, as in
    classification_metrics; calibration: that of config.json.
    """
    labels, truth = list(labels), np.asarray(truth)
    probabilities = np.asarray(probabilities, np.float64)
    draw = partial(bootstrap, clusters=clusters_of(lesions), resamples=resamples, seed=seed)
    suspicious, threshold = calibration.get("suspicious"), calibration.get("threshold")
    warns = bool(suspicious) and threshold is not None
    score = suspicious_score(labels, probabilities, suspicious) if warns else None
    flagged = score >= threshold if warns else None

    watched = next((label for label in NAMED.values() if label in labels), None)
    result = {"watched": watched} if watched else {}
    those = truth == labels.index(watched) if watched else None
    rows = _rows(probabilities.argmax(axis=1) == truth, those, flagged)
    result["risk_coverage"] = risk_coverage(probabilities.max(axis=1), rows, draw)
    sizes = set_sizes(labels, probabilities, calibration)
    if sizes is not None:
        result["sets"] = {"level": LEVEL, "at_most": _by_size(sizes, rows, draw)}
    if warns:
        positive = np.isin(truth, [labels.index(label) for label in suspicious])
        result["decision_curve"] = decision_curve(score, positive, threshold, draw)
        result["excisions"] = {"flagged": int(flagged.sum())}
        result["excisions"]["suspicious"] = _number_needed(flagged, positive, draw)
        if "mel" in labels:
            melanoma = truth == labels.index("mel")
            result["excisions"]["melanoma"] = _number_needed(flagged, melanoma, draw)
    return result


def set_sizes(
    labels: Sequence[str], probabilities: np.ndarray, calibration: dict
) -> np.ndarray | None:
    """The number of labels [n] in each picture's prediction set, at the LEVEL of model/sets.py;
    None if the model has no sets."""
    config = {"calibration": calibration}
    if prediction_set(dict.fromkeys(labels, 0.0), config) is None:
        return None
    return members(labels, probabilities, config, LEVEL).sum(axis=1)


def risk_coverage(confidence: np.ndarray, rows: dict, draw: Callable) -> dict:
    """`aurc`, the area under the risk-coverage curve, 0 to 1 (0: every answer is right; answered
    in random order, it is the error rate); `curve`, rows of [share answered, accuracy, low, high]
    and, for a watched label, [share of its pictures left out, share answered wrongly]; `points`,
    the figures at SHARES with numbers of pictures.

    confidence: [n], the higher the earlier a picture is answered; rows: as from `_rows`. Equally
    confident pictures come in random order, and the figures are those expected: a number of
    pictures may then be a fraction. draw: `bootstrap` with its lesions.
    """

    def figures(weights):
        answered = _Answered(confidence, rows, weights)
        sums = {(share, name): row for share in shares for name, row in answered.at(share).items()}
        return sums | {("aurc",): answered.aurc()}

    shares = {*CURVE.tolist(), *SHARES}
    drawn = draw(figures)
    at = {share: {name: drawn[share, name] for name in ("images", *rows)} for share in shares}
    curve = []
    for share in CURVE.tolist():
        answered = at[share]
        row = [share, *interval(_ratio(answered["correct"], answered["images"])).values()]
        if "those" in rows:
            whole = at[1.0]["those"]
            row += [
                _ratio(part, whole)[0] for part in (whole - answered["those"], answered["wrong"])
            ]
        curve.append(_rounded(row))
    return {
        "aurc": interval(drawn["aurc",]),
        "points": [{"answered": share} | _point(at[share], at[1.0]) for share in SHARES],
        "curve": curve,
    }


def decision_curve(
    score: np.ndarray, positive: np.ndarray, threshold: float, draw: Callable
) -> dict:
    """Net benefit per picture of acting where the score reaches a threshold probability t: the
    share of true positives less t / (1 - t) times the share of false positives.

    score: the probability [n] of being positive; positive: [n] bool; threshold: the model's
    operating point. `curve`: rows of [t, net benefit, low, high, that of acting on all]. `point`:
    at the operating point, taken as the threshold probability, the net benefit, that of acting on
    all, their difference, and the same difference in needless actions spared per picture, less
    those that would be as bad as what is missed. At t = 1 a net benefit is undefined.
    draw: `bootstrap` with its lesions.
    """
    levels = np.append(THRESHOLDS, threshold)
    odds = _ratio(levels, 1 - levels)[:, None]
    flagged = score >= levels[:, None]
    hits, alarms = (flagged & positive).astype(float), (flagged & ~positive).astype(float)

    def figures(weights):
        images = weights.sum(axis=0)
        prevalence = positive @ weights / images
        benefit = (hits @ weights - odds * (alarms @ weights)) / images
        for_all = prevalence - odds * (1 - prevalence)
        more = benefit - for_all
        spared = np.divide(more, odds, out=np.full_like(more, np.nan), where=odds > 0)
        sums = {("prevalence",): prevalence}
        for row in range(len(levels)):
            sums |= {("benefit", row): benefit[row], ("all", row): for_all[row]}
            sums |= {("more", row): more[row], ("spared", row): spared[row]}
        return sums

    drawn, last = draw(figures), len(THRESHOLDS)
    curve = [
        _rounded([level, *interval(drawn["benefit", row]).values(), drawn["all", row][0]])
        for row, level in enumerate(THRESHOLDS.tolist())
    ]
    return {
        "images": len(positive),
        "positives": int(positive.sum()),
        "prevalence": interval(drawn["prevalence",]),
        "point": {
            "threshold": float(threshold),
            "net_benefit": interval(drawn["benefit", last]),
            "all": interval(drawn["all", last]),
            "more_than_all": interval(drawn["more", last]),
            "spared": interval(drawn["spared", last]),
        },
        "curve": curve,
    }


def _rows(correct, those, flagged):
    """{name: bool [n]} to sum: whether the first answer is right (`correct`); of the watched label,
    if there is one, all pictures (`those`), those with another first answer (`wrong`) and, if the
    model warns, those without a warning either (`unwarned`)."""
    rows = {"correct": correct}
    if those is not None:
        rows |= {"those": those, "wrong": those & ~correct}
        if flagged is not None:
            rows["unwarned"] = those & ~correct & ~flagged
    return rows


class _Answered:
    """Weighted sums over the most confident pictures, for all resamples at once.

    confidence: [n]; rows: {name: [n]}; weights: [n, r], whole numbers.
    """

    def __init__(self, confidence, rows, weights):
        order = np.argsort(-confidence, kind="stable")
        ranked = confidence[order]
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of equal confidence
        weights = weights[order]

        def summed(row):
            sums = np.cumsum(row[order, None] * weights, axis=0)[ends]
            return np.concatenate([np.zeros((1, weights.shape[1])), sums])

        self.images = summed(np.ones(len(order)))
        self.sums = {name: summed(row) for name, row in rows.items()}

    def at(self, share):
        """{name: [r]} over a share of the pictures, rounded up to whole ones, and `images`, their
        number."""
        images = self.images
        count = np.ceil(share * images[-1] - 1e-9)  # 0.7 * 10 must stay 7
        end, columns = (images < count).sum(axis=0), np.arange(images.shape[1])
        before, after = images[end - 1, columns], images[end, columns]
        part = (count - before) / (after - before)
        result = {"images": count}
        for name, sums in self.sums.items():
            low, high = sums[end - 1, columns], sums[end, columns]
            result[name] = low + part * (high - low)
        return result

    def aurc(self):
        """The mean [r] of the error rates among the first 1, 2, ... and all pictures."""
        images, correct = self.images.astype(int), self.sums["correct"]
        harmonic = np.append(0, np.cumsum(1 / np.arange(1, images[-1].max() + 1)))
        rate = _ratio(np.diff(correct, axis=0), np.diff(images, axis=0), 0.0)
        # Within pictures of equal confidence, the m-th answer has correct = offset + rate m.
        offset = correct[:-1] - rate * images[:-1]
        accuracies = offset * np.diff(harmonic[images], axis=0) + np.diff(correct, axis=0)
        return 1 - accuracies.sum(axis=0) / images[-1]


def _by_size(sizes, rows, draw):
    """The rows of `sets`: what is answered where a set has at most 1, 2, ... labels."""
    rows = {"images": np.ones(len(sizes)), **rows}
    limits = [*range(1, min(sizes.max(), MOST) + 1), sizes.max()]
    sums = draw(
        lambda weights: {
            (limit, name): (row * (sizes <= limit)) @ weights
            for limit in limits
            for name, row in rows.items()
        }
    )
    at = {limit: {name: sums[limit, name] for name in rows} for limit in limits}
    everything = at[limits[-1]]
    return [
        {"labels": limit, "answered": interval(at[limit]["images"] / everything["images"])}
        | _point(at[limit], everything)
        for limit in limits[:-1]
    ]


def _point(answered, everything):
    """Figures of the pictures that are answered, from the sums [1 + r] over these and over all."""
    point = {
        "images": _count(answered["images"]),
        "accuracy": interval(_ratio(answered["correct"], answered["images"])),
    }
    if "those" in answered:
        those, left = answered["those"], everything["those"] - answered["those"]
        shares = {"left_out": (left, everything["those"])}
        shares |= {k: (answered[k], those) for k in ("wrong", "unwarned") if k in answered}
        point["watched"] = {
            name: {"count": _count(part), "of": _count(whole)} | interval(_ratio(part, whole))
            for name, (part, whole) in shares.items()
        }
    return point


def _number_needed(flagged, wanted, draw):
    """{images, found, number}: how many are wanted, how many of these are flagged, and how many are
    flagged for each of those; `high` is null where no number bounds it."""
    found = flagged & wanted
    drawn = draw(lambda weights: {("share",): _ratio(found @ weights, flagged @ weights)})
    share = interval(drawn["share",])
    # The interval of the reciprocal, which takes in resamples where nothing is found.
    ends = {"value": share["value"], "low": share["high"], "high": share["low"]}
    number = {key: round(1 / end, 4) if end else None for key, end in ends.items()}
    return {"images": int(wanted.sum()), "found": int(found.sum()), "number": number}


def _ratio(part, whole, otherwise=np.nan):
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(part.shape, otherwise), where=whole > 0)


def _count(sums):
    """A number of pictures, with the decimals that random order may give it."""
    count = round(float(sums[0]), 2)
    return int(count) if count.is_integer() else count


def _rounded(values):
    return [
        None if value is None or np.isnan(value) else round(float(value), 4) for value in values
    ]
