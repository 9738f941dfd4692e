"""From a picture to the network's input, the same for training, conversion, evaluation and page.

`load_picture` is `open_picture`, `within_lens` (model/lens.py) and `to_array`. Normalisation is in
the network, so the `.tflite` file takes plain pixels.
"""

import io
import os
import re
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from model.colour import to_srgb, without_profile
from model.folder import UserError
from model.lens import within_lens

# Stored in config.json and part of the cache key: change it whenever the output changes.
PREPROCESSING = {
    "lens": "cropped to the circle",
    "resize": "bilinear, antialiased",
    "portrait": "turned to landscape",
    "colour": "sRGB, by the ICC profile",
    "version": 3,
}

# Phones take up to 48 megapixels.
MAX_PIXELS = 64_000_000
WEBP_PIXELS = 32_000_000  # PIL's WebP decoder takes 16 bytes per pixel, the others 4
MAX_BYTES = 25_000_000
# Each scan of a progressive JPEG costs a pass over all pixels and may take as little as 10 bytes.
# Cameras write 1 scan, programs about 15 at most.
MAX_SCANS, MAX_SCANNED = 100, 2_000_000_000
# A JPEG's segments. A profile takes 255 at most, and 25 MB of EXIF and the like 400.
MAX_SEGMENTS = 10_000
# A marker of a JPEG: FF 00 is a pixel's byte, FF FF a filler; 01 and D0 to D7 stand alone.
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
START_OF_SCAN, END_OF_IMAGE = b"\xda", b"\xd9"
# PIL takes 4 bytes per pixel, and a copy for each step: larger pictures are reduced first.
LARGE = 12_500_000
STRIP = 32  # rows, so that a strip of the widest picture fits into the processor's cache

# What cameras and programs write. PIL reads more, including EPS, for which it runs Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")

# No picture is reduced to less than twice this: model/quality.py needs 96 x 128 pixels.
MIN_SIDE = 128

# EXIF orientation to the transposition that undoes it.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# PictureError's sentences by code; model/page/texts.json has them in each language of the page.
SENTENCES = {
    "missing": "There is no file {path}.",
    "folder": "{path} is a folder, not a picture.",
    "bytes": "The picture is larger than {megabytes} MB. Send a smaller one.",
    "too_large": "The picture is too large: {width} x {height} pixels. "
    "Send one of at most {megapixels} megapixels.",
    "bomb": "The picture is too large. Send one of at most {megapixels} megapixels.",
    "unreadable": "The file is not a picture that can be read. Send a JPEG, PNG or WebP.",
    "tiff": "TIFF files of this kind ({kind}) cannot be read. "
    "Save the picture as a JPEG or PNG, and send that.",
    "damaged": "The picture is damaged or cut off and cannot be read ({reason}). "
    "Send it again, or save it as a new JPEG or PNG.",
}


class PictureError(UserError):
    """A picture that cannot be used. `code` is a key of SENTENCES, `values` fill its places, and
    the message is that sentence, for the person who sent the picture."""

    def __init__(self, code: str, **values):
        super().__init__(SENTENCES[code].format(**values))
        self.code, self.values = code, values


