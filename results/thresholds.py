"""Would several thresholds of the warning, by how a picture looks, even out the clinics?

    python -m results.thresholds model/bundled model/compact      writes results/thresholds.md

The clinics of HAM10000 differ in how many suspicious pictures get the warning. Here the threshold
is set for 95 % of the suspicious pictures of each group of similar pictures, instead of once for
all: groups by sharpness, or clusters by colour, contrast and sharpness. Temperature, groups and
thresholds come from the other clinics, and are measured on the clinic that was left out, all within
the validation part.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from model import quality
from model.colour import GREY
from model.data import dataset as data
from model.evaluation.calibration import calibrated, fit_temperature, operating_point
from model.evaluation.metrics import bootstrap, clusters_of, interval, names_of, suspicious_score
from model.evaluation.shift import Answers, logits_of, several, suspicious_rows, without
from model.folder import SPLIT, read_json
from model.hub.tables import table, text
from model.labels import suspicious_of
from results.reports import parser, refuse_final, run, signed, write_report

# Suspicious pictures. With fewer, a group keeps the threshold of all, and a clinic does not count
# towards the range: one picture would move its sensitivity by more than 0.05.
ENOUGH = 20
ONE = "one threshold"
SEED = 0


def statistics(images: np.ndarray) -> np.ndarray:
    """How pictures look, [n, 7]: the logarithm of the Laplacian's variance (model/quality.py), and
    the means and deviations of R, G and B. images: uint8 [n, h, w, 3]."""
    rows = []
    for image in images:
        sharp, _ = quality.detail(image @ np.array(GREY))
        rows.append([np.log(sharp + 1), *image.mean(axis=(0, 1)), *image.std(axis=(0, 1))])
    return np.array(rows)


def together(looks: np.ndarray) -> Callable:
    """One group."""
    return lambda others: np.zeros(len(others), int)


def by_sharpness(looks: np.ndarray) -> Callable:
    """Three groups of equal size by sharpness."""
    bounds = np.quantile(looks[:, 0], (1 / 3, 2 / 3))
    return lambda others: np.searchsorted(bounds, others[:, 0])


def by_clusters(count: int) -> Callable:
    """`count` clusters of the standardised statistics (k-means)."""

    def fit(looks):
        scaler = StandardScaler().fit(looks)
        means = KMeans(count, n_init=10, random_state=SEED).fit(scaler.transform(looks))
        return lambda others: means.predict(scaler.transform(others))

    return fit


# Each is fitted to statistics [n, 7], and then tells the group of others.
METHODS = {
    ONE: together,
    "by sharpness, 3 groups": by_sharpness,
    "2 clusters": by_clusters(2),
    "4 clusters": by_clusters(4),
}


def thresholds(score: np.ndarray, positive: np.ndarray, groups: np.ndarray) -> dict:
    """{group: threshold}, and that of all as None; groups: [n] numbers."""
    found = {None: operating_point(score, positive)}
    for group in np.unique(groups):
        rows = groups == group
        if (positive & rows).sum() >= ENOUGH:
            found[group] = operating_point(score[rows], positive[rows])
    return found


def warned(labels: list[str], looks: np.ndarray, answers: Answers, fit: Callable) -> np.ndarray:
    """bool [n]: whether each picture gets the warning, temperature and threshold being fitted to
    the lesions of the other clinics. looks: `statistics`; fit: one of METHODS."""
    n, positive = len(answers.truth), suspicious_rows(labels, answers.truth)
    clinics, flags = names_of(answers.clinics), np.zeros(n, bool)
    numbered = Answers(np.arange(n), answers.truth, answers.lesions, answers.clinics)
    for clinic in np.unique(clinics):
        others = without(numbered, clinic).logits  # the numbers of the pictures that are left
        # This undoes the temperature of the model, which all clinics had a part in.
        temperature = fit_temperature(answers.logits[others], answers.truth[others])
        shares = calibrated(answers.logits, temperature)
        score = suspicious_score(labels, shares, suspicious_of(labels))
        group_of = fit(looks[others])
        found = thresholds(score[others], positive[others], group_of(looks[others]))
        own = np.flatnonzero(clinics == clinic)
        limits = [found.get(group, found[None]) for group in group_of(looks[own])]
        flags[own] = score[own] >= limits
    return flags


def figures(flags: dict, positive: np.ndarray, answers: Answers, resamples: int) -> dict:
    """{method: {clinic: {sensitivity, specificity}}}, with intervals. For each method also `range`,
    the highest minus the lowest sensitivity of the clinics with ENOUGH suspicious pictures;
    `change`, that range minus the one of ONE; and `specificity` of all."""
    clinics = names_of(answers.clinics)
    names = np.unique(clinics)
    large = [name for name in names if (positive & (clinics == name)).sum() >= ENOUGH]

    def measured(weights):
        def share(hit, among):
            whole = among @ weights
            return np.divide((hit & among) @ weights, whole, whole * np.nan, where=whole > 0)

        found = {}
        for method, flag in flags.items():
            for name in names:
                own = clinics == name
                found[method, name, "sensitivity"] = share(flag, positive & own)
                found[method, name, "specificity"] = share(~flag, ~positive & own)
            reached = [found[method, name, "sensitivity"] for name in large]
            found[method, "range"] = np.ptp(reached, axis=0) if large else weights.sum(0) * np.nan
            found[method, "change"] = found[method, "range"] - found[ONE, "range"]
            found[method, "specificity"] = share(~flag, ~positive)
        return found

    drawn = bootstrap(measured, clusters_of(answers.lesions), resamples, SEED)
    result = {method: {name: {} for name in names} for method in flags}
    for (method, *path), values in drawn.items():
        place = result[method][path[0]] if len(path) == 2 else result[method]
        place[path[-1]] = interval(values)
    return result


def measure(folder: Path, dataset: str, resamples: int, cache=None) -> dict:
    """`figures` of the model, and `clinics`: {clinic: (pictures, suspicious pictures)}. Raises
    DatasetError and ModelFolderError, and UserError if it was trained on the validation part."""
    classifier = several(folder)
    config, labels = classifier.config, classifier.labels
    refuse_final(folder, config)
    rows = data.rows_of_model(config, dataset)
    chosen = rows.find(read_json(folder / SPLIT)["validation"])
    images = data.decode(rows, chosen, classifier.height, classifier.width, cache)
    small = data.decode(rows, chosen, quality.HEIGHT, quality.WIDTH, cache)
    logits = logits_of(classifier, images, folder.name)
    lesions = rows.units(config["data"]["split_by"])[chosen]
    answers = Answers(logits, rows.truth[chosen], lesions, rows.metadata["dataset"][chosen])
    positive, looks = suspicious_rows(labels, answers.truth), statistics(small)
    flags = {name: warned(labels, looks, answers, fit) for name, fit in METHODS.items()}
    clinics = names_of(answers.clinics)
    counts = {
        name: (int((clinics == name).sum()), int((positive & (clinics == name)).sum()))
        for name in np.unique(clinics).tolist()
    }
    return {"figures": figures(flags, positive, answers, resamples), "clinics": counts}


def conclusion(measured: dict) -> str:
    """What the figures of one model allow to say."""
    large = [name for name, (_, suspicious) in measured["clinics"].items() if suspicious >= ENOUGH]
    narrower = [
        method
        for method, found in measured["figures"].items()
        if found["change"]["high"] is not None and found["change"]["high"] < 0
    ]
    said = (
        f"Only {len(large)} of {len(measured['clinics'])} clinics ({', '.join(large)}) have at "
        f"least {ENOUGH} suspicious pictures, so the range is theirs alone; of the others these "
        "figures say next to nothing. "
    )
    if narrower:
        return said + f"The range is narrower, beyond chance, with: {', '.join(narrower)}."
    return said + "No grouping narrows it beyond chance, so one threshold stays."


def report_lines(models: dict[str, dict]) -> list[str]:
    """The lines of thresholds.md, from each model's name and what `measure` returns."""
    lines = [
        "# One threshold of the warning, or several",
        "",
        f"Made by `python -m results.thresholds {' '.join(f'model/{name}' for name in models)}`, "
        "on the validation part. One clinic at a time is left out. On the others the temperature "
        "is fitted, and the threshold is set for a sensitivity of 95 %: once, or for each group of "
        "pictures that look alike, "
        f"where the group has at least {ENOUGH} suspicious pictures. Brackets hold 95 % intervals "
        "from a bootstrap over lesions. Temperatures, groups and thresholds are not fitted again "
        "in the resamples, so the intervals leave out how much these vary. *Range* is the highest "
        "minus the lowest sensitivity of "
        f"the clinics with at least {ENOUGH} suspicious pictures; *change* compares it with that "
        "of one threshold on the same lesions.",
        "",
    ]
    for name, measured in models.items():
        clinics = measured["clinics"]
        lines += [f"## {name}", "", conclusion(measured), ""]
        for figure in ("sensitivity", "specificity"):
            counted = [
                f"{clinic}, {suspicious if figure == 'sensitivity' else pictures - suspicious}"
                for clinic, (pictures, suspicious) in clinics.items()
            ]
            head = [f"{figure} at, of n pictures", *counted]
            head += ["range", "change"] if figure == "sensitivity" else ["all"]
            body = [
                [
                    method,
                    *(text(found[clinic][figure]) for clinic in clinics),
                    *(
                        (text(found["range"]), "–" if method == ONE else signed(found["change"]))
                        if figure == "sensitivity"
                        else (text(found["specificity"]),)
                    ),
                ]
                for method, found in measured["figures"].items()
            ]
            lines += table(head, body)
    return lines


def main(arguments=None) -> str:
    """Measure the models that `arguments` name and write the report; returns it."""
    options = parser(__doc__, "results/thresholds.md")
    options.add_argument("folders", nargs="+", metavar="MODEL_FOLDER")
    args = options.parse_args(arguments)
    models = {
        folder.resolve().name: measure(folder, args.dataset, args.resamples, args.cache)
        for folder in map(Path, args.folders)
    }
    return write_report(args.output, report_lines(models))


if __name__ == "__main__":
    run("thresholds", main)
