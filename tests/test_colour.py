import io
import time
import zlib

import numpy as np
import pytest
from hostile import chunk, cmyk, png, saved
from made import drawing
from PIL import Image
from profiles import SPACES, away, colours, grey, printer, profile, slow, stored_as

from model import colour, preprocessing
from model.colour import MAX_PROFILE, to_srgb
from model.data.dataset import Rows, decode
from model.preprocessing import load_picture, open_picture

LESION = drawing("mel", 3, (160, 120))
KINDS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    "HEIF": {"quality": 95},
}


def tint(picture: Image.Image) -> np.ndarray:
    """The mean colour, which saving as JPEG keeps."""
    return np.asarray(picture).mean(axis=(0, 1))


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_with_a_profile_has_the_colours_it_was_taken_with(kind, name):
    camera = stored_as(LESION, name)
    without = open_picture(saved(camera, kind, **KINDS[kind]))
    converted = open_picture(saved(camera, kind, icc_profile=colours(name), **KINDS[kind]))
    plain = open_picture(saved(LESION, kind, **KINDS[kind]))
    assert np.abs(tint(without) - tint(plain)).max() > 4
    assert np.abs(tint(converted) - tint(plain)).max() < 0.5
    assert "icc_profile" not in converted.info  # opening it again would convert it again


def test_the_profile_of_srgb_changes_nothing():
    data = saved(LESION, "PNG", icc_profile=colours("sRGB"))
    assert open_picture(data).tobytes() == LESION.tobytes()


def test_transparency_is_kept_and_laid_on_white_afterwards():
    clear = stored_as(LESION, "Adobe RGB").convert("RGBA")
    alpha = Image.linear_gradient("L").resize(LESION.size)
    clear.putalpha(alpha)
    converted = to_srgb(clear, colours("Adobe RGB"))
    assert converted.mode == "RGBA" and converted.getchannel("A").tobytes() == alpha.tobytes()
    plain = LESION.convert("RGBA")
    plain.putalpha(alpha)
    assert away(open_picture(clear), open_picture(plain)) > 2
    data = saved(clear, "PNG", icc_profile=colours("Adobe RGB"))
    assert away(open_picture(data), open_picture(plain)) < 0.5


def test_palette_and_key_colour():
    few = stored_as(LESION, "Adobe RGB").quantize(64)
    data = saved(few, "PNG", icc_profile=colours("Adobe RGB"))
    whole = saved(few.convert("RGB"), "PNG", icc_profile=colours("Adobe RGB"))
    assert open_picture(data).tobytes() == open_picture(whole).tobytes()
    one = saved(few, "PNG", icc_profile=colours("Adobe RGB"), transparency=few.getpixel((0, 0)))
    assert open_picture(one).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_pictures_by_a_grey_profile(mode):
    lesion = LESION.convert("L")
    if mode == "I;16":
        stored = Image.fromarray(np.asarray(lesion).astype(np.uint16) * 257)
    else:
        stored = lesion.convert(mode)
    light = open_picture(saved(stored, "PNG", icc_profile=grey(1.2)))
    same = open_picture(saved(stored, "PNG", icc_profile=grey(2.2)))
    plain = lesion.convert("RGB")
    assert np.asarray(light).mean() > np.asarray(plain).mean() + 15 and away(same, plain) < 3


def test_grey_picture_by_an_rgb_profile_stays_grey():
    data = saved(LESION.convert("L"), "JPEG", quality=95, icc_profile=colours("Adobe RGB"))
    values = np.asarray(open_picture(data)).astype(int)
    assert np.ptp(values, axis=-1).max() <= 1
    assert away(open_picture(data), LESION.convert("L").convert("RGB")) < 3


def test_cmyk_by_a_printers_profile():
    plain = LESION.convert("CMYK")
    light, dark = (
        open_picture(saved(plain, "JPEG", quality=95, icc_profile=printer(black)))
        for black in (120, 10)
    )
    assert np.asarray(light).mean() > np.asarray(dark).mean() + 10
    assert away(dark, open_picture(cmyk(LESION))) > 5


