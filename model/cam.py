"""The class activation map over the picture: which places speak for a diagnosis.

The network ends in global average pooling and one dense layer. That layer, applied at each place of
the last feature map, gives the evidence, whose mean over places is the logits (Zhou et al.,
Learning Deep Features for Discriminative Localization, CVPR 2016).

The evidence alone misleads. A network may gather it at a place of its own, whatever the picture
shows there, and its places need not lie evenly over the picture. Hence the map keeps what remains
when the picture is turned by half, puts the places where the network looks, and is empty if it
holds no more than that of a blank picture. docs/map.md has the measurements.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor

LONGEST = 640  # pixels, the longer side of the picture as shown
HALF = 0.5  # the level of the white line
OPAQUE = 0.65  # at full strength, the share of the colours
LEAST = 0.05  # a map that stays below counts as empty
STRIDE = (
    32  # pixels of the input from place to place: all networks but the plain ones halve 5 times
)

# Viridis (van der Walt and Smith, 2015) in ten even steps. Its lightness rises evenly, so it can be
# read in grey and by people who are colour-blind.
COLOURS = (
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
)
_RGB = np.array([ImageColor.getrgb(colour) for colour in COLOURS], np.float32)


def shown(picture: Image.Image) -> Image.Image:
    """A copy of an RGB picture, at most LONGEST pixels per side."""
    picture = picture.copy()
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return picture


@dataclass(frozen=True)
class Map:
    """strengths: float32 [h, w, k] over the upright picture, see `strengths`
    extent: shares of the picture's height and width that the places cover, around its middle
    """

    strengths: np.ndarray
    extent: tuple[float, float]


def agreed(evidence: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Evidence [h, w, k] for a picture, and for the same picture turned by half, to float32
    [h, w, k] over the first: how much more a place speaks for a diagnosis than for the average
    one, the smaller of the two. Unlike the evidence it does not add up to the logits."""
    both = np.stack([evidence, turned[::-1, ::-1]]).astype(np.float32)
    return (both - both.mean(axis=-1, keepdims=True)).min(axis=0)


def strengths(evidence: np.ndarray, turned: np.ndarray, blank: float) -> np.ndarray:
    """What `agreed` keeps as strengths float32 [h, w, k], 0 to 1, all divided by the largest, so
    that the maps of one picture can be compared. All are 0 for a diagnosis of which no place
    stands out: none speaks for it more than `blank`, the most that `agreed` keeps of any diagnosis
    for a blank picture."""
    kept = agreed(evidence, turned)
    kept = np.where(kept.max(axis=(0, 1)) > blank, np.maximum(kept, 0), 0)
    return kept / max(float(kept.max(initial=0)), 1e-6)


def extent(places: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """Map.extent of (h, w) places in an input of (height, width) pixels. The places lie STRIDE
    apart, those of the picture and of its half turn evenly about the middle. Without padding they
    leave out the border; with it they reach beyond, which is cut off."""
    down, across = (min(1.0, n * STRIDE / pixels) for n, pixels in zip(places, size))
    return down, across


def colours(values: np.ndarray) -> np.ndarray:
    """Values 0 to 1 of any shape to float32 [..., 3], RGB 0 to 255."""
    levels = np.linspace(0, 1, len(_RGB))
    channels = [np.interp(values, levels, channel) for channel in _RGB.T]
    return np.stack(channels, axis=-1).astype(np.float32)


def overlay(picture: Image.Image, strength: np.ndarray) -> Image.Image:
    """`strength` [h, w], 0 to 1, over an RGB picture, as RGB of the same size. The picture becomes
    grey, so that its colours are not mistaken for the map's. A white line, edged in black, encloses
    the places of HALF and more, for people who cannot tell the colours."""
    small = Image.fromarray(np.ascontiguousarray(strength, dtype=np.float32))
    value = np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC))
    value = np.clip(value, 0, 1)
    grey = np.asarray(picture.convert("L"), np.float32)[..., None]
    opaque = OPAQUE * np.sqrt(value)[..., None]
    pixels = grey * (1 - opaque) + colours(value) * opaque
    inside = value >= HALF
    pixels[_rim(inside, 2)] = 0
    pixels[_rim(inside, 1)] = 255
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def _rim(inside: np.ndarray, reach: int) -> np.ndarray:
    """The places at most `reach` steps, along a row or column, from the edge of `inside`."""
    rim = np.zeros_like(inside)
    for step in range(1, reach + 1):
        across = inside[:, step:] != inside[:, :-step]
        down = inside[step:] != inside[:-step]
        rim[:, step:] |= across
        rim[:, :-step] |= across
        rim[step:] |= down
        rim[:-step] |= down
    return rim
