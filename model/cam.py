"""The evidence map laid over the picture: where the network saw what speaks for a diagnosis.

The network ends in global average pooling and one Dense head. The head applied at each place of the
last feature map gives the evidence, whose mean over places is the logits: the class activation map
of Zhou et al., Learning Deep Features for Discriminative Localization (CVPR 2016).
"""

import numpy as np
from PIL import Image

from model.preprocessing import turned

LONGEST = 640  # pixels of the shown picture's longer side
HALF = 0.5  # the white line's level
OPAQUE = 0.65  # the most that the colours hide of the picture
LEAST = 0.05  # a map with nothing stronger shows nothing

# Viridis (van der Walt and Smith, 2015) at ten even steps: its lightness rises evenly, so that it
# reads in grey and to colour-blind eyes.
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
_RGB = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS], np.float32)


def shown(picture: Image.Image) -> Image.Image:
    """A copy of an upright RGB picture at the size in which it is shown."""
    picture = picture.copy()
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return picture


def upright(evidence: np.ndarray, picture: Image.Image, height: int, width: int) -> np.ndarray:
    """Evidence [h, w, k] as it lies on `picture`: `to_array` turns a portrait picture a quarter
    where the input, `height` x `width`, is landscape; this turns back."""
    return np.rot90(evidence, -1) if turned(picture, height, width) else evidence


def strengths(evidence: np.ndarray) -> np.ndarray:
    """Evidence float [h, w, k] to strengths float32 [h, w, k], 0 to 1: how far each place speaks
    for a diagnosis more than for the average one, over the largest such value of all; 0 where it
    speaks against it. So the maps of one picture can be compared."""
    centred = np.maximum(evidence - evidence.mean(axis=-1, keepdims=True), 0).astype(np.float32)
    return centred / max(float(centred.max(initial=0)), 1e-6)


def colours(values: np.ndarray) -> np.ndarray:
    """Values 0 to 1, of any shape, to float32 RGB 0 to 255, a last axis of 3 more."""
    place = np.clip(values, 0, 1) * (len(_RGB) - 1)
    low = np.minimum(place.astype(int), len(_RGB) - 2)
    share = (place - low)[..., None]
    return _RGB[low] * (1 - share) + _RGB[low + 1] * share


def overlay(picture: Image.Image, strength: np.ndarray) -> Image.Image:
    """`strength` [h, w], 0 to 1, over `picture`, as RGB of the picture's size. The picture is grey
    below, so that its own colours are not taken for the map's; a white line with a black one
    beside it encloses the places of HALF and more, for those who do not go by colour."""
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
    """Places within `reach` steps, along rows or columns, of the other side of `inside`'s edge."""
    rim = np.zeros_like(inside)
    for step in range(1, reach + 1):
        across = inside[:, step:] != inside[:, :-step]
        down = inside[step:] != inside[:-step]
        rim[:, step:] |= across
        rim[:, :-step] |= across
        rim[step:] |= down
        rim[:-step] |= down
    return rim
