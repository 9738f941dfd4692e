"""What a split by picture hides: one recipe, with and without other pictures of the test lesions.

    python -m results.leakage --dataset ../shared/ham10000     trains, writes results/leakage.md

HAM10000 has several pictures of many lesions. For each of --seeds this trains two networks into
--runs, which both are measured on the same test pictures, a sample by picture:

    leakage-picture-SEED   split by picture, so most notebooks' way: the train part has other
                           pictures of many of the test lesions
    leakage-lesion-SEED    the same, but without any picture of the test lesions

Finished runs are kept, unfinished ones continue. Since nothing but these pictures differs, the
difference between the two is what the split by picture adds to a figure.
"""

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import train
from evaluate import keras_probabilities
from model.data import dataset as data
from model.evaluation.metrics import bootstrap, clusters_of, draws, interval
from model.folder import SPLIT, UserError, read_config, read_json, replacing
from model.hub.tables import counts, table, text
from model.network.backbones import BACKBONES
from results.reports import parser, run, signed, write_report

# The recipe of all runs: the network of P3, without augmentation, which learns pictures by heart.
RECIPE = (
    "--split-by image --backbone cnn_192 --weights none --size 48x64 --batch 64 --epochs 8 "
    "--precision mixed_bfloat16 --set augment=0 dropout=0 label_smoothing=0 warmup_epochs=0.5 "
    "monitor=val_accuracy"
).split()
PICTURE, LESION = "picture", "lesion"
LIST = "leakage-test.csv"
MOLE = "nv"
SEED = 0  # of the bootstrap
# Heading, path in the metrics, scale (100: per cent), decimals.
SHOWN = (
    ("accuracy, %", ("top_1",), 100, 1),
    ("balanced accuracy", ("balanced_accuracy",), 1, 3),
    ("macro F1", ("macro_f1",), 1, 3),
    ("melanoma recall", ("melanoma", "sensitivity"), 1, 3),
)


@dataclass(frozen=True)
class Measured:
    """Pictures, and what the networks answer to them.

    labels: the k codes
    truth: int64 [n], indices into `labels`
    lesions: str [n]
    answers: {PICTURE or LESION: probabilities [n, k] of each seed}
    """

    labels: list[str]
    truth: np.ndarray
    lesions: np.ndarray
    answers: dict[str, list[np.ndarray]]

    def take(self, i: np.ndarray) -> "Measured":
        """The pictures with the numbers `i`."""
        answers = {way: [seed[i] for seed in each] for way, each in self.answers.items()}
        return Measured(self.labels, self.truth[i], self.lesions[i], answers)


def folder_of(runs: Path, way: str, seed: int) -> Path:
    """The model folder of a run."""
    return runs / f"leakage-{way}-{seed}"


def train_all(dataset: str, runs: Path, seeds: int, more=(), cache=None) -> None:
    """Train the two networks of every seed; finished ones are kept. `more`: further options of
    train.py."""
    runs.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for way in (PICTURE, LESION):
            held = ["--hold-out", str(runs / LIST)] if way == LESION else []
            place = ["--output", str(folder_of(runs, way, seed)), "--seed", str(seed), "--resume"]
            options = [f"cache={cache}"] if cache else []
            given = ["--dataset", dataset, *RECIPE, *options, *held, *more, *place]
            train.main(given)
            if way == PICTURE:
                write_list(runs / LIST, read_json(folder_of(runs, PICTURE, seed) / SPLIT)["test"])


def write_list(path: Path, image_ids: list[str]) -> None:
    """Write the list of the test pictures for --hold-out."""
    with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image_id"], *([image_id] for image_id in image_ids)])