def open_picture(source, height: int = 0, width: int = 0) -> Image.Image:
    """Read a path, bytes, a binary file or a PIL image as an upright 8-bit RGB picture.

    EXIF rotation is applied, the picture's ICC profile is turned into sRGB, transparency is laid on
    white, other modes become RGB, and of an animation the first frame is taken. With `height` and
    `width`, the size wanted in the end, a JPEG may be decoded at a fraction of its size, and a
    picture of more than LARGE pixels is reduced, but never below twice that size.

    Raises PictureError if the source is not a picture, is damaged, or exceeds MAX_BYTES or
    MAX_PIXELS.
    """
    if isinstance(source, (bytes, bytearray)):
        source = io.BytesIO(source)
    try:
        if _bytes(source) > MAX_BYTES:
            raise PictureError("bytes", megabytes=MAX_BYTES // 1_000_000)
        with warnings.catch_warnings():
            # PIL warns about large pictures; below, they are an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = source if isinstance(source, Image.Image) else _opened(source)
        most = WEBP_PIXELS if picture.format == "WEBP" else MAX_PIXELS
        if picture.width * picture.height > most:
            raise PictureError(
                "too_large",
                width=picture.width,
                height=picture.height,
                megapixels=most // 1_000_000,
            )
        if isinstance(picture, JpegImageFile) and picture.fp:
            _check_scans(picture)
        if isinstance(picture, TiffImageFile):
            _check_layout(picture)
        longest = 2 * max(height, width, MIN_SIDE) if height and width else 0
        if longest and picture is not source:  # `draft` changes the picture itself
            picture.draft("RGB", (longest, longest))
        picture.load()  # before the orientation is read: PIL turns a TIFF as it loads it
        orientation, profile = _orientation(picture), picture.info.get("icc_profile")
        if longest:
            picture = _reduced(picture, longest)
        if orientation in TURNS:
            picture = picture.transpose(TURNS[orientation])
        picture = _to_rgb(picture, profile)
        picture.info = {}  # it holds the EXIF data, and opening the picture again would rotate it
        return picture
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError("bomb", megapixels=MAX_PIXELS // 1_000_000) from None
    except FileNotFoundError:
        raise PictureError("missing", path=os.fspath(source)) from None
    except IsADirectoryError:
        raise PictureError("folder", path=os.fspath(source)) from None
    except UnidentifiedImageError:
        raise PictureError("unreadable") from None
    except Exception as error:  # PIL's decoders raise many kinds on damaged files
        reason = " ".join(str(error).split())
        if "Security limit exceeded" in reason:  # libheif's, about the size in the header
            raise PictureError("bomb", megapixels=MAX_PIXELS // 1_000_000) from None
        raise PictureError("damaged", reason=reason) from None


def _opened(source) -> Image.Image:
    try:
        return Image.open(source, formats=FORMATS)
    except (UnidentifiedImageError, ValueError) as error:
        if bare := without_profile(_content(source)):
            return Image.open(io.BytesIO(bare), formats=FORMATS)
        if isinstance(error, ValueError):
            raise
        # HEIC. Imported here, so that a page that never gets one saves the time and memory. A
        # thumbnail in the file may show anything, so the picture itself is decoded.
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)
        return Image.open(source, formats=("HEIF",))


def _bytes(source) -> int:
    if isinstance(source, (str, os.PathLike)):
        if os.path.exists(source) and not os.path.isfile(source):  # reading a pipe would block
            raise IsADirectoryError
        return os.path.getsize(source)
    return len(source.getbuffer()) if isinstance(source, io.BytesIO) else 0


def _content(source) -> bytes:
    if isinstance(source, (str, os.PathLike)):
        return Path(source).read_bytes()
    source.seek(0)
    return source.read()


def _check_scans(picture: JpegImageFile) -> None:
    """Raise OSError for a JPEG with so many scans that decoding it takes minutes."""
    file = picture.fp
    at = file.tell()
    file.seek(0)
    whole = None if picture.info.get("progressive") else picture.layers
    scans = count_scans(file.read(), whole)
    file.seek(at)
    if scans > MAX_SCANS or scans * picture.width * picture.height > MAX_SCANNED:
        raise OSError(f"{scans} scans")


def count_scans(jpeg: bytes, whole: int | None = None) -> int:
    """The number of scans of the first picture in `jpeg`, up to MAX_SCANS + 1. Those of thumbnails
    do not count, nor what follows the picture: phones put a film or a second picture there.

    A scan of `whole` components is the only one. Raises OSError beyond MAX_SEGMENTS.
    """
    at, scans = 2, 0
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(jpeg, at)
        if not found or found[1] == END_OF_IMAGE:
            return scans
        at = found.end()
        if found[1] == START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS or jpeg[at + 2 : at + 3] == bytes([whole or 0]):
                return scans
        at += max(2, int.from_bytes(jpeg[at : at + 2], "big"))
    raise OSError("too many segments")


def _check_layout(picture: TiffImageFile) -> None:
    """Raise PictureError for a TIFF that PIL decodes to other values without saying so."""
    tags, packed = picture.tag_v2, picture.info.get("compression")
    kind, bits = tags.get(ExifTags.Base.PhotometricInterpretation), tags.get(258, (1,))
    white_is_zero, lab = kind == 0, kind == 8
    if kind == 6 and packed not in ("jpeg", "tiff_jpeg"):
        raise PictureError("tiff", kind="YCbCr")
    if max(bits) == 12 or (white_is_zero and max(bits) > 8):
        raise PictureError("tiff", kind=f"grey, {max(bits)} bit")
    if tags.get(ExifTags.Base.PlanarConfiguration) == 2:
        as_bytes = max(bits) == 8 and tags.get(ExifTags.Base.FillOrder, 1) == 1
        if lab or len(bits) == 2 or (packed == "raw" and (white_is_zero or not as_bytes)):
            raise PictureError("tiff", kind=f"planar, {max(bits)} bit")


def _orientation(picture: Image.Image) -> int | None:
    try:
        return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # of many kinds; broken EXIF data count as none
        return None


def _reduced(picture: Image.Image, longest: int) -> Image.Image:
    """A picture of more than LARGE pixels reduced by a whole factor, each pixel the mean of a
    square, and its shorter side at least `longest`."""
    factor = min(picture.size) // longest
    if picture.width * picture.height <= LARGE or factor < 2:
        return picture
    if picture.mode in ("1", "P", "PA"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if picture.mode.startswith("I;16"):  # which `reduce` does not support
        size = picture.width // factor, picture.height // factor
        return picture.resize(size, Image.Resampling.BOX)
    if picture.mode in ("RGBA", "LA"):
        # `reduce` premultiplies by alpha in a copy of the whole; strips keep that copy small.
        size = -(-picture.width // factor), -(-picture.height // factor)
        smaller = Image.new(picture.mode, size)
        rows = factor * max(1, STRIP // factor)
        for top in range(0, picture.height, rows):
            strip = picture.crop((0, top, picture.width, min(picture.height, top + rows)))
            smaller.paste(strip.reduce(factor), (0, top // factor))
        return smaller
    return picture.reduce(factor)


def _to_rgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        # PIL would clip 16-bit values to 255.
        values = np.array(picture, dtype=np.float32)
        if not np.isfinite(values).all():
            raise OSError("values that are not finite")
        if values.max(initial=0) > 255:
            values /= 257
        picture = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    # After the reduction, which averages neighbours: they are so alike that the order is no matter.
    picture = to_srgb(picture, profile)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def to_array(picture: Image.Image, height: int, width: int) -> np.ndarray:
    """An RGB picture as uint8 [height, width, 3], values 0 to 255, bilinear with antialiasing.

    Nothing is cropped. A portrait picture is turned a quarter for a landscape input: dermatoscopic
    pictures have no up, and squeezing would distort the lesion. `upright` turns back.
    """
    if turned(picture, height, width):
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.uint8)


def turned(picture: Image.Image, height: int, width: int) -> bool:
    """Whether `to_array` turns this picture a quarter for an input of `height` x `width`."""
    return picture.width < picture.height and width > height


def upright(values: np.ndarray, picture: Image.Image, height: int, width: int) -> np.ndarray:
    """Values [h, w, ...] over `to_array(picture, height, width)` as they lie on `picture`."""
    return np.rot90(values, -1) if turned(picture, height, width) else values


def load_picture(source: "str | Path | bytes | Image.Image", height: int, width: int) -> np.ndarray:
    """A path, bytes, binary file or PIL image as uint8 [height, width, 3]; see `open_picture`. Of a
    picture with a lens circle, only the part within it is shown."""
    return to_array(within_lens(open_picture(source, height, width)), height, width)
