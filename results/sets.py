"""Prediction sets of several methods, compared by random halves of the validation part.

    python -m results.sets                  model/bundled and model/compact, writes results/sets.md
    python -m results.sets runs/A runs/B

The limits come from one half of the lesions of each class, the figures from the pictures of the
other half; HALVES times. All methods see the same halves, and all set a limit for each class. The
scores are those of Sadinle, Lei and Wasserman (Least ambiguous set-valued classifiers with bounded
error levels, 2019; the threshold), of Romano, Sesia and Candes (Classification with valid and
adaptive coverage, 2020; APS) and of Angelopoulos, Bates, Malik and Jordan (Uncertainty sets for
image classifiers using conformal prediction, 2021; RAPS).

The code is our own: MAPIE 1.6 has no limits by class, crepes 0.9 has neither APS nor RAPS, TorchCP
1.2 needs torchvision, transformers and torch_geometric, and none counts a lesion by its worst
picture.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path

import numpy as np

from evaluate import tflite_probabilities
from model.data import dataset as data
from model.evaluation.conformal import quantile
from model.evaluation.metrics import clusters_of
from model.folder import SPLIT, read_config, read_json
from model.hub.tables import table, text
from model.sets import LEVEL, LEVELS
from results.reports import parser, refuse_final, run, signed, write_report

FOLDERS = ["model/bundled", "model/compact"]
HALVES = 500
SEED = 0
PENALTIES, FREE = (0.001, 0.01, 0.1, 1.0), (0, 1, 2, 3)  # of RAPS: lambda and k_reg that are tried
TITLES = ("labels", "one label, %", "coverage, %")  # of the first that `figures` returns


def threshold(probabilities: np.ndarray) -> np.ndarray:
    """1 - probabilities [n, k]: scores, of which the lowest belong into a set first."""
    return 1 - probabilities


def raps(
    probabilities: np.ndarray, own: "float | np.ndarray" = 1.0, penalty: float = 0.0, free: int = 0
) -> np.ndarray:
    """RAPS scores [n, k] of probabilities [n, k]; APS scores without a penalty.

    The score of a label is the probability of all that are more probable, and a share `own` of its
    own: 1, or [n, 1] random numbers from 0 to 1. Each rank after the first `free` adds `penalty`.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rank = np.argsort(order, axis=1)
    up_to = np.take_along_axis(np.cumsum(-np.sort(-probabilities, axis=1), axis=1), rank, axis=1)
    return up_to - (1 - own) * probabilities + penalty * np.maximum(rank + 1 - free, 0)


