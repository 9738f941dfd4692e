"""Where the evidence for a diagnosis is strongest, and whether the diagnosis depends on that area.

    python -m results.map model/bundled model/compact      writes results/map.md and results/map.png

For pictures of the validation part, compares the evidence of one run, spread evenly over the
picture, with the map that the page shows (model/cam.py). An area matters if the probability of the
diagnosis falls once it is covered with the colour of the picture's edge. Covered is a square of
SIDE around the middle of the area, so that the areas of all maps count alike.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw, ImageFilter

from model import cam
from model.classifier import Classifier
from model.data import dataset as data
from model.evaluation.figures import DPI
from model.folder import SPLIT, read_json, replacing
from model.hub.tables import table
from results.reports import parser, run, write_report

SIDE = 1 / 3  # of the picture's height
SEED = 0
MOLE = "nv"
LEAST = 1e-4  # probabilities below count as this: the logarithm would be without bound


@dataclass(frozen=True)
class Seen:
    """The most probable diagnosis of a picture, and the evidence for it.

    top: index of the diagnosis
    maps: float32 [h, w] each, of one run, and what `cam.agreed` keeps of two
    drops: by how much the log-odds of the diagnosis fall, for each of `maps`, once its strongest
        area is covered and once another one is
    stands_out: whether the second map is shown
    """

    top: int
    maps: tuple[np.ndarray, np.ndarray]
    drops: np.ndarray
    stands_out: bool


def look(classifier: Classifier, image: np.ndarray, rng: np.random.Generator) -> Seen:
    """Classify uint8 [height, width, 3], also with areas covered."""
    probabilities, evidence, _, _ = classifier.run(image)
    top, size = int(probabilities.argmax()), image.shape[:2]
    kept = cam.agreed(evidence, classifier.run(image[::-1, ::-1])[1])[..., top]
    once = (evidence - evidence.mean(axis=-1, keepdims=True))[..., top]
    drops = []
    for values, extent in ((once, (1, 1)), (kept, cam.extent(kept.shape, size))):
        strongest = int(values.argmax())
        other = (strongest + rng.integers(1, values.size)) % values.size
        for area in (strongest, other):
            hidden = cover(image, middle(area, values.shape, extent))
            after = classifier.run(hidden)[0][top]
            drops.append(log_odds(probabilities[top]) - log_odds(after))
    return Seen(top, (once, kept), np.reshape(drops, (2, 2)), kept.max() > classifier.blank)


def middle(area: int, shape: tuple, extent: tuple[float, float]) -> tuple[float, float]:
    """The middle of an area, counted row by row, as shares of the picture's height and width."""
    down, across = ((i + 0.5) / n - 0.5 for i, n in zip(np.unravel_index(area, shape), shape))
    return 0.5 + down * extent[0], 0.5 + across * extent[1]


def cover(image: np.ndarray, at: tuple[float, float]) -> np.ndarray:
    """`image` with a square around `at` in the median colour of the picture's edge."""
    height, width = image.shape[:2]
    edge = np.concatenate([image[[0, -1]].reshape(-1, 3), image[:, [0, -1]].reshape(-1, 3)])
    plain = Image.new("RGB", (width, height), tuple(np.median(edge, axis=0).astype(int).tolist()))
    y, x, half = at[0] * height, at[1] * width, SIDE * height / 2
    mask = Image.new("L", plain.size)
    ImageDraw.Draw(mask).rectangle((x - half, y - half, x + half, y + half), fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(half / 8))
    return np.asarray(Image.composite(plain, Image.fromarray(image), mask))


def log_odds(p: float) -> float:
    """The logarithm of p / (1 - p)."""
    p = min(max(float(p), LEAST), 1 - LEAST)
    return float(np.log(p / (1 - p)))


def measure(classifier: Classifier, dataset: str, pictures: int, cache=None) -> list[Seen]:
    """What is seen of `pictures` validation pictures, chosen by chance. Raises DatasetError."""
    rng = np.random.default_rng(SEED)
    rows = data.rows_of_model(classifier.config, dataset)
    chosen = rows.find(read_json(classifier.folder / SPLIT)["validation"])
    chosen = np.sort(rng.permutation(chosen)[:pictures])
    images = data.decode(rows, chosen, classifier.height, classifier.width, cache)
    return [look(classifier, image, rng) for image in images]


def places(maps: list[np.ndarray]) -> list[float]:
    """Shares of maps [h, w] that are strongest in a corner, elsewhere on the border, and inside."""
    edges = []
    for values in maps:
        where = zip(np.unravel_index(values.argmax(), values.shape), values.shape)
        edges.append(sum(i in (0, n - 1) for i, n in where))
    return [float(np.mean([edge == n for edge in edges])) for n in (2, 1, 0)]