def parts(rows: data.Rows, runs: Path, seeds: int) -> dict[str, np.ndarray]:
    """{"train", "validation", "test": row numbers} of the split by picture, the same for all seeds.

    Raises UserError if the runs of one way have different parts, or if a network that should not
    know the test lesions was trained on one.
    """
    first = read_json(folder_of(runs, PICTURE, 0) / SPLIT)
    lesions = set(rows.lesion_id[rows.find(first["test"])])
    for seed in range(seeds):
        folder, other = (folder_of(runs, way, seed) for way in (PICTURE, LESION))
        theirs = read_json(other / SPLIT)
        known = rows.lesion_id[rows.find(theirs["train"] + theirs["validation"])]
        if read_json(folder / SPLIT) != first or lesions & set(known):
            raise UserError(
                f"{folder} and {other} do not belong to the other runs: remove them, so that they "
                "are trained again."
            )
    return {part: rows.find(ids) for part, ids in first.items()}


def measure(rows: data.Rows, chosen: np.ndarray, runs: Path, seeds: int, ways, cache=None):
    """What the networks of `ways` answer to the rows `chosen`, a Measured."""
    config = read_config(folder_of(runs, PICTURE, 0))["input"]
    images = data.decode(rows, chosen, config["height"], config["width"], cache)
    answers = {
        way: [
            keras_probabilities(folder_of(runs, way, seed), images, timed=False)[0]
            for seed in range(seeds)
        ]
        for way in ways
    }
    return Measured(rows.labels, rows.truth[chosen], rows.lesion_id[chosen], answers)


def figures(
    measured: Measured, resamples: int, seed: int = SEED
) -> dict[str, dict[tuple, np.ndarray]]:
    """{way: {path of SHOWN: [1 + resamples] values}}, each the mean of the seeds. All ways share
    the resamples, so their values can be subtracted."""
    options = {"resamples": resamples, "seed": seed}
    found = {}
    for way, answers in measured.answers.items():
        drawn = [
            draws(measured.labels, measured.truth, answer, measured.lesions, **options)
            for answer in answers
        ]
        found[way] = {path: np.mean([one[path] for one in drawn], axis=0) for _, path, *_ in SHOWN}
    return found


def duplicated(test: Measured, trained: Measured, resamples: int) -> dict:
    """Balanced accuracy, with its interval, as measured if the rare classes had been oversampled
    before the split by picture: `test` counts for moles alone, and `trained`, pictures that the
    networks were trained on, for all other classes, since these have copies in both parts then."""
    mole = test.labels.index(MOLE)
    moles = test.take(np.flatnonzero(test.truth == mole))
    others = trained.take(np.flatnonzero(trained.truth != mole))
    truth = np.concatenate([moles.truth, others.truth])
    right = [
        np.concatenate([one, other]).argmax(axis=1) == truth
        for one, other in zip(moles.answers[PICTURE], others.answers[PICTURE])
    ]
    share, classes = np.mean(right, axis=0), np.eye(len(test.labels))[truth]

    def recall(weights):
        """The mean over the classes [r] under weights [n, r]."""
        sums = [(classes * value[:, None]).T @ weights for value in (share, np.ones(len(truth)))]
        held = sums[1] > 0
        each = np.divide(sums[0], sums[1], out=np.zeros_like(sums[0]), where=held)
        return {"recall": each.sum(axis=0) / held.sum(axis=0)}

    lesions = np.concatenate([moles.lesions, others.lesions])
    return interval(bootstrap(recall, clusters_of(lesions), resamples, SEED)["recall"])


def excess(known: Measured, new: Measured, resamples: int) -> str:
    """By how much the difference between the ways is larger for pictures of known lesions than for
    pictures of new ones, in words."""
    sides = [figures(known, resamples), figures(new, resamples, SEED + 1)]  # other lesions
    found = []
    for heading, path, *how in SHOWN[:2]:
        gap, other = (side[PICTURE][path] - side[LESION][path] for side in sides)
        found.append(f"{heading.removesuffix(', %')} {signed(interval(gap - other), *how)}")
    return ", ".join(found)