@dataclass(frozen=True)
class ValidationAnswers:
    """A model's answers to its validation part: labels; truth [n], indices into them; probabilities
    [n, k]; clusters [n], indices of lesions."""

    labels: list[str]
    truth: np.ndarray
    probabilities: np.ndarray
    clusters: np.ndarray

    @cached_property
    def classes(self) -> np.ndarray:
        """The class of each lesion."""
        classes = np.zeros(self.clusters.max() + 1, int)
        classes[self.clusters] = self.truth
        return classes

    def by_lesion(self, scores: np.ndarray, mean: bool = False) -> np.ndarray:
        """The highest score of the true class among the pictures of each lesion, or their mean."""
        own = scores[np.arange(len(self.truth)), self.truth]
        if mean:
            return np.bincount(self.clusters, own) / np.bincount(self.clusters)
        highest = np.full(self.clusters.max() + 1, -np.inf)
        np.maximum.at(highest, self.clusters, own)
        return highest

    def limits(self, by_lesion: np.ndarray, chosen: np.ndarray, level: float) -> list[float]:
        """The limit of each class from the lesions `chosen`, bool; infinite if they are too few."""
        classes, own = self.classes[chosen], by_lesion[chosen]
        return [quantile(np.sort(own[classes == k]), level) for k in range(len(self.labels))]

    def within(self, scores: np.ndarray, limits: list[float]) -> np.ndarray:
        """bool [n, k], which labels are in the set of each picture."""
        within = scores <= limits
        within[np.arange(len(within)), self.probabilities.argmax(axis=1)] = True
        return within

    def figures(self, within: np.ndarray, shown: np.ndarray) -> list[float]:
        """Mean size, share of sets of one label, coverage, and coverage of each class, of the
        pictures `shown`, bool; within: as `within` returns."""
        within, truth = within[shown], self.truth[shown]
        size, hit = within.sum(axis=1), within[np.arange(len(truth)), truth]
        of_classes = [
            hit[truth == k].mean() if (truth == k).any() else np.nan
            for k in range(len(self.labels))
        ]
        return [size.mean(), (size == 1).mean(), hit.mean(), *of_classes]

    def halves(self, count: int) -> Iterator[np.ndarray]:
        """`count` random halves of the lesions of each class, as bool: which lesions are chosen."""
        rng, classes = np.random.default_rng(SEED), self.classes
        for _ in range(count):
            chosen = np.zeros(len(classes), bool)
            for k in range(len(self.labels)):
                lesions = rng.permutation(np.flatnonzero(classes == k))
                chosen[lesions[: len(lesions) // 2]] = True
            yield chosen

    def halved(
        self, scores: np.ndarray, halves: int, levels=LEVELS, mean: bool = False
    ) -> np.ndarray:
        """`figures` of one half with the limits of the other: [halves, levels, 3 + k]."""
        by_lesion, found = self.by_lesion(scores, mean), []
        for chosen in self.halves(halves):
            shown = ~chosen[self.clusters]
            limits = [self.limits(by_lesion, chosen, level) for level in levels]
            found.append([self.figures(self.within(scores, one), shown) for one in limits])
        return np.array(found)


def methods(answers: ValidationAnswers, halves: int) -> dict[str, np.ndarray]:
    """The scores [n, k] of each method by its name. Of RAPS's settings those with the smallest sets
    at LEVEL are taken, from the same halves, which flatters it."""
    chance = np.random.default_rng(SEED).random((len(answers.truth), 1))
    found = {"threshold": threshold(answers.probabilities)}
    for title, own in (("", 1.0), (", without own", 0.0), (", randomised", chance)):
        score: Callable = partial(raps, answers.probabilities, own)
        found[f"APS{title}"] = score()
        settings = {pair: score(*pair) for pair in product(PENALTIES, FREE)}
        sizes = {
            pair: answers.halved(scores, halves, [LEVEL])[:, 0, 0].mean()
            for pair, scores in settings.items()
        }
        best = min(sizes, key=sizes.get)
        found[f"RAPS{title} ({best[0]:g}, {best[1]})"] = settings[best]
    return found


def measure(folder: "str | Path", dataset: str, cache=None) -> ValidationAnswers:
    """The answers of a folder's model.tflite to its validation part. Raises DatasetError, and
    UserError if the model was trained on that part."""
    folder = Path(folder)
    config = read_config(folder)
    refuse_final(folder, config)
    rows = data.rows_of_model(config, dataset)
    chosen = rows.find(read_json(folder / SPLIT)["validation"])
    size = config["input"]["height"], config["input"]["width"]
    probabilities, _ = tflite_probabilities(
        folder, data.decode(rows, chosen, *size, cache), timed=False
    )
    lesions = rows.units(config["data"]["split_by"])[chosen]
    clusters = clusters_of(lesions)
    return ValidationAnswers(
        config["labels"], rows.truth[chosen], probabilities.astype(float), clusters
    )


def over_halves(values: np.ndarray) -> dict:
    """The mean of values [halves], and the range of 95 % of them, as a figure {value, low, high};
    NaN does not count."""
    values = values[~np.isnan(values)]
    if not len(values):
        return {"value": None, "low": None, "high": None}
    low, high = np.quantile(values, (0.025, 0.975))
    return {"value": values.mean(), "low": low, "high": high}


def rows_of(
    name: str, found: np.ndarray, of_threshold: np.ndarray, at: int
) -> tuple[list[str], list[str]]:
    """A method's row of both tables at the `at`-th level; found, of_threshold: what `halved`
    returns for the method and for the threshold."""
    size, single, coverage, *of_classes = found[:, at].T
    more = over_halves(size - of_threshold[:, at, 0])
    more = signed(more, decimals=2) if name != "threshold" else "–"
    shares = [text(over_halves(values), 100, 1) for values in (single, coverage)]
    by_class = [text(over_halves(values), 100, 0) for values in of_classes]
    return [name, text(over_halves(size)), more, *shares], [name, *by_class]


def whole_part(answers: ValidationAnswers) -> list[list[str]]:
    """Rows on the threshold's sets with limits from all lesions, on the same pictures."""
    scores, rows = threshold(answers.probabilities), []
    every = np.ones(len(answers.classes), bool)
    for level in LEVELS:
        limits = answers.limits(answers.by_lesion(scores), every, level)
        size, single, *_ = answers.figures(answers.within(scores, limits), every[answers.clusters])
        always = [label for label, limit in zip(answers.labels, limits) if limit == np.inf]
        rows.append([f"{level:.0%}", f"{size:.2f}", f"{100 * single:.1f}", ", ".join(always)])
    return rows


def model_lines(name: str, answers: ValidationAnswers, halves: int) -> tuple[list[str], list[str]]:
    """The lines on one model, and the method with the smallest sets at each level."""
    scores = methods(answers, halves)
    found = {method: answers.halved(values, halves) for method, values in scores.items()}
    smallest = [min(found, key=lambda m: found[m][:, at, 0].mean()) for at in range(len(LEVELS))]
    found["threshold, mean picture"] = answers.halved(scores["threshold"], halves, mean=True)
    pictures, lesions = np.bincount(answers.truth), np.bincount(answers.classes)
    numbers = ", ".join(map("{} {} ({})".format, answers.labels, lesions, pictures))
    lines = [f"## {name}", "", f"Lesions (pictures): {numbers}.", ""]
    for at, level in enumerate(LEVELS):
        pairs = [rows_of(m, values, found["threshold"], at) for m, values in found.items()]
        one, other = zip(*pairs)
        head = ["method", TITLES[0], "more than the threshold", *TITLES[1:]]
        lines += [f"### {level:.0%}", "", *table(head, one)]
        lines += ["Coverage of each class, %:", "", *table(["method", *answers.labels], other)]
    head = ["level", *TITLES[:2], "in every set"]
    lines += ["With the threshold's limits from all of the part, on the same pictures:", ""]
    return lines + table(head, whole_part(answers)), smallest


def report_lines(measured: dict[str, ValidationAnswers], halves: int) -> list[str]:
    """The lines of sets.md, from each model's name and answers."""
    lines, smallest = [], []
    for name, answers in measured.items():
        more, winners = model_lines(name, answers, halves)
        lines += more
        smallest += [f"{name} {level:.0%}: {w}" for level, w in zip(LEVELS, winners)]
    won = sum(each.endswith(": threshold") for each in smallest)
    return [
        "# Prediction sets",
        "",
        f"Made by `python -m results.sets {' '.join(f'model/{name}' for name in measured)}`. The "
        "limits come from a random half of the validation part's lesions of each class, the "
        f"figures from the pictures of the other half, {halves} times. Brackets hold the range of "
        "95 % of the halves. A set is meant "
        "to hold the true label of at least the level's share of the lesions of each class. "
        "*Labels*: how many a set names on average, and how many more than the threshold's sets "
        "of the same halves. *One label*: the share of sets with a single "
        "one. *Coverage*: the share of pictures whose set holds the true label. The most probable "
        "label is always in a set, and a class with too few lesions for a level in every set.",
        "",
        "All methods set a limit for each class, and a lesion counts with its worst picture; in "
        "*mean picture* it counts with the mean score of its pictures. APS and RAPS add up "
        "probabilities down to a label: with all of its own, *without own*, or *randomised*, with "
        "a random share of it. A page must give the same answer to the same picture, so the "
        "randomised ones are here for comparison only. In brackets after RAPS: λ and k_reg, those "
        f"with the smallest sets at {LEVEL:.0%} on these halves, which flatters it.",
        "",
        f"**The threshold has the smallest sets in {won} of {len(smallest)} cases, and "
        "`model/sets.py` uses it.** "
        f"The smallest sets are those of: {'; '.join(smallest)}.",
        "",
        *lines,
    ]


def main(arguments=None) -> str:
    """Measure the models that `arguments` name and write the report; returns it."""
    options = parser(__doc__, "results/sets.md", resamples=False)
    options.add_argument("folders", nargs="*", metavar="MODEL_FOLDER", default=FOLDERS)
    options.add_argument("--halves", type=int, default=HALVES, help="default: %(default)s")
    args = options.parse_args(arguments)
    measured = {
        Path(folder).resolve().name: measure(folder, args.dataset, args.cache)
        for folder in args.folders
    }
    return write_report(args.output, report_lines(measured, args.halves))


if __name__ == "__main__":
    run("sets", main)
