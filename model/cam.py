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
from PIL import Image

LONGEST = 640  # pixels, the longer side of the picture as shown
HALF = 0.5  # the strength from which a line surrounds an area
# Pixels of the input from place to place: all networks but the plain ones halve five times.
STRIDE = 32

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