def section(measured: Measured, resamples: int) -> list[str]:
    """The table of one set of test pictures: both ways, and the difference."""
    found = figures(measured, resamples)
    body = [
        [f"split by {way}", *(text(interval(found[way][path]), *how) for _, path, *how in SHOWN)]
        for way in (PICTURE, LESION)
    ]
    gaps = [interval(found[PICTURE][path] - found[LESION][path]) for _, path, *_ in SHOWN]
    body.append(["**difference**", *(signed(gap, *how) for gap, (_, _, *how) in zip(gaps, SHOWN))])
    support = np.bincount(measured.truth, minlength=len(measured.labels))
    lesions = len(set(measured.lesions))
    return [
        f"{len(measured.truth):,} pictures of {lesions:,} lesions: "
        f"{counts(dict(zip(measured.labels, support)))}.",
        "",
        *table(["", *(heading for heading, *_ in SHOWN)], body),
    ]


def seeds_text(measured: Measured) -> str:
    """The range of the differences over the seeds; "" for one seed."""
    found = [
        figures(Measured(measured.labels, measured.truth, measured.lesions, one), 0)
        for one in (
            {way: [answers[seed]] for way, answers in measured.answers.items()}
            for seed in range(len(measured.answers[PICTURE]))
        )
    ]
    if len(found) == 1:
        return "There is one seed."
    ranges = []
    for heading, path, *how in SHOWN[:2]:
        gaps = [(one[PICTURE][path] - one[LESION][path])[0] for one in found]
        ends = [
            signed({"value": gap, "low": None, "high": None}, *how)
            for gap in (min(gaps), max(gaps))
        ]
        ranges.append(f"{heading.removesuffix(', %')} {' to '.join(ends)}")
    return f"Differences of the {len(found)} seeds on all pictures: {', '.join(ranges)}."


def report_lines(
    rows: data.Rows,
    part: dict[str, np.ndarray],
    measured: tuple[Measured, Measured],
    command: str,
    resamples: int,
) -> list[str]:
    """The lines of leakage.md. `part`: as `parts` returns it; `measured`: of the test part, and of
    the train part for PICTURE alone."""
    test, trained = measured
    seen = np.isin(test.lesions, rows.lesion_id[part["train"]])
    # The validation part chose the epoch, so a lesion in it is not new either.
    chosen_by = ~seen & np.isin(test.lesions, rows.lesion_id[part["validation"]])
    _, first, views = np.unique(rows.lesion_id, return_index=True, return_counts=True)
    several = views > 1
    memory = np.mean([one.argmax(axis=1) == trained.truth for one in trained.answers[PICTURE]])
    support = np.bincount(rows.truth, minlength=len(rows.labels))
    copies = support.max() / np.delete(support, support.argmax()).max()
    seeds = len(test.answers[PICTURE])
    lines = [
        "# What a split by picture hides",
        "",
        f"Made by `{command}`. HAM10000 has {len(rows):,} pictures of {len(first):,} lesions; "
        f"{several.sum():,} lesions have several, {views[several].sum():,} pictures in all. A "
        "split by picture puts pictures of one lesion into training and test. A network that "
        "learns pictures by heart is then tested on lesions that it knows. Here, two networks are "
        "trained with one recipe and measured on the same test pictures, a sample of "
        f"{len(test.truth) / len(rows):.0%} by picture:",
        "",
        f"- *split by picture*: of {seen.sum():,} of the {len(seen):,} test pictures, the train "
        "part has another picture of the same lesion.",
        "- *split by lesion*: the same parts without any other picture of the test lesions.",
        "",
        f"The network is the {BACKBONES['cnn_192'].title} of P3, `{' '.join(RECIPE)}`. Figures are "
        f"means of {seeds} seed{'s' * (seeds > 1)}; brackets hold 95 % intervals from a bootstrap "
        "over lesions, paired for the differences.",
        "",
        "## All test pictures",
        "",
        *section(test, resamples),
        seeds_text(test),
        "",
    ]
    known, new = (test.take(np.flatnonzero(i)) for i in (seen, ~seen & ~chosen_by))
    return lines + [
        "## Pictures whose lesion is also in the train part",
        "",
        *section(known, resamples),
        "## Pictures whose lesion is in neither the train nor the validation part",
        "",
        *section(new, resamples),
        f"Left out here: {chosen_by.sum():,} pictures whose lesion is in the validation part "
        "alone, which chose the epoch of the network split by picture. The lesions of this table "
        "are new to both networks, so a difference here is no leakage: the network split by "
        "lesion has fewer pictures to learn from, and the epoch that was best on its validation "
        "part is another. What leakage adds is the difference above less this one: "
        f"{excess(known, new, resamples)}.",
        "",
        "## Oversampled before the split",
        "",
        "Some go further: they duplicate the pictures of the rare classes until all classes are as "
        f"large as that of moles, and split by picture after that. With at least {copies:.0f} "
        "copies of each, almost every test picture of a rare class is in the train part itself. "
        "The networks split by picture show what this would measure, without new runs: on moles "
        "of the test part, and on pictures of the train part for all other classes, their balanced "
        f"accuracy is {text(duplicated(test, trained, resamples), 1, 3)}, in place of "
        f"{text(interval(figures(test, resamples)[LESION][SHOWN[1][1]]), 1, 3)}. With classes of "
        "one size, accuracy is the same. Of their whole train part, these networks answer "
        f"{100 * memory:.1f} % right.",
        "",
        *OTHERS,
    ]


