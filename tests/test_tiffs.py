"""TIFFs of every layout are read right, or refused with what to do."""

import itertools

import numpy as np
import pytest
from made import drawing
from PIL import Image
from tiffs import CMYK, RGB, tiff_of

from model.page.texts import sentence
from model.preprocessing import PictureError, open_picture

LESION = drawing("mel", 1, (60, 44))
PIXELS = np.asarray(LESION)
GREY = np.asarray(LESION.convert("L"))[..., None]
OPAQUE = np.full_like(GREY, 255)
WHITE_IS_ZERO, BLACK_IS_ZERO, YCBCR, LAB = 0, 1, 6, 8
KINDS = {
    "RGB": (RGB, PIXELS, {}),
    "alpha": (RGB, np.concatenate([PIXELS, OPAQUE], -1), {"_338": 2}),
    "premultiplied": (RGB, np.concatenate([PIXELS, OPAQUE], -1), {"_338": 1}),
    "a fourth channel": (RGB, np.concatenate([PIXELS, OPAQUE], -1), {"_338": 0}),
    "CMYK": (CMYK, np.asarray(LESION.convert("CMYK")), {}),
    "YCbCr": (YCBCR, np.asarray(LESION.convert("YCbCr")), {}),
    "white is zero": (WHITE_IS_ZERO, 255 - GREY, {}),
    "grey": (BLACK_IS_ZERO, GREY, {}),
    "grey, alpha": (BLACK_IS_ZERO, np.concatenate([GREY, OPAQUE], -1), {"_338": 2}),
}


def deepened(values: np.ndarray, bits: int) -> np.ndarray:
    if bits == 8:
        return values
    deep = values.astype(np.uint16)
    return deep << 4 | deep >> 4 if bits == 12 else deep * 257


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_right_or_refused(kind, bits):
    photometric, values, extra = KINDS[kind]
    right = LESION.convert("L").convert("RGB") if "gr" in kind or "zero" in kind else LESION
    read = set()
    layouts = itertools.product((False, True), "<>", (0, 16), (False, True), (1, 2))
    for planar, order, tile, compressed, fill in layouts:
        layout = planar, order, tile, photometric, compressed, fill, bits
        data = tiff_of(deepened(values, bits), *layout, **extra)
        try:
            away = np.abs(np.asarray(open_picture(data)).astype(int) - np.asarray(right))
        except PictureError as error:
            assert error.code in ("tiff", "damaged", "unreadable") and "PNG" in str(error)
            assert "PNG" in sentence(error, "id")
        else:
            assert away.max() <= 2, layout
            read.add((planar, compressed))
    if kind in ("RGB", "alpha", "CMYK") and bits != 12:
        assert read >= {(False, False), (False, True), (True, True)}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tile", [0, 16])
def test_planes_of_16_bits_are_refused_with_what_to_do(order, tile):
    data = tiff_of(deepened(PIXELS, 16), True, order, tile)
    with pytest.raises(PictureError) as refused:
        open_picture(data)
    assert str(refused.value) == (
        "TIFF files of this kind (planar, 16 bit) cannot be read. "
        "Save the picture as a JPEG or PNG, and send that."
    )
    assert "Simpan gambarnya sebagai JPEG atau PNG" in sentence(refused.value, "id")


def test_planes_of_8_bits_are_read():
    for tile, order in itertools.product((0, 16), "<>"):
        assert open_picture(tiff_of(PIXELS, True, order, tile)).tobytes() == LESION.tobytes()


def test_lab_is_read_in_one_plane_and_refused_in_three():
    lab = np.asarray(Image.new("LAB", (60, 44), (150, 20, 10)))
    assert open_picture(tiff_of(lab, photometric=LAB)).size == (60, 44)
    with pytest.raises(PictureError, match="planar"):
        open_picture(tiff_of(lab, True, photometric=LAB))
