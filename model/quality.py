"""Rules on the picture itself: far too small, nearly uniform, badly lit, blurred.

    quality_notices(open_picture("lesion.jpg"))      # [], or codes such as ["blurred"]

All but the size are simple figures of the picture at 96 x 128 pixels, resized as for the network
(`to_array`), so a photo of any size gives the same answer and another language can repeat it.
The bounds were set on 2,555 training and validation images of HAM10000, of which these rules
together notice 4; the figures beside them are of those images.
"""

import numpy as np
from PIL import Image

from model.preprocessing import to_array

HEIGHT, WIDTH = 96, 128
CODES = ("too_small", "uniform", "too_dark", "too_bright", "blurred", "unfamiliar")
# With one of these a picture gets no confident label; the others warn.
REFUSED = ("too_small", "uniform", "unfamiliar")

# Pixels of the shorter side. Under it a lesion has no structure left to see.
SMALLEST = 60
# Standard deviation of the liveliest of R, G, B, 0-255: at least 6.9.
UNIFORM = 5.0
# Too dark: fewer than LIT of the pixels are as bright as DARK, in grey 0-255. The darkest 5 % bound
# of the images is 112, but they show light skin only; the bound leaves room for dark skin.
DARK, LIT = 70.0, 0.05
# Too bright: more than BURNT of the pixels are as bright as WHITE; at most 0.34 of an image.
WHITE, BURNT = 245.0, 0.4
# Variance of the Laplacian of the grey picture (Pech-Pacheco et al., Diatom autofocusing in
# brightfield microscopy, ICPR 2000): 0.2 % of the images lie under it; of images blurred by a
# Gaussian whose sigma is 1 % of the width, 9 in 10, and of 1.5 %, all.
SHARP = 9.0


def quality_notices(picture: Image.Image) -> list[str]:
    """The codes of what is wrong with an upright RGB picture, in the order of CODES, without
    "unfamiliar", which the network tells; [] where nothing is.

    A JPEG decoded at a fraction of its size by `open_picture` gives the same, as long as twice
    HEIGHT and WIDTH were asked for.
    """
    pixels = to_array(picture, HEIGHT, WIDTH).astype(np.float64)
    grey = pixels @ (0.299, 0.587, 0.114)
    uniform = pixels.std(axis=(0, 1)).max() < UNIFORM
    found = {
        "too_small": min(picture.size) < SMALLEST,
        "uniform": uniform,
        "too_dark": (grey >= DARK).mean() < LIT,
        "too_bright": (grey >= WHITE).mean() > BURNT,
        # A uniform picture has nothing that could be sharp.
        "blurred": not uniform and laplacian(grey).var() < SHARP,
    }
    return [code for code in CODES if found.get(code)]


def laplacian(grey: np.ndarray) -> np.ndarray:
    """Four neighbours less four times the pixel, [h, w] to [h - 2, w - 2]."""
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return around - 4 * grey[1:-1, 1:-1]
