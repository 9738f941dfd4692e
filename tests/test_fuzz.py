"""Mutated pictures of every format and random bytes: an array of the right shape, or a sentence."""

import faulthandler
import io
import resource
import sys
import time
from functools import cache

import numpy as np
import pytest
from hostile import animated, cmyk, png, rotated, saved, tiff
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from made import drawing
from PIL import Image

from model.preprocessing import PictureError, load_picture

SECONDS, MEGABYTES = 2.0, 600


@cache
def seeds() -> list[bytes]:
    """Small valid pictures of every format that we read, and of some that we do not."""
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
    """A valid picture with bytes altered, deleted, inserted or moved, or spliced with another; or
    noise."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        head = draw(st.sampled_from(seeds()))[: draw(st.integers(0, 40))]
        return head + draw(st.binary(max_size=2000))
    data = bytearray(draw(st.sampled_from(seeds())))
    random = draw(st.randoms(use_true_random=False))

    def place():  # more often near the beginning: changes to a header have the most effect
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


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_any_bytes_give_an_array_or_a_sentence(capsys, count):
    arrays, sentences, slowest = 0, 0, 0.0

    @given(inputs())
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=count < 1000,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def fuzz(data):
        nonlocal arrays, sentences, slowest
        before, start = peak(), time.process_time()
        faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__)  # if it hangs
        try:
            array = load_picture(data, 96, 128)
            assert array.shape == (96, 128, 3) and array.dtype == np.uint8
            arrays += 1
        except PictureError as error:
            said = str(error)
            assert said.endswith(".") and said[0].isupper() and len(said) < 600 and "0x" not in said
            sentences += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
        seconds = time.process_time() - start
        slowest = max(slowest, seconds)
        assert seconds < SECONDS, f"{seconds:.1f} s"
        # The peak of the process never falls: only a picture larger than all before raises it.
        assert peak() - before < MEGABYTES, f"{peak() - before:.0f} MB"

    fuzz()
    with capsys.disabled():
        print(
            f"\nfuzz: {arrays} arrays, {sentences} sentences, slowest {slowest:.2f} s of CPU time, "
            f"peak {peak():.0f} MB"
        )
    # Inputs that all have the same outcome would test little.
    assert min(arrays, sentences) > 0.05 * count and arrays + sentences >= count


@pytest.mark.parametrize("number", range(17))
def test_seeds_of_the_formats_that_we_read_are_valid(number):
    assert load_picture(io.BytesIO(seeds()[number]), 96, 128).shape == (96, 128, 3)
