"""A JPEG's scans are those of the picture, not of what stands within or behind it."""

import io
import struct
import time

import numpy as np
import pytest
from hostile import saved, scans
from made import drawing
from PIL import Image

from model.preprocessing import MAX_SCANS, PictureError, count_scans, open_picture

LESION = drawing("mel", 3, (320, 240))
# 5 MB like a phone's film, with a marker of a scan in every kilobyte.
FILM = b"\0\0\0\x18ftypmp42" + (np.random.default_rng(0).bytes(1022) + b"\xff\xda") * 5000


def with_thumbnail(jpeg: bytes, thumbnail: bytes) -> bytes:
    """`jpeg` with a whole JPEG in its first segment, as cameras write it."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


KINDS = {"baseline": {}, "progressive": {"progressive": True}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_with_a_film_behind_it_is_read(kind):
    jpeg = saved(LESION, "JPEG", **KINDS[kind])
    start = time.process_time()
    assert open_picture(jpeg + FILM).tobytes() == open_picture(jpeg).tobytes()
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_two_pictures_in_one_file(kind):
    second = drawing("nv", 2, (320, 240))
    data = saved(LESION, "MPO", save_all=True, append_images=[second], **KINDS[kind])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "MPO"
    first = open_picture(saved(LESION, "JPEG", **KINDS[kind])).tobytes()
    for more in (b"", FILM):
        assert open_picture(data + more).tobytes() == first


def test_scans_within_segments_and_behind_the_picture_do_not_count():
    plain = saved(LESION, "JPEG", progressive=True)
    own = count_scans(plain)
    assert 5 < own < 15
    thumbnail = saved(LESION.resize((80, 60)), "JPEG", progressive=True) + b"\xff\xda" * 500
    comment = saved(LESION, "JPEG", progressive=True, comment=b"\xff\xda" * 1000)
    filled = plain.replace(b"\xff\xda", b"\xff\xff\xff\xda")
    for data in (plain + FILM, with_thumbnail(plain, thumbnail), comment, filled):
        assert count_scans(data) == own
        assert open_picture(data).tobytes() == LESION_OPENED
    assert count_scans(b"\xff\xd8" + FILM) > own  # without an end of the picture, to the last byte


LESION_OPENED = open_picture(saved(LESION, "JPEG", progressive=True)).tobytes()


def test_bombs_are_refused_with_whatever_stands_around_them():
    bomb = scans(2000, 500)
    for data in (bomb, bomb[:-2], bomb + FILM, with_thumbnail(bomb, saved(LESION, "JPEG"))):
        start = time.process_time()
        with pytest.raises(PictureError, match=f"{MAX_SCANS + 1} scans"):
            open_picture(data)
        assert time.process_time() - start < 0.5
    hidden = bomb[:2] + b"\xff\xe1\0\x04\xff\xd9" + bomb[2:]  # an end within a segment
    with pytest.raises(PictureError, match="scans"):
        open_picture(hidden)


@pytest.mark.parametrize(
    "filler", [b"\xff", b"\xff\x00", b"\xff\xd0", b"\xff\xfe\0\2", b"\0", b"\xff\xfe\xff\xff"]
)
def test_counting_takes_time_in_proportion_to_the_file(filler):
    head = saved(LESION, "JPEG", progressive=True)[:-2]
    start = time.process_time()
    try:
        count_scans(head + filler * (20_000_000 // len(filler)))
    except OSError as error:
        assert str(error) == "too many segments"
    assert time.process_time() - start < 1


def test_a_picture_that_is_loaded_already_is_taken():
    with Image.open(io.BytesIO(saved(LESION, "JPEG"))) as picture:
        picture.load()
    assert open_picture(picture).size == LESION.size
