import io
import struct

import numpy as np
import pytest
from hostile import png, saved
from made import drawing, encode
from PIL import Image

from model import preprocessing
from model.preprocessing import PictureError, load_picture, open_picture, to_array, upright

SIZE = 48, 64


def closest(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max()


def test_shape_and_kinds_of_source(tmp_path):
    picture = drawing("mel", 1)
    path = tmp_path / "x.png"
    picture.save(path)
    sources = (picture, path, str(path), path.read_bytes(), open(path, "rb"))
    arrays = [load_picture(source, *SIZE) for source in sources]
    assert arrays[0].shape == (48, 64, 3) and arrays[0].dtype == np.uint8
    for array in arrays[1:]:
        assert (array == arrays[0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_gives_the_upright_picture(orientation):
    upright = drawing("nv", 2, (400, 300))
    turned = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]
    stored = upright
    for step in turned:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)
    assert closest(load_picture(buffer.getvalue(), *SIZE), load_picture(upright, *SIZE)) <= 1


def test_alpha_palette_and_grey_equal_their_rgb_copies():
    picture = drawing("bkl", 3)
    expected = load_picture(picture, *SIZE)
    assert (load_picture(picture.convert("RGBA"), *SIZE) == expected).all()
    palette = picture.quantize(64)
    assert (load_picture(palette, *SIZE) == load_picture(palette.convert("RGB"), *SIZE)).all()
    grey = picture.convert("L")
    assert (load_picture(grey, *SIZE) == load_picture(grey.convert("RGB"), *SIZE)).all()


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (load_picture(clear, *SIZE) == 255).all()


def test_sixteen_bit_is_scaled_not_clipped():
    values = np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    array = np.asarray(open_picture(buffer.getvalue()))[..., 0]
    assert abs(int(array[30, 0]) - 127) <= 2


def test_portrait_is_turned_not_squeezed():
    landscape = drawing("df", 4)
    portrait = landscape.transpose(Image.Transpose.ROTATE_270)
    assert (load_picture(portrait, *SIZE) == load_picture(landscape, *SIZE)).all()
    assert load_picture(portrait, 64, 64).shape == (64, 64, 3)


@pytest.mark.parametrize("size", [(80, 60), (60, 80)])
def test_upright_undoes_the_quarter_turn(size):
    picture = drawing("bcc", 6, size)
    array = upright(to_array(picture, *SIZE), picture, *SIZE)
    assert (array.shape[0] < array.shape[1]) == (size[0] > size[1])
    assert closest(array, np.asarray(picture.resize(array.shape[1::-1], 2))) <= 1


def test_an_opened_picture_opens_unchanged():
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    drawing("nv", 2, (400, 300)).save(buffer, "JPEG", exif=exif)
    picture = open_picture(buffer.getvalue(), *SIZE)
    assert open_picture(picture, *SIZE).tobytes() == picture.tobytes()


def test_the_callers_picture_keeps_its_size():
    with Image.open(io.BytesIO(encode(drawing("mel", 1, (1600, 1200)), "JPEG"))) as picture:
        opened = open_picture(picture, 144, 192)
        assert picture.size == opened.size == (1600, 1200)


def test_large_jpeg_decoded_at_a_fraction_stays_close():
    y, x = np.mgrid[:1200, :1600]
    waves = np.stack([128 + 100 * np.sin(x / 200), 128 + 100 * np.cos(y / 150), x / 8], axis=-1)
    jpeg = encode(Image.fromarray(waves.astype(np.uint8)))
    whole = load_picture(Image.open(io.BytesIO(jpeg)).convert("RGB"), *SIZE)
    assert open_picture(jpeg, *SIZE).width < 1600
    assert closest(load_picture(jpeg, *SIZE), whole) <= 4


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg></svg>", POSTSCRIPT, b"\xff\xd8\xff\xe0" + b"\0" * 50]
)
def test_no_picture_gives_a_sentence(data):
    with pytest.raises(PictureError, match="picture"):
        load_picture(data, *SIZE)


def test_cut_off_pictures_give_a_sentence():
    data = encode(drawing("mel", 5), "PNG")
    for end in range(1, len(data) - 20, len(data) // 10):
        with pytest.raises(PictureError, match="picture"):
            load_picture(data[:end], *SIZE)


def test_bomb_is_refused_before_decoding():
    # All its rows are there; compressed by hand, as PIL takes 25 s to save it.
    with pytest.raises(PictureError, match="too large"):
        load_picture(png(50_000, 50_000, 1, 0, rows=50_000), *SIZE)


def test_heic_bomb_behind_a_small_crop_is_too_large():
    """Found by the fuzz: libheif's own words, with a newline in them, are none for a person."""
    data = saved(drawing("nv", 1, (40, 30)), "HEIF")
    size = b"ispe" + bytes(4) + struct.pack(">2I", 64, 64)
    assert size in data and b"clap" in data
    data = data.replace(size, size[:8] + struct.pack(">2I", 2**24 + 64, 64))
    with pytest.raises(PictureError, match=r"too large\. Send one of at most \d+ megapixels\.$"):
        load_picture(data, *SIZE)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(PictureError, match="no file"):
        load_picture(tmp_path / "nothing.png", *SIZE)
    with pytest.raises(PictureError, match="folder"):
        load_picture(tmp_path, *SIZE)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("size", [(640, 480), (641, 487), (1279, 963)])
def test_large_picture_with_transparency_is_reduced_as_by_pil(mode, size, monkeypatch):
    monkeypatch.setattr(preprocessing, "LARGE", 0)
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    picture = Image.fromarray(values, mode)
    factor = min(size) // 100
    ours = preprocessing._reduced(picture, 100)
    assert ours.mode == mode and ours.tobytes() == picture.reduce(factor).tobytes()
