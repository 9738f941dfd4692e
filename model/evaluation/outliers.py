"""Out-of-distribution evaluation: how well a model recognises pictures that are not lesions, from a
data set or generated."""

import sys
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from model.classifier import Classifier
from model.evaluation.metrics import interval
from model.folder import UserError
from model.preprocessing import PictureError

KINDS = ("noise", "gradient", "flat", "text", "checkerboard", "blobs")
GENERATED = 300  # pictures of all kinds together
SOME = 1500  # pictures of a data set, evenly spaced: some minutes with a large model
SIZE = 400, 300  # width, height


def some_pictures(name: str) -> list[bytes]:
    """At most SOME encoded pictures of a Hub id or folder. Raises DatasetError."""
    from model.data.dataset import evenly, load_rows

    rows = load_rows(name, label_column=None, need=())
    return [rows.encoded(i) for i in evenly(range(len(rows)), SOME)]


def generated(count: int = GENERATED) -> list[Image.Image]:
    """Pictures of each of KINDS in turn, the same on every call and machine."""
    return [generate(KINDS[i % len(KINDS)], i) for i in range(count)]


def generate(kind: str, seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """An RGB picture of one of KINDS, of `size` (width, height)."""
    rng = np.random.default_rng(seed)
    width, height = size
    colour, other = rng.integers(0, 256, (2, 3))
    y, x = np.mgrid[0:height, 0:width]
    if kind == "noise":
        grain = int(rng.choice([1, 2, 4, 8, 16]))
        cells = rng.integers(0, 256, (height // grain, width // grain, 3), dtype=np.uint8)
        if rng.random() < 0.3:
            cells[:] = cells[..., :1]
        smooth = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR)[rng.integers(2)]
        return Image.fromarray(cells).resize(size, smooth)
    if kind == "gradient":
        angle = rng.uniform(0, 2 * np.pi)
        way = x * np.cos(angle) + y * np.sin(angle)
        if rng.random() < 0.4:
            way = np.hypot(x - width / 2, y - height / 2)
        way = (way - way.min()) / (way.max() - way.min())
        return Image.fromarray((colour + (other - colour) * way[..., None]).astype(np.uint8))
    if kind == "checkerboard":
        cell = int(rng.integers(4, 60))
        odd = (x // cell + (y // cell if rng.random() < 0.6 else 0)) % 2
        return Image.fromarray(np.where(odd[..., None], colour, other).astype(np.uint8))
    if kind == "text":
        return _text(rng, size, tuple(colour.tolist()))
    picture = Image.new("RGB", size, tuple(colour.tolist()))
    if kind == "blobs":
        draw = ImageDraw.Draw(picture)
        for _ in range(rng.integers(2, 9)):
            u, v, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.05, 0.4) * height
            draw.ellipse((u - r, v - r, u + r, v + r), tuple(rng.integers(0, 256, 3).tolist()))
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.01, 0.1) * height))
    return picture


def _text(rng, size, colour):
    """A screen: lines of letters, light on dark or dark on light, sometimes a bar and a box."""
    width, height = size
    paper, ink = (
        ((255, 255, 255), (20, 20, 20)) if rng.random() < 0.7 else ((30, 30, 35), (220,) * 3)
    )
    picture = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(picture)
    points = int(rng.integers(9, 26))
    font = ImageFont.load_default(points)
    letters = list("abcdefghijklmnopqrstuvwxyz     ")
    for top in range(32, height, int(points * 1.4)):
        line = "".join(rng.choice(letters, int(width / points * 1.6)))
        draw.text((8, top), line, fill=ink, font=font)
    if rng.random() < 0.5:
        draw.rectangle((0, 0, width, 24), fill=colour)
    if rng.random() < 0.5:
        u, v = rng.integers(0, width - 80), rng.integers(0, height - 50)
        draw.rectangle((u, v, u + 80, v + 50), fill=colour)
    return picture


def measure(
    classifier: Classifier, real: Iterable, lesions, outliers: dict[str, list], resamples: int
) -> dict:
    """Figures for metrics.json, each with its interval.

    Of the real pictures: the shares `refused` (no reliable answer), `noticed` (any notice) and of
    each notice. Of each set of outliers: the share `refused`, and `roc_auc`, how well familiarity
    alone tells them from the real pictures (missing if the model has no familiarity).

    real, outliers: encoded or PIL pictures; those that cannot be read are skipped. lesions: ids [n]
    of the real ones, which are resampled by lesion; outliers are resampled by picture.
    """
    rng = np.random.default_rng(0)
    answers = _ask(classifier, real, "the part", len(lesions))
    read = [i for i, answer in enumerate(answers) if answer]
    ours = [answers[i] for i in read]
    _, place, counts = np.unique(np.asarray(lesions)[read], return_inverse=True, return_counts=True)
    units = np.split(np.argsort(place, kind="stable"), np.cumsum(counts)[:-1])
    codes = sorted({code for answer in ours for code in answer.notices})
    flags = np.array(
        [[not a.confident, bool(a.notices), *(code in a.notices for code in codes)] for a in ours]
    )
    shares = [flags[i].mean(axis=0) for i in _draws(units, len(ours), resamples, rng)]
    refused, noticed, *notices = map(interval, np.array(shares).T)
    result = {
        "threshold": classifier.config.get("familiarity", {}).get("threshold"),
        "images": len(ours),
        "refused": refused,
        "noticed": noticed,
        "notices": dict(zip(codes, notices)),
        "outliers": {},
    }
    for name, pictures in outliers.items():
        theirs = list(filter(None, _ask(classifier, pictures, name, len(pictures))))
        again = [np.arange(len(theirs)), *rng.integers(0, len(theirs), (resamples, len(theirs)))]
        refused = np.array([not answer.confident for answer in theirs], np.float64)
        entry = {
            "images": len(theirs),
            "refused": interval(np.array([refused[i].mean() for i in again])),
        }
        if ours[0].familiarity is not None:
            scores = [np.array([answer.familiarity for answer in side]) for side in (ours, theirs)]
            ours_again = _draws(units, len(ours), resamples, np.random.default_rng(0))
            areas = [_area(scores[0][i], scores[1][j]) for i, j in zip(ours_again, again)]
            entry["roc_auc"] = interval(np.array(areas))
        result["outliers"][name] = entry
    return result


def _draws(units, count, resamples, rng):
    """The numbers of all images, then `resamples` times those of as many lesions, drawn with
    replacement. Yielded one by one, since all together would take 8 KB per image."""
    yield np.arange(count)
    for _ in range(resamples):
        yield np.concatenate([units[i] for i in rng.integers(0, len(units), len(units))])


def _ask(classifier, pictures, name, total):
    """A Prediction for each picture, None for one that cannot be read. Raises UserError if that is
    so for all."""
    answers = []
    for picture in tqdm(pictures, desc=name, total=total, file=sys.stdout, mininterval=1):
        try:
            prediction = classifier.predict(picture)
        except PictureError:
            answers.append(None)
        else:
            # The evidence and the pictures of all together would fill the memory.
            answers.append(replace(prediction, evidence=None, picture=None))
    if not any(answers):
        raise UserError(f"No picture of {name} can be read.")
    return answers


def _area(inside, outside):
    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    return roc_auc_score(truth, np.concatenate([inside, outside]))
