"""Artefacts of dermatoscopy, drawn on training pictures so that a network learns to ignore them.

    draw(picture, "ruler", np.random.default_rng(0))      # uint8 [h, w, 3] in and out

All sizes are relative to that of the picture, so small and large pictures show the same.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

# In order from the lens to the skin.
KINDS = ("circle", "ruler", "ink", "hair", "light")

# Black, dark brown, brown and blond, RGB 0-255, and how often each occurs.
HAIR = ((24, 18, 20), (58, 36, 28), (96, 62, 42), (190, 158, 112))
HAIR_SHARES = (0.45, 0.3, 0.15, 0.1)
# Gentian violet, violet, blue and dark green on white, RGB 0-255.
INK = ((70, 62, 150), (118, 70, 158), (50, 90, 165), (34, 112, 84))


def draw(picture: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A copy of `picture`, uint8 [h, w, 3] RGB, with a random artefact of one of KINDS.

    "circle": the round field of view of a lens; 2 to 40 % of the picture lie outside and are dark.
    "ruler": a scale of ticks along an edge, dark or white.
    "ink": one to three marks of a skin marker, near the margins.
    "hair": 3 to 30 hairs of one person.
    "light": uneven light, a smooth factor of 0.5 to 1.25, sometimes tinted by up to 4 %.
    """
    return DRAWERS[kind](picture, rng)


def add_artefacts(
    pictures: np.ndarray, kinds: Sequence[str], share: float, rng: np.random.Generator
) -> np.ndarray:
    """A copy of `pictures`, uint8 [n, h, w, 3] RGB, with artefacts of `kinds`, a subset of KINDS.

    Each kind is drawn on each picture with probability `share`, 0 to 1, independently of the
    others, in order from the skin to the lens.
    """
    order = sorted(kinds, key=KINDS.index, reverse=True)
    copy = np.array(pictures)
    for i in range(len(copy)):
        for kind in order:
            if rng.random() < share:
                copy[i] = draw(copy[i], kind, rng)
    return copy


