"""From a picture to the network's input: the one way, for training, conversion, evaluation, page.

`load_picture` = `open_picture` + `to_array`. What happens to the values after that
(normalisation) is inside the network, so that the `.tflite` file takes plain pixels.
"""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Kept in config.json and part of the cache key: change it with any change to what comes out.
PREPROCESSING = {"resize": "bilinear, antialiased", "portrait": "turned to landscape", "version": 1}

# Phones of 12 and 48 megapixels pass; a 50,000 x 50,000 bomb does not.
MAX_PIXELS = 64_000_000

# What cameras and programs save pictures as. PIL reads more, EPS by way of Ghostscript among them.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "PPM")

# A picture is never decoded to less than twice this: model/quality.py looks at 96 x 128 pixels.
LEAST = 128


class PictureError(ValueError):
    """A picture that cannot be used; the message is a sentence for the person who sent it."""


def open_picture(source, height: int = 0, width: int = 0) -> Image.Image:
    """Read a picture from a path, bytes, a binary file or a PIL image, as upright 8-bit RGB.

    EXIF rotation is applied, transparency is laid on white, grey, palette, CMYK and 16-bit
    pictures become RGB, of an animation the first frame is taken. Where `height` and `width`
    name the size that is wanted in the end, a JPEG may be decoded at a fraction of its size,
    never under twice the wanted one. Raises PictureError with a sentence where the bytes are no
    picture, are cut off, or hold more than MAX_PIXELS pixels.
    """
    if isinstance(source, (bytes, bytearray)):
        source = io.BytesIO(source)
    try:
        with warnings.catch_warnings():
            # PIL's own warning about size; the bound below is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            known = isinstance(source, Image.Image)
            picture = source if known else Image.open(source, formats=FORMATS)
        if picture.width * picture.height > MAX_PIXELS:
            raise PictureError(
                f"The picture is too large: {picture.width} x {picture.height} pixels. "
                f"Send one of at most {MAX_PIXELS // 1_000_000} megapixels."
            )
        if height and width:
            longest = 2 * max(height, width, LEAST)
            picture.draft("RGB", (longest, longest))
        picture = ImageOps.exif_transpose(picture)
        return _to_rgb(picture)
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(
            f"The picture is too large. Send one of at most {MAX_PIXELS // 1_000_000} megapixels."
        ) from None
    except FileNotFoundError:
        raise PictureError(f"There is no file {os.fspath(source)}.") from None
    except IsADirectoryError:
        raise PictureError(f"{os.fspath(source)} is a folder, not a picture.") from None
    except UnidentifiedImageError:
        raise PictureError(
            "The file is not a picture that can be read. Send a JPEG, PNG or WebP."
        ) from None
    except Exception as error:  # PIL's decoders raise many kinds on damaged files
        raise PictureError(
            f"The picture is damaged or cut off and cannot be read ({error}). "
            "Send it again, or save it anew as JPEG or PNG."
        ) from None


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        # PIL clips 16-bit values to 255; scale them instead.
        values = np.asarray(picture, dtype=np.float32)
        if values.max(initial=0) > 255:
            values = values / 257
        picture = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def to_array(picture: Image.Image, height: int, width: int) -> np.ndarray:
    """An RGB picture as uint8 [height, width, 3], values 0-255, bilinear with antialiasing.

    The whole picture is kept. A portrait picture is turned a quarter where the input is
    landscape (dermatoscopic pictures have no up, and squeezing would distort the lesion).
    """
    if turned(picture, height, width):
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.uint8)


def turned(picture: Image.Image, height: int, width: int) -> bool:
    """Whether `to_array` turns this picture a quarter for an input of `height` x `width`."""
    return picture.width < picture.height and width > height


def load_picture(source: "str | Path | bytes | Image.Image", height: int, width: int) -> np.ndarray:
    """Picture (path, bytes, file or PIL image) to uint8 [height, width, 3]; see `open_picture`."""
    return to_array(open_picture(source, height, width), height, width)