# Figures of others, from ../shared/published.md and ../shared/head_to_head/README.md.
OTHERS = [
    "## Figures of others",
    "",
    "Their networks and pictures differ, so these only show what to expect:",
    "",
    "- P1 (Harahap and Zulkifli 2023, InceptionResNetV2): accuracy 87.6 % (725 of 828 pictures), "
    "mean recall 0.69, on the split by lesion that this project takes over.",
    "- P3 (Abdukarimov and Kazikhanov 2024): accuracy 65 % with a network like this one and "
    "augmentation; MobileNetV2 almost 100 % on the train part and 72 % on the test part. We do not "
    "know their split.",
    "- ISIC 2018, task 3, on the official test set: balanced accuracy 0.885 of the winner, 0.845 "
    "of the best without any extra data.",
    "- Seven foundation models: 1,503 test pictures, split by picture; 613 share a lesion with a "
    "picture outside the list ([head to head](head_to_head.md)).",
    "",
    "A much higher figure on HAM10000 is a reason to ask how the pictures were split.",
    "",
]


def main(arguments=None) -> str:
    """Train what is missing, measure, and write the report; returns it."""
    options = parser(__doc__, "results/leakage.md")
    options.add_argument("--runs", default="runs", help="folder of the runs (default: %(default)s)")
    options.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    options.add_argument(
        "--more", nargs=argparse.REMAINDER, default=[], help="last: further options of train.py"
    )
    args = options.parse_args(arguments)
    if args.seeds < 1:
        options.error("--seeds must be at least 1")
    runs = Path(args.runs)
    train_all(args.dataset, runs, args.seeds, args.more, args.cache)
    rows = data.load_rows(args.dataset, need=("image_id", "lesion_id"))
    part = parts(rows, runs, args.seeds)
    measured = (
        measure(rows, part["test"], runs, args.seeds, (PICTURE, LESION), args.cache),
        measure(rows, part["train"], runs, args.seeds, (PICTURE,), args.cache),
    )
    words = sys.argv[1:] if arguments is None else arguments
    command = " ".join(["python -m results.leakage", *map(str, words)])
    lines = report_lines(rows, part, measured, command, args.resamples)
    return write_report(args.output, lines)


if __name__ == "__main__":
    run("leakage", main)