USELESS = {
    "empty": b"",
    "text": b"no profile at all",
    "zeros": bytes(5000),
    "cut off": colours("Adobe RGB")[:300],
    "no tags": profile(b"RGB ", {}),
    "grey": grey(1.0),
    "CMYK": printer(),
    "Lab": profile(b"Lab ", {}, b"Lab ", b"spac"),
    "a link": profile(b"RGB ", {}, b"RGB ", b"link"),
    "named colours": profile(b"RGB ", {}, b"Lab ", b"nmcl"),
    "too large": colours("Adobe RGB", more=MAX_PROFILE),
    "slow": slow(),
    "damaged": bytes(200).join([colours("Adobe RGB")[:140], colours("Adobe RGB")[340:]]),
}


@pytest.mark.parametrize("what", USELESS)
def test_a_useless_profile_counts_as_none_and_takes_no_time(what):
    start = time.process_time()
    for kind in ("JPEG", "TIFF", "WEBP"):
        plain = saved(LESION, kind, **KINDS[kind])
        data = saved(LESION, kind, icc_profile=USELESS[what] or None, **KINDS[kind])
        assert open_picture(data).tobytes() == open_picture(plain).tobytes()
    assert time.process_time() - start < 1


@pytest.mark.parametrize("size", [5_000_000, 90_000_000])
def test_a_png_whose_profile_is_broken_or_unpacks_to_too_much_is_read(size, tmp_path):
    packed = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(size), 9))
    for extra in (packed, chunk(b"iCCP", b"x\0\7" + bytes(9)), chunk(b"iCCP", b"x\0")):
        path = tmp_path / "x.png"
        path.write_bytes(png(40, 30, extra=extra))
        start = time.process_time()
        for source in (path, path.read_bytes(), path.open("rb")):
            assert not np.asarray(open_picture(source)).any()
        assert time.process_time() - start < 1


def test_any_mutated_profile_is_converted_or_ignored():
    random = np.random.default_rng(0)
    for whole, mode in ((colours("Adobe RGB"), "RGB"), (grey(1.8), "L"), (printer(), "CMYK")):
        picture = LESION.convert(mode)
        for _ in range(20):
            data = bytearray(whole)
            for place in random.integers(128, len(data), 3):
                data[place] = random.integers(256)
            assert to_srgb(picture, bytes(data)).size == picture.size


def test_only_a_profile_counts_not_a_gamma():
    gamma = chunk(b"gAMA", (20_000).to_bytes(4, "big"))
    data = saved(LESION, "PNG")
    data = data[:33] + gamma + data[33:]
    assert open_picture(data).tobytes() == LESION.tobytes()


@pytest.mark.parametrize("name", SPACES)
def test_converting_after_the_reduction_is_the_same(name, monkeypatch):
    large = stored_as(drawing("bcc", 5, (1200, 900)), name)
    data = saved(large, "TIFF", icc_profile=colours(name))
    whole = load_picture(data, 48, 64).astype(int)
    monkeypatch.setattr(preprocessing, "LARGE", 0)
    difference = np.abs(load_picture(data, 48, 64) - whole)
    assert difference.mean() < 0.7 and difference.max() <= 4


def test_the_least_common_case_is_quick():
    """A CMYK picture just small enough not to be reduced."""
    picture = Image.new("CMYK", (4000, 3100), (10, 90, 120, 30))
    start = time.process_time()
    colour.to_srgb(picture, printer())
    assert time.process_time() - start < 1.5


def test_a_profile_of_an_opened_picture_counts():
    camera = stored_as(LESION, "Adobe RGB")
    data = saved(camera, "PNG", icc_profile=colours("Adobe RGB"))
    with Image.open(io.BytesIO(data)) as picture:
        assert open_picture(picture).tobytes() == open_picture(data).tobytes()
        assert open_picture(picture).tobytes() == open_picture(data).tobytes()


def test_training_pictures_are_converted_likewise(tmp_path):
    camera = saved(stored_as(LESION, "Adobe RGB"), "PNG", icc_profile=colours("Adobe RGB"))
    table = [{"image": {"bytes": data}} for data in (camera, saved(LESION, "PNG"))]
    ids, index = np.array(["a", "b"]), np.array([(0, 0), (0, 1)])
    rows = Rows("made", ["mel"], ids, None, np.array(["mel"] * 2), 0, tables=[table], index=index)
    converted, plain = decode(rows, np.arange(2), 48, 64, tmp_path).astype(int)
    assert np.abs(converted - plain).mean() < 0.5
