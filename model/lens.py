"""Find the round field of view of a dermatoscope, and crop a picture to it.

    picture = within_lens(open_picture("lesion.jpg"))      # the same picture if there is no circle

A lens leaves the corners black; a network that saw few such pictures takes them for something
unfamiliar. The circle is found on a copy of SIDE x SIDE pixels, where it is an ellipse, so that the
size of the picture does not matter and other languages can repeat the rules. A circle that is
doubtful is not found: then the picture stays as it is. The bounds were set on the training and
validation pictures of HAM10000; the figures below are about those.
"""

import numpy as np
from PIL import Image

from model.colour import GREY

SIDE = 96
# Grey, 0 to 255: darker is outside the lens.
BLACK = 50.0
# Points of the edge, and pixels of the picture's shorter side, that it takes to tell a circle.
POINTS = 24
# A point is on the circle if it is at most NEAR of the radius away, and MATCH of them must be. No
# more than MIXED of the places outside may be bright.
NEAR, MATCH, MIXED = 0.03, 0.85, 0.05
# Pictures squeezed into another shape show an ellipse: the most that its axes may differ.
SQUEEZED = 1.4
# The farthest that its middle may be from the picture's, in half widths and heights.
ASIDE = 0.5
# The share of the picture outside the lens. Up to LEAST is common in HAM10000, so networks know it;
# two pictures of 9,187 show more.
LEAST, MOST = 0.14, 0.8
# Half the diagonal of the crop, in radii. Above 1 it shows a little black in the corners, as many
# pictures do, and loses less of the skin.
REACH = 1.05
# The longer side of the crop over the shorter one: that of HAM10000's pictures.
LONGEST = 4 / 3


def within_lens(picture: Image.Image) -> Image.Image:
    """The part of an upright RGB picture that a lens shows, as a rectangle of the picture's own
    shape, but not longer than LONGEST; the picture itself if no circle is found."""
    place = lens(picture)
    if place is None:
        return picture
    x, y, a, b = place
    shape = min(max(picture.width / picture.height, 1 / LONGEST), LONGEST)
    # Half the height and half the width of the crop, where those of the picture are 1.
    wider = shape * picture.height / picture.width
    down = REACH / np.hypot(wider / a, 1 / b)
    across = wider * down
    left, right = (np.clip([x - across, x + across], -1, 1) + 1) / 2 * picture.width
    top, bottom = (np.clip([y - down, y + down], -1, 1) + 1) / 2 * picture.height
    return picture.crop([int(edge + 0.5) for edge in (left, top, right, bottom)])


def lens(picture: Image.Image) -> tuple[float, float, float, float] | None:
    """The circle as (x, y, a, b), its middle and its radius across and down, in a picture whose
    middle is (0, 0) and whose edges are at -1 and 1; None if there is no circle."""
    if min(picture.size) < POINTS:
        return None
    pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float64)
    grey = pixels @ GREY
    points = _edge(grey)
    ellipse = _ellipse(points) if len(points) >= POINTS else None
    if ellipse is None:
        return None
    off = np.abs(_distance(*points.T, ellipse) - 1)
    at = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    distance = _distance(at, at[:, None], ellipse)
    outside = grey[distance > 1 + NEAR]
    x, y, a, b = ellipse
    ratio = a * picture.width / (b * picture.height)
    found = (
        (off < NEAR).mean() > MATCH
        and LEAST < (distance > 1).mean() < MOST
        and (outside >= BLACK).mean() < MIXED
        and 1 / SQUEEZED < ratio < SQUEEZED
        and max(abs(x), abs(y)) < ASIDE
    )
    return ellipse if found else None


def _edge(grey: np.ndarray) -> np.ndarray:
    """Where black ends on the way in from each side, along each row and column: [n, 2], x and y
    from -1 to 1."""
    points = []
    for lines, upright, sign in (
        (grey, False, 1),
        (grey[:, ::-1], False, -1),
        (grey.T, True, 1),
        (grey.T[:, ::-1], True, -1),
    ):
        first = (lines >= BLACK).argmax(axis=1)
        line = np.flatnonzero(first)  # 0: bright from the start, or black throughout
        first = first[line]
        before, after = lines[line, first - 1], lines[line, first]
        # The middle of pixel i is at i + 0.5; grey is linear between two middles.
        along = (first - 0.5 + (BLACK - before) / (after - before)) / SIDE * 2 - 1
        across = (line + 0.5) / SIDE * 2 - 1
        pair = (across, sign * along) if upright else (sign * along, across)
        points.append(np.stack(pair, axis=1))
    return np.concatenate(points)


def _ellipse(points: np.ndarray) -> tuple[float, float, float, float] | None:
    """The ellipse with upright axes through points [n, 2], by least squares of its equation
    A x² + B y² + C x + D y = 1: its middle x, y and half its axes a, b. None if it is none."""
    x, y = points.T
    terms = np.stack([x * x, y * y, x, y], axis=1)
    A, B, C, D = np.linalg.lstsq(terms, np.ones(len(x)), rcond=None)[0]
    if not (A > 0 and B > 0):
        return None
    size = 1 + C * C / (4 * A) + D * D / (4 * B)
    return -C / (2 * A), -D / (2 * B), np.sqrt(size / A), np.sqrt(size / B)


def _distance(x: np.ndarray, y: np.ndarray, ellipse) -> np.ndarray:
    """How far (x, y) is from the middle of the ellipse, in radii."""
    middle_x, middle_y, a, b = ellipse
    return np.hypot((x - middle_x) / a, (y - middle_y) / b)
