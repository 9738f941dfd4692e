"""The effect of blur: which pictures get the notice, and what the models make of them.

    python -m results.blur model/bundled model/compact     writes results/blur.md and blur.png

Every picture of the validation part is blurred by PIL's GaussianBlur. A radius is the Gaussian's
standard deviation, in pixels of a picture 600 pixels wide, as HAM10000 was published. The models
answer every picture, also those with a notice. The bounds of model/quality.py were set by these
figures, so the test part has no place in them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from model import quality
from model.classifier import Classifier
from model.colour import GREY
from model.data.dataset import rows_of_model
from model.evaluation.figures import blur_figure
from model.evaluation.metrics import classification_metrics
from model.evaluation.runs import at
from model.folder import SPLIT, UserError, read_json
from model.hub.tables import table, text
from model.lens import within_lens
from model.preprocessing import open_picture, to_array
from results.reports import parser, run, write_report

WIDTH = 600  # pixels of the picture that a radius refers to
RADII = (0, 1, 2, 3, 4, 6, 8)
ANSWERED = (0, 2, 4, 8)  # the radii at which the models are asked
SMALL = 60, 45  # pixels, to which a picture is reduced and from which it is enlarged again
BOUNDS = (2.6, 2.8, 3.0, 3.2, 3.4, 3.6)  # that FINE of model/quality.py might have
# Heading, path in the metrics.
SHOWN = (
    ("balanced accuracy", ("balanced_accuracy",)),
    ("sensitivity of the warning", ("suspicious", "sensitivity")),
    ("specificity of the warning", ("suspicious", "specificity")),
)


def blurred(picture: Image.Image, radius: float) -> Image.Image:
    """The picture, blurred as GaussianBlur(radius) blurs one of WIDTH pixels."""
    return picture.filter(ImageFilter.GaussianBlur(radius * picture.width / WIDTH))


def enlarged(picture: Image.Image) -> Image.Image:
    """The picture, reduced to SMALL and enlarged again."""
    return picture.resize(SMALL).resize(picture.size)


def detail(pictures: list[Image.Image], change: Callable) -> np.ndarray:
    """What `detail` of model/quality.py finds in each picture after `change`: [n, 2]."""
    found = []
    for picture in pictures:
        pixels = to_array(within_lens(change(picture)), quality.HEIGHT, quality.WIDTH)
        found.append(quality.detail(pixels.astype(np.float64) @ GREY))
    return np.array(found)


def noticed(details: np.ndarray, sharp: float, fine: float) -> float:
    """The share of `details` [n, 2] that is blurred by the bounds SHARP and FINE."""
    before, after = details.T
    return float(((before < sharp) | (before < fine * after)).mean())


def answers(
    classifier: Classifier, pictures: list[Image.Image], radius: float
) -> tuple[np.ndarray, list[list[str]]]:
    """Probabilities [n, k] and the notices of each picture, blurred with `radius`."""
    probabilities, notices = [], []
    for picture in tqdm(pictures, f"{classifier.folder.name}, radius {radius}", mininterval=5):
        prediction = classifier.predict(blurred(picture, radius))
        probabilities.append([*prediction.probabilities.values()])
        notices.append(prediction.notices)
    return np.array(probabilities), notices


def figures(classifier: Classifier, rows, found: tuple, resamples: int) -> dict:
    """The figures of model/evaluation/metrics.py for what `answers` returned of `rows`; `refused`,
    the share of pictures without a headline; and `notices`, the share with each notice."""
    probabilities, notices = found
    calibration = classifier.config["calibration"]
    metrics = classification_metrics(
        classifier.labels,
        rows.truth,
        probabilities,
        rows.units("lesion"),
        suspicious=calibration["suspicious"],
        threshold=calibration["threshold"],
        resamples=resamples,
    )
    refused = [bool(set(codes) & set(quality.REFUSED)) for codes in notices]
    shares = {code: np.mean([code in codes for codes in notices]).item() for code in quality.CODES}
    return metrics | {"refused": np.mean(refused).item(), "notices": shares}


def report_lines(details: dict[str, np.ndarray], models: dict[str, dict[int, dict]]) -> list[str]:
    """The lines of blur.md, from what `detail` and `figures` return: `details` by the heading of
    its column, `models` by name and radius."""
    images = len(next(iter(details.values())))
    lines = [
        "# The effect of blur",
        "",
        f"Made by `python -m results.blur {' '.join(f'model/{name}' for name in models)}`. The "
        f"validation part, {images:,} pictures, blurred by a Gaussian. A radius is its standard "
        f"deviation in pixels of a picture {WIDTH} pixels wide; 0 is the picture as it is. "
        "Brackets hold 95 % intervals from a bootstrap over lesions.",
        "",
        "![Share of pictures with the notice, and figures of the models, by radius](blur.png)",
        "",
        "## Pictures with the notice",
        "",
        "In per cent, by the bound FINE of model/quality.py; without it, SHARP alone decides. In "
        f"the last column the pictures are reduced to {SMALL[0]} x {SMALL[1]} pixels and enlarged "
        "again.",
        "",
    ]
    body = []
    for bound in sorted({0.0, *BOUNDS, quality.FINE}):
        shares = [noticed(values, quality.SHARP, bound) for values in details.values()]
        name = f"**{bound}**" if bound == quality.FINE else bound or "without"
        body.append([name, *(f"{100 * share:.1f}" for share in shares)])
    lines += table(["FINE", *details], body)
    for name, measured in models.items():
        lines += [f"## {name}", "", "What it answers to every picture, whatever the notices.", ""]
        body = [
            [
                radius,
                *(text(at(entry, path), 1, 3) for _, path in SHOWN),
                f"{100 * entry['refused']:.1f} %",
            ]
            for radius, entry in measured.items()
        ]
        lines += table(["radius", *(heading for heading, _ in SHOWN), "no headline"], body)
        codes = [f"{code} {100 * share:.1f} %" for code, share in measured[0]["notices"].items()]
        lines += [f"Notices of the pictures as they are: {', '.join(codes)}.", ""]
    return lines


def main(arguments=None) -> str:
    """Measure the models that `arguments` name, and write the report and its figure; returns the
    report."""
    options = parser(__doc__, "results/blur.md")
    options.add_argument("folders", nargs="+", metavar="MODEL_FOLDER")
    args = options.parse_args(arguments)
    classifiers = {Path(folder).resolve().name: Classifier(folder) for folder in args.folders}
    first, *others = classifiers.values()
    ids = read_json(first.folder / SPLIT)["validation"]
    if any(read_json(one.folder / SPLIT)["validation"] != ids for one in others):
        raise UserError("The models have different validation parts: measure each by itself.")
    rows = rows_of_model(first.config, args.dataset)
    rows = rows.take(rows.find(ids))
    pictures = [open_picture(rows.encoded(i)) for i in range(len(rows))]
    details = {str(r): detail(pictures, lambda one, r=r: blurred(one, r)) for r in RADII}
    details[f"{SMALL[0]} x {SMALL[1]}"] = detail(pictures, enlarged)
    models = {
        name: {
            radius: figures(one, rows, answers(one, pictures, radius), args.resamples)
            for radius in ANSWERED
        }
        for name, one in classifiers.items()
    }
    return write(args.output, details, models)


def write(path: "str | Path", details: dict, models: dict) -> str:
    """Write the report to `path`, and the figure beside it; returns the report."""
    shares = {r: noticed(details[str(r)], quality.SHARP, quality.FINE) for r in RADII}
    curves = {
        f"{name}, {heading}": {r: at(entry, way)["value"] for r, entry in measured.items()}
        for name, measured in models.items()
        for heading, way in SHOWN
    }
    report = write_report(path, report_lines(details, models))
    blur_figure(shares, curves, Path(path).with_suffix(".png"))
    return report


if __name__ == "__main__":
    run("blur", main)
