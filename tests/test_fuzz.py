"""Mutated pictures of every format and random bytes: an array of the right shape, or a sentence.

500 inputs; with NIGHTLY=1, 10,000.
"""

import faulthandler
import io
import os
import resource
import sys
import time
from functools import cache

import numpy as np
from hostile import animated, cmyk, png, rotated, saved, tiff
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from made import drawing
from PIL import Image

from model.preprocessing import PictureError, load_picture

INPUTS = 10_000 if os.environ.get("NIGHTLY") else 500
SECONDS, MEGABYTES = 2.0, 600
COUNTS = {"array": 0, "sentence": 0}
SLOWEST = [0.0]


@cache
def seeds() -> list[bytes]:
    """Small valid pictures of every format that is read, and of some that are not."""
    small = drawing("mel", 1, (40, 30))
    grey = small.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    clear = small.convert("RGBA")
    clear.putalpha(grey)
    palette, frames = small.quantize(16), [small, drawing("nv", 2, (40, 30))]
    kinds = [
        (small, "JPEG", {}),
        (small, "JPEG", {"progressive": True}),
        (grey, "JPEG", {}),
        (small, "PNG", {}),
        (palette, "PNG", {}),
        (clear, "PNG", {}),
        (deep, "PNG", {}),
        (grey.convert("1"), "PNG", {}),
        (small, "WEBP", {}),
        (clear, "WEBP", {"lossless": True}),
        (small, "BMP", {}),
        (palette, "BMP", {}),
        (palette, "GIF", {}),
        (deep, "TIFF", {}),
        (grey.convert("F"), "TIFF", {}),
        (small, "HEIF", {}),
        (clear, "HEIF", {}),
        (small, "JPEG2000", {}),
        *(
            (small, "TIFF", {"compression": c})
            for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ),
        (grey.convert("1"), "TIFF", {"compression": "group4"}),
    ]
    return [
        *(saved(picture, kind, **options) for picture, kind, options in kinds),
        cmyk(small),
        animated(frames, "WEBP"),
        animated(frames, "PNG"),
        animated(frames, "GIF"),
        *(rotated(small, i, kind) for i in (3, 6) for kind in ("JPEG", "HEIF", "TIFF")),
        png(3000, 3000, 16, 6),
        tiff(3000, 300),
    ]


@st.composite
def inputs(draw) -> bytes:
    """A valid picture with bytes altered, taken out, put in, swapped, or of two; or noise."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        head = draw(st.sampled_from(seeds()))[: draw(st.integers(0, 40))]
        return head + draw(st.binary(max_size=2000))
    data = bytearray(draw(st.sampled_from(seeds())))
    random = draw(st.randoms(use_true_random=False))

    def place():  # more often near the beginning, as a change does most in a header
        share = random.choice((len(data) ** random.random(), len(data) * random.random()))
        return min(len(data), int(share))

    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3, 10)))):
        at, what = place(), random.choice((0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6))
        length = random.choice((1, 1, 2, 4, 8, 100))
        if what == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif what == 1:
            data[at : at + length] = random.randbytes(length)
        elif what == 2:
            data[at : at + length] = random.choice((b"\0", b"\xff", b"\x7f\xff", b"\x80")) * length
        elif what == 3:
            del data[at : at + length]
        elif what == 4:
            data[at:at] = data[place() :][: 20 * length]
        elif what == 5:
            del data[place() :]
        else:
            data[at:] = random.choice(seeds())[at:]
    return bytes(data)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@given(inputs())
@settings(
    max_examples=INPUTS,
    deadline=None,
    database=None,
    derandomize="NIGHTLY" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
def fuzz(data):
    before, start = peak(), time.process_time()
    faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__)  # for one that hangs
    try:
        array = load_picture(data, 96, 128)
        assert array.shape == (96, 128, 3) and array.dtype == np.uint8
        COUNTS["array"] += 1
    except PictureError as error:
        said = str(error)
        assert said.endswith(".") and said[0].isupper() and len(said) < 600 and "0x" not in said
        COUNTS["sentence"] += 1
    finally:
        faulthandler.cancel_dump_traceback_later()
    seconds = time.process_time() - start
    SLOWEST[0] = max(SLOWEST[0], seconds)
    assert seconds < SECONDS, f"{seconds:.1f} s"
    # The largest picture so far was smaller: what this one took above it.
    assert peak() - before < MEGABYTES, f"{peak() - before:.0f} MB"


def test_any_bytes_give_an_array_or_a_sentence(capsys):
    for data in seeds()[:17]:
        assert load_picture(io.BytesIO(data), 96, 128).shape == (96, 128, 3)
    fuzz()
    with capsys.disabled():
        print(
            f"\nfuzz: {COUNTS['array']} arrays, {COUNTS['sentence']} sentences, slowest "
            f"{SLOWEST[0]:.2f} s of processor, peak {peak():.0f} MB"
        )
    # Not all of one kind, or the inputs are no test.
    assert min(COUNTS.values()) > 0.05 * INPUTS and sum(COUNTS.values()) >= INPUTS