def circle(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    h, w = picture.shape[:2]
    # Pictures squeezed into another shape show an ellipse.
    ratio = np.exp(rng.uniform(-0.15, 0.15)) if rng.random() < 0.5 else 1.0
    y = (np.arange(h) + 0.5 - h * rng.normal(0.5, 0.03)) * ratio
    x = (np.arange(w) + 0.5 - w * rng.normal(0.5, 0.03)) / ratio
    distance = np.hypot(y[:, None].astype(np.float32), x.astype(np.float32))
    # The radius that leaves a given share outside; every fourth row and column is enough.
    radius = float(np.quantile(distance[::4, ::4], 1 - rng.uniform(0.02, 0.4)))
    soft = max(1, w * rng.uniform(0.002, 0.01))
    seen = np.clip((radius - distance) / soft + 0.5, 0, 1)
    if rng.random() < 0.5:
        start, strength = rng.uniform(0.6, 0.85), rng.uniform(0.1, 0.5)
        outwards = np.clip((distance / radius - start) / (1 - start), 0, 1)
        seen *= 1 - strength * np.square(outwards)
    mask = Image.fromarray(np.rint(255 * (1 - seen)).astype(np.uint8))
    return covered(picture, rng.integers(23) + rng.integers(0, 4, 3), mask)


def ruler(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    h, w = picture.shape[:2]
    # Drawn along the upper edge, then rotated by quarter turns.
    quarter = int(rng.integers(4))
    wide, high = (w, h) if quarter % 2 == 0 else (h, w)
    finer = fineness(w)
    mask = Image.new("L", (wide * finer, high * finer))
    pen, unit = ImageDraw.Draw(mask), w * finer
    spacing = unit * log_uniform(rng, 0.012, 0.06)
    tick = unit * rng.uniform(0.015, 0.04) * rng.choice((-1, 1))
    thick = max(1, round(min(unit * rng.uniform(0.002, 0.008), spacing / 3)))
    fifth, tenth = ((1.0, 1.8), (1.6, 1.6), (1.4, 2.0))[rng.integers(3)]
    opaque = round(255 * rng.uniform(0.5, 1))
    angle = np.clip(rng.normal(0, 0.05), -0.12, 0.12)
    along = np.array([np.cos(angle), np.sin(angle)])
    inwards = np.array([-along[1], along[0]])
    middle = np.array([rng.uniform(0.3, 0.7), rng.uniform(0.05, 0.12)]) * mask.size
    reach = mask.width * rng.uniform(0.3, 0.8)
    count = int(reach / spacing)
    for i in range(-count, count + 1):
        start = middle + i * spacing * along
        end = start + tick * (tenth if i % 10 == 0 else fifth if i % 5 == 0 else 1) * inwards
        pen.line([*start, *end], opaque, thick)
    if rng.random() < 0.6:
        pen.line([*(middle - reach * along), *(middle + reach * along)], opaque, thick)
    shade = rng.integers(5, 60) if rng.random() < 0.7 else rng.integers(215, 256)
    return covered(picture, (shade,) * 3, mask.reduce(finer).rotate(90 * quarter, expand=True))


def ink(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    h, w = picture.shape[:2]
    mask = Image.new("L", (w, h))
    pen = ImageDraw.Draw(mask)
    for _ in range(rng.integers(1, 4)):
        points, joined = mark(rng)
        points = (points + 0.5) * mask.size
        thick = max(1, round(w * log_uniform(rng, 0.025, 0.08)))
        if joined:
            pen.line(points.ravel().tolist(), 255, thick, joint="curve")
        for x, y in points[[0, -1]] if joined else points:
            pen.circle((x, y), thick / 2, 255)
    mask = mask.filter(ImageFilter.GaussianBlur(w * rng.uniform(0.003, 0.008)))
    # Ink gathers in the furrows of the skin, so its edges are ragged.
    rows = rng.integers(25, 75)
    grain = Image.fromarray(rng.integers(0, 256, (rows, rows * w // h), np.uint8)).resize((w, h))
    wet = 1.5 * np.asarray(mask, np.float32) - rng.uniform(0.3, 1.2) * np.asarray(grain, np.float32)
    wet = np.rint(np.clip(wet, 0, 255) * np.float32(rng.uniform(0.6, 1))).astype(np.uint8)
    skin = Image.fromarray(picture)
    inked = ImageChops.multiply(skin, Image.new("RGB", (w, h), INK[rng.integers(len(INK))]))
    return np.array(Image.composite(inked, skin, Image.fromarray(wet)))


def mark(rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """The points [n, 2] of one mark, and whether they are joined (a stroke or an arc) or dots.

    The picture's edges are at -0.5 and 0.5. No point is closer to the middle than 0.37.
    """
    start, joined = rng.uniform(0, 2 * np.pi), rng.random() < 0.7
    if joined:
        angles = np.linspace(0, log_uniform(rng, 0.15, 3), 24)
        wave = 0.03 * np.sin(rng.uniform(0, 2 * np.pi) + rng.uniform(2, 6) * angles)
        radii = np.linspace(rng.uniform(0.4, 0.46), rng.uniform(0.4, 0.6), 24) + wave
    else:
        angles = rng.uniform(0.25, 0.8) * np.arange(rng.integers(1, 6))
        radii = rng.uniform(0.4, 0.48, len(angles))
    angles += start
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None], joined


def hair(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    h, w = picture.shape[:2]
    finer = fineness(w)
    mask = Image.new("L", (w * finer, h * finer))
    pen, unit = ImageDraw.Draw(mask), w * finer
    # Hairs of one person are similar in direction, length, width and curl.
    n = rng.integers(3, 31)
    angle = rng.uniform(0, 2 * np.pi) + rng.normal(0, rng.uniform(0.15, 0.8), n)
    length = unit * log_uniform(rng, 0.05, 0.9) * rng.uniform(0.6, 1.4, (n, 1))
    width = unit / 300 * log_uniform(rng, 0.7, 2.0) * rng.uniform(0.75, 1.25, (n, 1))
    along = length * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    across = along[:, ::-1] * (-1, 1)
    middle = rng.uniform(0, 1, (n, 2)) * mask.size
    root, tip = middle - along / 2, middle + along / 2
    bend = middle + across * rng.uniform(0.05, 0.25) * rng.normal(0, 1, (n, 1))
    t = np.linspace(0, 1, 20)[:, None, None]
    points = (1 - t) ** 2 * root + 2 * t * (1 - t) * bend + t**2 * tip
    ahead = (1 - t) * (bend - root) + t * (tip - bend)
    aside = ahead[..., ::-1] * (-1, 1) / np.linalg.norm(ahead, axis=2, keepdims=True)
    # PIL draws polygons one pixel too wide.
    half = np.maximum(width * (1 - 0.7 * t**2) - 1, 0) / 2
    outline = np.concatenate([points + half * aside, (points - half * aside)[::-1]])
    opaque = 255 * rng.uniform(0.6, 0.95) * rng.uniform(0.8, 1, n)
    for i in range(n):
        pen.polygon(outline[:, i].ravel().tolist(), round(opaque[i]))
    return covered(picture, HAIR[rng.choice(len(HAIR), p=HAIR_SHARES)], mask.reduce(finer))


def light(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    h, w = picture.shape[:2]
    y, x = np.linspace(-1, 1, h), np.linspace(-1, 1, w)
    angle, slope, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1), rng.uniform(0, 1)
    down, across = rng.uniform(-0.6, 0.6, 2)
    rows = slope * np.sin(angle) * y - fall * np.square(y - down)
    columns = slope * np.cos(angle) * x - fall * np.square(x - across)
    field = np.add.outer(rows, columns).astype(np.float32)
    low, high = rng.uniform(0.5, 0.85), rng.uniform(1.0, 1.25)
    field = low + (high - low) * (field - field.min()) / np.ptp(field)
    tint = rng.uniform(0.96, 1.04, 3) if rng.random() < 0.5 else np.ones(3)
    lit = picture * field[..., None] * tint.astype(np.float32)
    return np.rint(np.minimum(lit, 255)).astype(np.uint8)


def covered(picture: np.ndarray, colour: Sequence[int], mask: Image.Image) -> np.ndarray:
    """A copy of `picture` with `colour`, RGB 0-255, painted over it with the opacity `mask`,
    0-255."""
    skin = Image.fromarray(picture)
    over = Image.new("RGB", skin.size, tuple(int(c) for c in colour))
    return np.array(Image.composite(over, skin, mask))


def fineness(width: int) -> int:
    """The factor by which masks are drawn larger, since PIL does not antialias and draws lines only
    whole pixels wide."""
    return max(2, round(900 / width))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A random number from `low` to `high`, both above 0, whose logarithm is uniformly
    distributed."""
    return np.exp(rng.uniform(np.log(low), np.log(high)))


DRAWERS = {"circle": circle, "ruler": ruler, "ink": ink, "hair": hair, "light": light}
