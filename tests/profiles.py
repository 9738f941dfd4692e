"""ICC profiles, written by hand: those of phones, cameras and printers, and hostile ones."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms

# Red, green and blue as XYZ under D50, and the curve: a gamma, or None for that of sRGB.
SPACES = {
    "sRGB": (
        [0.43607, 0.22249, 0.01392, 0.38515, 0.71687, 0.09708, 0.14307, 0.06061, 0.7141],
        None,
    ),
    "Display P3": (
        [0.51512, 0.2412, -0.00105, 0.29198, 0.69225, 0.04189, 0.1571, 0.06657, 0.78407],
        None,
    ),
    "Adobe RGB": (
        [0.60974, 0.31111, 0.01947, 0.20528, 0.62567, 0.06087, 0.14919, 0.06322, 0.74457],
        2.19921875,
    ),
}


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(space: bytes, tags: dict[bytes, bytes], pcs=b"XYZ ", kind=b"mntr", more=0) -> bytes:
    """An ICC profile version 4 with `tags`, followed by `more` zeros that belong to it."""
    tags = {b"desc": named("made"), b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)} | tags
    at, entries, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        entries += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = at + len(body) + more
    head = struct.pack(">I4xI4s4s4s12x4s", size, 0x04300000, kind, space, pcs, b"acsp")
    head = head.ljust(68, b"\0") + fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + body + bytes(more)


def named(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(coded), 28) + coded


def curve(gamma: float | None) -> bytes:
    if gamma:
        return b"para\0\0\0\0\0\0\0\0" + fixed(gamma)
    return b"para\0\0\0\0\0\3\0\0" + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def colours(name: str, more: int = 0) -> bytes:
    """The profile of one of SPACES."""
    primaries, gamma = SPACES[name]
    tags = {}
    for i, letter in enumerate(b"rgb"):
        tags[bytes([letter]) + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*primaries[3 * i : 3 * i + 3])
        tags[bytes([letter]) + b"TRC"] = curve(gamma)
    return profile(b"RGB ", tags, more=more)


def grey(gamma: float) -> bytes:
    return profile(b"GRAY", {b"kTRC": curve(gamma)})


def printer(black: int = 40) -> bytes:
    """A CMYK profile of 2^4 nodes, whose darkest colour has a lightness of `black` of 255."""
    nodes = bytearray()
    for i in range(16):
        c, m, y, k = (i >> shift & 1 for shift in (3, 2, 1, 0))
        light = black + (255 - black) * (3 - c - m - y) // 3 * (1 - k)
        nodes += bytes([light, 128 + 40 * (m - c) * (1 - k), 128 + 40 * (y - m) * (1 - k)])
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += ramp * 4 + bytes(nodes) + ramp * 3
    return profile(b"CMYK", {b"A2B0": table}, b"Lab ", b"prtr")


def slow(steps: int = 4000) -> bytes:
    """A profile of as many steps of computing, which all point to the same 60 bytes."""
    step = b"matf" + struct.pack(">4xHH12f", 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    places = struct.pack(">II", 16 + 8 * steps, len(step)) * steps
    table = b"mpet" + struct.pack(">4xHHI", 3, 3, steps) + places + step
    return profile(b"RGB ", {b"D2B0": table, b"A2B0": table})


def stored_as(picture: Image.Image, name: str) -> Image.Image:
    """An sRGB picture in the colours of one of SPACES, as a camera with that profile stores it."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(colours(name)))
    stored = ImageCms.profileToProfile(picture, ImageCms.createProfile("sRGB"), target)
    stored.info = {}  # PIL would save the profile that stands there
    return stored


def away(a: Image.Image, b: Image.Image) -> float:
    """The mean difference of two pictures, 0 to 255."""
    return float(np.abs(np.asarray(a).astype(int) - np.asarray(b)).mean())
