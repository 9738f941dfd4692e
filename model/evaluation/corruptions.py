"""Common corruptions of a picture: what a dermatoscope, a camera or a program may do to it.

    corrupt(picture, "blur", 3, np.random.default_rng(0))      # uint8 [h, w, 3] in and out

Each of KINDS has three strengths, after Hendrycks and Dietterich, Benchmarking neural network
robustness to common corruptions and perturbations, ICLR 2019. Strengths were chosen by eye, so that
the lesion should stay visible. They hold for pictures whose longer side has SIDE pixels;
`at_scale` makes one of any other.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

SIDE = 400  # pixels of the longer side; 400 x 300 for pictures of HAM10000
SEED = 0
STRENGTHS = (1, 2, 3)
# What the strengths 1, 2 and 3 of each kind are; `DESCRIBED` says of what.
KINDS = {
    "brightness": (0.4, 0.8, 1.2),
    "contrast": (0.8, 0.6, 0.4),
    "colour temperature": (20, 40, 70),
    "blur": (1.0, 2.0, 3.0),
    "JPEG": (30, 20, 10),
    "noise": (8, 16, 32),
    "hair": (1, 2, 4),
    "ruler": (1, 2, 4),
    "zoom": (1.2, 1.4, 1.6),
}
DESCRIBED = {
    "brightness": "stops of exposure more or less, drawn for each picture",
    "contrast": "share that is left of the distance from the picture's mean colour",
    "colour temperature": "mired warmer or cooler than 6,500 K, drawn for each picture",
    "blur": "standard deviation of a Gaussian, in pixels",
    "JPEG": "quality, 1 to 95",
    "noise": "standard deviation of a Gaussian, in levels of 255",
    "hair": "draws of 3 to 30 hairs",
    "ruler": "draws of a ruler",
    "zoom": "times as large, cut to the middle",
}
WHITE = 6500  # kelvin, close to the white of sRGB
# CIE XYZ to linear sRGB, IEC 61966-2-1.
TO_SRGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)


def at_scale(picture: Image.Image) -> Image.Image:
    """The picture, enlarged or reduced so that its longer side has SIDE pixels."""
    factor = SIDE / max(picture.size)
    size = tuple(max(1, round(side * factor)) for side in picture.size)
    return picture.resize(size, Image.Resampling.BILINEAR)


def generator(kind: str, number: int) -> np.random.Generator:
    """The random numbers of `kind` for picture `number`. They are the same for each strength, so
    that a stronger corruption differs in nothing else."""
    return np.random.default_rng([SEED, list(KINDS).index(kind), number])


def corrupt(picture: np.ndarray, kind: str, strength: int, rng: np.random.Generator) -> np.ndarray:
    """A copy of `picture`, uint8 [h, w, 3] RGB, with one of KINDS at a strength of 1, 2 or 3."""
    return CORRUPTIONS[kind](picture, KINDS[kind][strength - 1], rng)


def brightness(picture, stops, rng):
    return exposed(picture, [2.0 ** (stops * rng.choice((-1, 1)))] * 3)


def contrast(picture, left, rng):
    mean = picture.mean(axis=(0, 1))
    return as_bytes(mean + left * (picture - mean))


def colour_temperature(picture, mired, rng):
    kelvin = 1e6 / (1e6 / WHITE + mired * rng.choice((-1, 1)))
    return exposed(picture, lamp(kelvin) / lamp(WHITE))


def blur(picture, sigma, rng):
    return np.array(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))


def jpeg(picture, quality, rng):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def noise(picture, deviation, rng):
    return as_bytes(picture + deviation * rng.standard_normal(picture.shape, np.float32))


def hair(picture, draws, rng):
    return drawn(picture, "hair", draws, rng)


def ruler(picture, draws, rng):
    return drawn(picture, "ruler", draws, rng)


def zoom(picture, factor, rng):
    h, w = picture.shape[:2]
    left, top = w / 2 * (1 - 1 / factor), h / 2 * (1 - 1 / factor)
    box = left, top, w - left, h - top
    return np.array(Image.fromarray(picture).resize((w, h), Image.Resampling.BICUBIC, box))


def drawn(picture: np.ndarray, kind: str, draws: int, rng: np.random.Generator) -> np.ndarray:
    """`picture` with `draws` artefacts of one of the kinds of model/data/artefacts.py."""
    from model.data.artefacts import draw

    for _ in range(draws):
        picture = draw(picture, kind, rng)
    return picture


def exposed(picture: np.ndarray, gains: Sequence[float]) -> np.ndarray:
    """`picture` as if R, G and B had received `gains` times the light; what is too bright is cut
    off. Light is proportional to linear sRGB (IEC 61966-2-1), not to the levels."""
    level = np.arange(256) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    light = np.minimum(linear[:, None] * np.asarray(gains), 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return as_bytes(255 * curve)[picture, np.arange(3)]


def lamp(kelvin: float) -> np.ndarray:
    """Linear sRGB of a black body of 1,667 to 25,000 kelvin, at the same luminance each: the
    Planckian locus as Kim et al. approximate it (US patent 7024034, 2006)."""
    t = 1e3 / kelvin
    if kelvin < 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    return TO_SRGB @ (x / y, 1, (1 - x - y) / y)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """`values` as the nearest levels, uint8."""
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


CORRUPTIONS = {
    "brightness": brightness,
    "contrast": contrast,
    "colour temperature": colour_temperature,
    "blur": blur,
    "JPEG": jpeg,
    "noise": noise,
    "hair": hair,
    "ruler": ruler,
    "zoom": zoom,
}
