"""Colours as sRGB, the colours that HAM10000's pictures have and that browsers show.

Phones store Display P3 and cameras Adobe RGB; an ICC profile in the file says so
(https://www.color.org/specification/ICC.1-2022-05.pdf). PIL reads the numbers as they are, which
makes skin paler. Nothing but an ICC profile counts: programs write a PNG's gAMA and cHRM into
pictures that they know nothing about, and no camera writes them. The private tab has the same rule.
"""

import io

import numpy as np
from PIL import Image, ImageCms

# Bytes. Cameras' profiles have up to 5 kB. The largest are printers': a table of 17^4 nodes of
# three 16-bit values has 0.5 MB, and a profile has up to six tables.
MAX_PROFILE = 4_000_000
MODES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}
DEVICES = b"scnr", b"mntr", b"prtr", b"spac"
# For photos, and the only one that all profiles have. Those of cameras and screens are matrices,
# where all intents are the same.
INTENT = ImageCms.Intent.PERCEPTUAL
# A profile is sRGB if no colour of a grid changes by more than this, of 255. Profiles of that name
# differ in bytes, and by a level of rounding in effect.
SAME = 1
# Of R, G and B in grey (ITU-R BT.601).
GREY = (0.299, 0.587, 0.114)


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """An 8-bit picture whose colours are those of the ICC `profile`, as RGB or RGBA in sRGB.

    A grey picture may have a grey or an RGB profile. The picture is returned as it is if it has no
    profile, or that of sRGB, or one that is too large, broken or of another colour space.
    """
    mode = _mode(profile)
    grey = picture.mode in ("1", "L", "LA")
    if mode is None or (mode == "CMYK") != (picture.mode == "CMYK") or (mode == "L" and not grey):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, mode, "RGB", INTENT)
        if mode != "CMYK" and _changes_nothing(transform, mode):
            return picture
        converted = ImageCms.applyTransform(picture.convert(mode), transform)
    except (ImageCms.PyCMSError, OSError):  # a broken profile counts as none
        return picture
    if picture.has_transparency_data:
        converted.putalpha(picture.convert("RGBA").getchannel("A"))
    return converted


def _mode(profile) -> str | None:
    """PIL's mode of the pictures that a profile is for; None if it is not to be used."""
    # "mpet" are tables of any number of steps, which no camera writes: 64 kB of them take 6 s.
    if not isinstance(profile, bytes) or len(profile) > MAX_PROFILE or b"mpet" in profile:
        return None
    return MODES.get(profile[16:20]) if profile[12:16] in DEVICES else None


def _changes_nothing(transform, mode: str) -> bool:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * len(mode)), axis=-1).reshape(1, -1, len(mode))
    picture = Image.fromarray(grid[..., 0] if mode == "L" else grid)
    after = ImageCms.applyTransform(picture, transform)
    return np.abs(np.asarray(after).astype(int) - grid).max() <= SAME


def without_profile(png: bytes) -> bytes | None:
    """A PNG without its chunk iCCP, for which PIL refuses the file if the profile is broken or
    unpacks to more than 1 MB. None if there is no such chunk."""
    at = png.find(b"iCCP", 0, max(0, png.find(b"IDAT")))
    if not png.startswith(b"\x89PNG\r\n\x1a\n") or at < 0:
        return None
    return png[: at - 4] + png[at + 8 + int.from_bytes(png[at - 4 : at], "big") :]
