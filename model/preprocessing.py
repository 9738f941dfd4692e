"""From a picture to the network's input: the one way, for training, conversion, evaluation, page.

`load_picture` = `open_picture` + `to_array`. What happens to the values after that
(normalisation) is inside the network, so that the `.tflite` file takes plain pixels.
"""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

# Kept in config.json and part of the cache key: change it with any change to what comes out.
PREPROCESSING = {"resize": "bilinear, antialiased", "portrait": "turned to landscape", "version": 1}

# Phones of 12 and 48 megapixels pass; a 50,000 x 50,000 bomb does not.
MAX_PIXELS = 64_000_000
WEBP_PIXELS = 32_000_000  # PIL's WebP decoder takes 16 bytes a pixel, the others 4
MAX_BYTES = 25_000_000
TOO_LARGE = f"The picture is too large. Send one of at most {MAX_PIXELS // 1_000_000} megapixels."
# A JPEG may have all its pixels gone through once more for every 10 bytes. Cameras' have 1 scan,
# programs' at most some 15.
MAX_SCANS, MAX_SCANNED = 100, 2_000_000_000
# Above this a picture that is decoded whole is brought to a fraction before anything else: PIL
# takes 4 bytes a pixel, and each step one copy more.
LARGE = 12_500_000
STRIP = 32  # rows at a time, so that a strip of the widest stays in the processor's cache

# What cameras and programs save pictures as. PIL reads more, EPS by way of Ghostscript among them.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")

# A picture is never decoded to less than twice this: model/quality.py looks at 96 x 128 pixels.
LEAST = 128


BOX = Image.Resampling.BOX
# EXIF's orientations, as what brings them upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(ValueError):
    """A picture that cannot be used; the message is a sentence for the person who sent it."""


def open_picture(source, height: int = 0, width: int = 0) -> Image.Image:
    """Read a picture from a path, bytes, a binary file or a PIL image, as upright 8-bit RGB.

    EXIF rotation is applied, transparency is laid on white, grey, palette, CMYK and 16-bit
    pictures become RGB, of an animation the first frame is taken. Where `height` and `width`
    name the size that is wanted in the end, a JPEG may be decoded at a fraction of its size, and
    any picture of more than LARGE pixels be brought to one, never under twice the wanted size.
    Raises PictureError with a sentence where the bytes are no picture, are cut off, are more than
    MAX_BYTES, or hold more than MAX_PIXELS pixels.
    """
    if isinstance(source, (bytes, bytearray)):
        source = io.BytesIO(source)
    try:
        if _bytes(source) > MAX_BYTES:
            raise PictureError(
                f"The picture has more than {MAX_BYTES // 10**6} MB. Send a smaller one."
            )
        with warnings.catch_warnings():
            # PIL's own warning about size; the bound below is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            known = isinstance(source, Image.Image)
            picture = source if known else _opened(source)
        most = WEBP_PIXELS if picture.format == "WEBP" else MAX_PIXELS
        if picture.width * picture.height > most:
            raise PictureError(
                f"The picture is too large: {picture.width} x {picture.height} pixels. "
                f"Send one of at most {most // 1_000_000} megapixels."
            )
        if isinstance(picture, JpegImageFile):
            _check_scans(picture)
        longest = 2 * max(height, width, LEAST) if height and width else 0
        if longest:
            picture.draft("RGB", (longest, longest))
        picture.load()  # first, since PIL turns a TIFF itself then, and takes note of it
        orientation = _orientation(picture)
        if longest:
            picture = _fraction(picture, longest)
        if orientation in TURNS:
            picture = picture.transpose(TURNS[orientation])
        picture = _to_rgb(picture)
        picture.info = {}  # or the rotation, kept there, would be applied once more
        return picture
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(TOO_LARGE) from None
    except FileNotFoundError:
        raise PictureError(f"There is no file {os.fspath(source)}.") from None
    except IsADirectoryError:
        raise PictureError(f"{os.fspath(source)} is a folder, not a picture.") from None
    except UnidentifiedImageError:
        raise PictureError(
            "The file is not a picture that can be read. Send a JPEG, PNG or WebP."
        ) from None
    except Exception as error:  # PIL's decoders raise many kinds on damaged files
        said = " ".join(str(error).split())
        if "Security limit exceeded" in said:  # libheif, of a size that its header alone claims
            raise PictureError(TOO_LARGE) from None
        raise PictureError(
            f"The picture is damaged or cut off and cannot be read ({said}). "
            "Send it again, or save it anew as JPEG or PNG."
        ) from None


def _opened(source) -> Image.Image:
    try:
        return Image.open(source, formats=FORMATS)
    except UnidentifiedImageError:
        # Phones' HEIC; loaded here, so that a page that gets none needs neither time nor memory
        # for it. The thumbnail in such a file may show anything: the picture itself is decoded.
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)
        return Image.open(source, formats=("HEIF",))


def _bytes(source) -> int:
    if isinstance(source, (str, os.PathLike)):
        if os.path.exists(source) and not os.path.isfile(source):  # a pipe would be waited for
            raise IsADirectoryError
        return os.path.getsize(source)
    return len(source.getbuffer()) if isinstance(source, io.BytesIO) else 0


def _check_scans(picture: JpegImageFile) -> None:
    """OSError where a JPEG has its pixels gone through a great many times."""
    file, parts = picture.fp, picture.layers
    at = file.tell()  # behind the first scan's header
    file.seek(max(0, at - 6 - 2 * parts))
    if picture.info.get("progressive") or file.read(3) != bytes([0, 6 + 2 * parts, parts]):
        scans = 1 + file.read().count(b"\xff\xda")
        if scans > MAX_SCANS or scans * picture.width * picture.height > MAX_SCANNED:
            raise OSError(f"{scans} scans")
    file.seek(at)


def _orientation(picture: Image.Image) -> int | None:
    try:
        return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # of many kinds; a picture with broken EXIF is as good as one without
        return None


def _fraction(picture: Image.Image, longest: int) -> Image.Image:
    """A picture of more than LARGE pixels at a whole fraction of its size, the shorter side not
    under `longest`, each pixel the mean of a square."""
    factor = min(picture.size) // longest
    if picture.width * picture.height <= LARGE or factor < 2:
        return picture
    if picture.mode in ("1", "P", "PA"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if picture.mode.startswith("I;16"):  # which `reduce` does not know
        return picture.resize((picture.width // factor, picture.height // factor), BOX)
    if picture.mode in ("RGBA", "LA"):
        # PIL multiplies the whole of it by its transparency, and makes a copy for that.
        size = -(-picture.width // factor), -(-picture.height // factor)
        smaller = Image.new(picture.mode, size)
        rows = factor * max(1, STRIP // factor)
        for top in range(0, picture.height, rows):
            strip = picture.crop((0, top, picture.width, min(picture.height, top + rows)))
            smaller.paste(strip.reduce(factor), (0, top // factor))
        return smaller
    return picture.reduce(factor)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        # PIL clips 16-bit values to 255; scale them instead.
        values = np.array(picture, dtype=np.float32)
        if not np.isfinite(values).all():
            raise OSError("values that are no numbers")
        if values.max(initial=0) > 255:
            values /= 257
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
