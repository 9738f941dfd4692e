"""Rules about the picture itself: far too small, nearly uniform, badly lit, blurred, too long.

    quality_notices(open_picture("lesion.jpg"))      # [], or codes such as ["blurred"]

All but the size and the shape are computed on the picture at 96 x 128 pixels, resized as for the
network (`to_array`), so the size of a photo does not matter and other languages can repeat the
rules. The bounds were set on training and validation images of HAM10000; the figures below are
about those, and results/blur.md has more.
"""

import numpy as np
from PIL import Image

from model.colour import GREY
from model.preprocessing import to_array

HEIGHT, WIDTH = 96, 128
CODES = (
    "too_small",
    "uniform",
    "too_dark",
    "too_bright",
    "blurred",
    "squeezed",
    "lens",
    "unfamiliar",
)
# A picture with one of these gets no headline. "lens" only says what was cropped.
REFUSED = tuple(code for code in CODES if code != "lens")

# Pixels of the shorter side, below which a lesion shows no structure.
SMALLEST = 60
# Standard deviation of the most varied of R, G and B, 0 to 255. The images have at least 6.9.
UNIFORM = 5.0
# Too dark: less than LIT of the pixels reach DARK, in grey 0 to 255. In the darkest image the
# brightest 5 % reach 112, but all show light skin; the bound leaves room for dark skin.
DARK, LIT = 70.0, 0.05
# Too bright: more than BURNT of the pixels reach WHITE. In the images, 0.34 do at most.
WHITE, BURNT = 245.0, 0.4
# Variance of the Laplacian of the grey picture (Pech-Pacheco et al., Diatom autofocusing in
# brightfield microscopy, ICPR 2000): below it there is hardly any detail.
SHARP = 9.0
# By which factor that variance falls, at least, if a sharp picture is blurred once more. A blurred
# one has little to lose (Crete et al., The blur effect: perception and estimation with a new
# no-reference perceptual blur metric, SPIE 6492, 2007). Of the validation images, 0.3 % are below
# one of the two bounds; blurred with a sigma of 0.33 % of the width, 10 %; with 0.67 %, all.
FINE = 3.0
# The longer side over the shorter one. Of 85 malignant validation images with a warning, skin added
# at the sides takes it from 6 at 2:1, 11 at 3:1 and 63 at 10:1, where all is squeezed to 4:3.
LONG = 2.0


def quality_notices(picture: Image.Image) -> list[str]:
    """The codes that apply to an upright RGB picture, in the order of CODES. "lens" and
    "unfamiliar" are not among them: model/lens.py and the network decide them.

    A JPEG that `open_picture` decoded at a fraction of its size gives the same codes, as long as
    at least twice HEIGHT and WIDTH are left.
    """
    pixels = to_array(picture, HEIGHT, WIDTH).astype(np.float64)
    grey = pixels @ GREY
    small, uniform = min(picture.size) < SMALLEST, pixels.std(axis=(0, 1)).max() < UNIFORM
    before, after = detail(grey)
    found = {
        "too_small": small,
        "uniform": uniform,
        "too_dark": (grey >= DARK).mean() < LIT,
        "too_bright": (grey >= WHITE).mean() > BURNT,
        # Nothing in a uniform picture could be sharp, nor in one that is too small.
        "blurred": not (small or uniform) and (before < SHARP or before < FINE * after),
        "squeezed": max(picture.size) > LONG * min(picture.size),
    }
    return [code for code in CODES if found.get(code)]


def detail(grey: np.ndarray) -> tuple[float, float]:
    """The variance of the Laplacian of a grey picture [h, w], as it is and blurred once more, by a
    mean of 3 x 3 pixels with the weights 1 2 1 across and down."""
    rows = grey[:-2] + 2 * grey[1:-1] + grey[2:]
    softer = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
    return laplacian(grey).var(), laplacian(softer).var()


def laplacian(grey: np.ndarray) -> np.ndarray:
    """Sum of the four neighbours minus four times the pixel, [h, w] to [h - 2, w - 2]."""
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return around - 4 * grey[1:-1, 1:-1]