def figures(name: str, seen: list[Seen], labels: list[str]) -> list[list[str]]:
    """A model's two rows of the table."""
    rows = []
    for which, title in enumerate(("one run", "the map")):
        shares = places([each.maps[which] for each in seen])
        moles = places([each.maps[which] for each in seen if labels[each.top] == MOLE])
        drops = np.array([each.drops[which] for each in seen])
        rows.append([name, title, *(f"{100 * share:.0f} %" for share in (moles[0], *shares))])
        rows[-1] += [mean(drops[:, 0]), mean(drops[:, 1]), mean(drops[:, 0] - drops[:, 1])]
    return rows


def mean(values: np.ndarray) -> str:
    """The mean of values [n] and half the width of its 95 % interval."""
    return f"{values.mean():.2f} ± {1.96 * values.std() / len(values) ** 0.5:.2f}"


def report_lines(measured: dict[str, tuple[Classifier, list[Seen]]]) -> list[str]:
    """The lines of map.md, from each model's name, classifier and what `measure` returns."""
    head = ["", "evidence of", "moles, corner", "corner", "border", "inside"]
    head += ["strongest covered", "another covered", "difference"]
    body, others = [], []
    for name, (classifier, seen) in measured.items():
        body += figures(name, seen, classifier.labels)
        shown = np.array([each.stands_out for each in seen])
        differences = np.array([each.drops[1] for each in seen]) @ [1, -1]
        others.append(
            [name, str(len(seen)), f"{classifier.blank:.2f}", f"{100 * shown.mean():.0f} %"]
            + [mean(differences[group]) if group.any() else "–" for group in (shown, ~shown)]
        )
    return [
        "# Where the evidence is strongest",
        "",
        "Made by `python -m results.map`: pictures of the validation part, the evidence for the "
        "most probable diagnosis. *Corner*, *border* and *inside*: the share of pictures whose "
        "strongest area lies there. *Covered*: by how much the log-odds of the diagnosis fall once "
        "the strongest area, or another one chosen by chance, is covered; ± is a 95 % interval.",
        "",
        *table(head, body),
        "Below, *blank* is the most evidence of a blank picture for any diagnosis, and *stands "
        "out* the share of pictures with more than that. The difference is that of the table above "
        "for the map.",
        "",
        *table(["", "pictures", "blank", "stands out", "difference if so", "if not"], others),
        "![The mean evidence for a mole](map.png)",
        "",
        "The mean evidence over all pictures taken for a mole. Dashed: the picture.",
        "",
    ]


def draw(measured: dict[str, tuple[Classifier, list[Seen]]], path: Path) -> None:
    """Write the mean maps of the pictures taken for a mole as a PNG."""
    figure = Figure(figsize=(8, 3 * len(measured)), dpi=DPI, layout="constrained")
    for row, (name, (classifier, seen)) in zip(
        figure.subplots(len(measured), 2, squeeze=False), measured.items()
    ):
        moles = [each.maps for each in seen if classifier.labels[each.top] == MOLE]
        means = np.mean(moles, axis=0)
        size = classifier.height, classifier.width
        for axes, values, extent, title in zip(
            row,
            means,
            ((1, 1), cam.extent(means[0].shape, size)),
            ("one run, spread evenly", "the map"),
        ):
            down, across = (share * side / 2 for share, side in zip(extent, size))
            box = (-across, across, down, -down)
            drawn = axes.imshow(values, extent=box, vmin=0, vmax=means.max())
            frame = (-size[1] / 2, -size[0] / 2), size[1], size[0]
            axes.add_patch(Rectangle(*frame, fill=False, linestyle="--", clip_on=False))
            axes.set(title=f"{name}: {title}", xticks=[], yticks=[])
            axes.set(xlim=(-size[1] / 2, size[1] / 2), ylim=(size[0] / 2, -size[0] / 2))
            axes.spines[:].set_visible(False)
        figure.colorbar(drawn, ax=row, label="evidence")
    with replacing(path) as beside:
        figure.savefig(beside, format="png")


def main(arguments=None) -> str:
    """Measure the models that `arguments` name, write the report and the figure; returns the
    report."""
    options = parser(__doc__, "results/map.md", resamples=False)
    options.add_argument("folders", nargs="+", metavar="MODEL_FOLDER")
    options.add_argument("--pictures", type=int, default=200, help="default: %(default)s")
    args = options.parse_args(arguments)
    measured = {}
    for folder in map(Path, args.folders):
        classifier = Classifier(folder)
        seen = measure(classifier, args.dataset, args.pictures, args.cache)
        measured[folder.resolve().name] = classifier, seen
    draw(measured, Path(args.output).with_suffix(".png"))
    return write_report(args.output, report_lines(measured))


if __name__ == "__main__":
    run("map", main)
