"""Rules about the picture itself: far too small, nearly uniform, badly lit, blurred, too long.

    quality_notices(open_picture("lesion.jpg"))      # [], or codes such as ["blurred"]

All but the size and the shape are computed on the picture at 96 x 128 pixels, resized as for the
network (`to_array`), so the size of a photo does not matter and other languages can repeat the
rules. The bounds were set on 2,555 training and validation images of HAM10000, of which all rules
together flag 4; the figures below are about those images.
"""

import numpy as np
from PIL import Image

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
# A picture with one of these gets no confident label; the others are warnings.
REFUSED = ("too_small", "uniform", "unfamiliar")

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
# brightfield microscopy, ICPR 2000). Below it lie 0.2 % of the images, 9 in 10 of those blurred by
# a Gaussian with a sigma of 1 % of the width, and all of those blurred with 1.5 %.
SHARP = 9.0
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
    grey = pixels @ (0.299, 0.587, 0.114)
    uniform = pixels.std(axis=(0, 1)).max() < UNIFORM
    found = {
        "too_small": min(picture.size) < SMALLEST,
        "uniform": uniform,
        "too_dark": (grey >= DARK).mean() < LIT,
        "too_bright": (grey >= WHITE).mean() > BURNT,
        # Nothing in a uniform picture could be sharp.
        "blurred": not uniform and laplacian(grey).var() < SHARP,
        "squeezed": max(picture.size) > LONG * min(picture.size),
    }
    return [code for code in CODES if found.get(code)]


def laplacian(grey: np.ndarray) -> np.ndarray:
    """Sum of the four neighbours minus four times the pixel, [h, w] to [h - 2, w - 2]."""
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return around - 4 * grey[1:-1, 1:-1]
