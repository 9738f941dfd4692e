import csv
import os
import re
import stat
import struct
import tracemalloc
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from made import drawing, encode
from PIL import Image, PngImagePlugin

from model.classifier import Prediction
from model.labels import LABELS, SUSPICIOUS
from model.page import batch
from model.page.batch import BatchError, BatchRow, classify_many, most_urgent_first, write_csv
from model.page.table import counts, refusal, table
from model.page.texts import TEXTS
from model.preprocessing import PictureError, load_picture, open_picture, to_array
from model.quality import CODES

PICTURE = encode(drawing("nv", 1))


class Fake:
    """Looks at a picture as the classifier does and answers by its mean red: dark mel, other nv."""

    config = {"calibration": {"threshold": 0.3, "suspicious": SUSPICIOUS}}

    def __init__(self, keep=True):
        self.seen, self.keep = [], keep

    def predict(self, data):
        picture = open_picture(data, 24, 32)
        array = to_array(picture, 24, 32)
        if self.keep:
            self.seen.append(array)
        first = "mel" if array[..., 0].mean() < 128 else "nv"
        values = {label: 0.7 if label == first else 0.05 for label in LABELS}
        evidence = np.zeros((1, 1, 7), np.float32)
        return Prediction(values, evidence, 1.0, picture=picture)


def make_zip(path, members, method=zipfile.ZIP_DEFLATED):
    """`members`: (name or ZipInfo, bytes)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data, compress_type=method)
    return path


def lie(path, offset, kind, value):
    """Overwrite a field of every entry: `offset` from the central directory's entry start; the
    local header has the same field two bytes before its place there (zip's APPNOTE 4.3)."""
    data = bytearray(path.read_bytes())
    for mark, shift in ((b"PK\x01\x02", 0), (b"PK\x03\x04", -2)):
        at = data.find(mark)
        while at >= 0:
            struct.pack_into(kind, data, at + offset + shift, value)
            at = data.find(mark, at + 4)
    path.write_bytes(data)


def one_error(files):
    fake = Fake()
    rows = classify_many(fake, files)
    assert len(rows) == 1 and rows[0].thumbnail is None and rows[0].label is None
    assert not rows[0].probabilities and not fake.seen
    assert rows[0].error.endswith(".") and "Traceback" not in rows[0].error
    return rows[0].error


def peak(call):
    """What `call` returns, and the most bytes Python and its zlib held meanwhile."""
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_pictures_and_a_zip_in_order_with_progress(tmp_path):
    dark = encode(Image.new("RGB", (300, 200), (20, 20, 20)), "PNG")
    (tmp_path / "first.jpg").write_bytes(PICTURE)
    make_zip(tmp_path / "some.zip", [("a/dark.png", dark), ("b.jpg", PICTURE)])
    (tmp_path / "last.png").write_bytes(dark)
    steps = []
    files = [str(tmp_path / "first.jpg"), tmp_path / "some.zip", tmp_path / "last.png"]
    rows = classify_many(Fake(), files, lambda done, total: steps.append((done, total)))
    assert [row.name for row in rows] == ["first.jpg", "dark.png", "b.jpg", "last.png"]
    assert [row.label for row in rows] == ["nv", "mel", "nv", "mel"]
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    for row in rows:
        assert row.probability == row.probabilities[row.label] == 0.7 and not row.error
        score, flag = pytest.approx(0.8 if row.label == "mel" else 0.15), row.label == "mel"
        assert row.suspicious == {"score": score, "threshold": 0.3, "flag": flag}
        assert row.confident and row.flagged == flag
    assert rows[1].thumbnail.size == (96, 64) and rows[1].thumbnail.mode == "RGB"
    assert np.abs(np.asarray(rows[1].thumbnail).astype(int) - 20).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "portrait", "exif", "large"])
def test_the_network_sees_the_same_as_when_the_picture_is_sent_alone(tmp_path, mode):
    picture = drawing("mel", 3, (1000, 750) if mode == "large" else (300, 220))
    exif = Image.Exif()
    exif[274] = 6 if mode == "exif" else 1
    if mode == "portrait":
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    elif mode == "RGBA":
        picture.putalpha(picture.convert("L"))
    elif len(mode) == 1:
        picture = picture.convert(mode)
    kind = "JPEG" if mode in ("exif", "large", "portrait") else "PNG"
    picture.save(tmp_path / "x", kind, exif=exif)
    fake = Fake()
    (row,) = classify_many(fake, [tmp_path / "x"])
    assert not row.error
    assert (fake.seen[0] == load_picture(tmp_path / "x", 24, 32)).all()
    assert (row.thumbnail.width < row.thumbnail.height) == (mode in ("exif", "portrait"))


def test_one_bad_picture_never_stops_the_others(tmp_path):
    class Fails(Fake):
        def predict(self, data):
            if len(self.seen) == 1:
                self.seen.append(None)
                raise RuntimeError("/secret/path")
            return super().predict(data)

    bad = {
        "text.jpg": b"hello",
        "empty.png": b"",
        "cut.jpg": PICTURE[: len(PICTURE) // 2],
        "svg.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "fine.txt": PICTURE,
        "second.jpg": PICTURE,
        "third.jpg": PICTURE,
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    files = [tmp_path / name for name in [*bad, "folder", "pipe", "missing", "x" * 300, "nul\0"]]
    rows = classify_many(Fails(), files)
    assert len(rows) == len(files)
    assert [row.name for row in rows if row.label] == ["fine.txt", "third.jpg"]
    for row in rows:
        assert bool(row.error) != bool(row.label)
        assert str(tmp_path) not in row.error and "/secret" not in row.error


def test_a_doubtful_picture_keeps_its_figures_and_is_not_confident(tmp_path):
    class Doubts(Fake):
        def predict(self, data):
            return replace(super().predict(data), notices=["blurred", "unfamiliar"])

    (tmp_path / "x.jpg").write_bytes(PICTURE)
    (row,) = classify_many(Doubts(), [tmp_path / "x.jpg"])
    assert not row.confident and row.error == "" and row.notices == ["blurred", "unfamiliar"]
    assert (row.label, row.probability) == ("nv", 0.7) and row.probabilities["nv"] == 0.7
    assert row.suspicious["score"] == pytest.approx(0.15) and not row.flagged


def test_bounds(tmp_path, monkeypatch):
    fake = Fake()
    (tmp_path / "x.jpg").write_bytes(PICTURE)
    monkeypatch.setattr(batch, "MAX_PICTURES", 3)
    assert len(classify_many(fake, [tmp_path / "x.jpg"] * 3)) == 3
    fake.seen.clear()
    archive = make_zip(tmp_path / "x.zip", [(f"{i}.jpg", PICTURE) for i in range(3)])
    assert len(classify_many(Fake(), [archive])) == 3
    for files in ([tmp_path / "x.jpg"] * 4, [archive, tmp_path / "x.jpg"], [tmp_path / "no"] * 4):
        with pytest.raises(BatchError, match="pictures"):
            classify_many(fake, files)
    monkeypatch.setattr(batch, "MAX_BYTES", 2 * len(PICTURE) + 1)
    assert len(classify_many(Fake(), [tmp_path / "x.jpg"] * 2)) == 2
    for files in ([tmp_path / "x.jpg"] * 3, [archive]):
        with pytest.raises(BatchError, match="MB in all"):
            classify_many(fake, files)
    with pytest.raises(BatchError, match="no files"):
        classify_many(fake, [])
    assert fake.seen == []
    monkeypatch.setattr(batch, "MAX_PICTURE_BYTES", len(PICTURE) - 1)
    assert "Send a smaller one" in one_error([tmp_path / "x.jpg"])
    with pytest.raises(BatchError, match="MB in all"):  # as sent, though none would be unpacked
        classify_many(fake, [archive])


def test_a_zip_goes_by_its_content_not_its_name(tmp_path):
    (tmp_path / "really.jpg.zip").write_bytes(PICTURE)
    make_zip(tmp_path / "really.zip.jpg", [("inner.jpg", PICTURE)])
    rows = classify_many(Fake(), [tmp_path / "really.jpg.zip", tmp_path / "really.zip.jpg"])
    assert [row.name for row in rows if row.label] == ["really.jpg.zip", "inner.jpg"]
    # A picture with a zip behind it is a picture.
    (tmp_path / "both").write_bytes(PICTURE + (tmp_path / "really.zip.jpg").read_bytes())
    assert [row.name for row in classify_many(Fake(), [tmp_path / "both"])] == ["both"]


def test_hostile_names_stay_names(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    names = [
        "../../up.jpg",
        "/etc/absolute.jpg",
        "..\\..\\windows.jpg",
        "C:\\drive.jpg",
        "a/b/up.jpg",
        "\x1b[31mred.jpg",
        "gpj.\u202e.jpg",
        "n" * 5000 + ".jpg",
        "<img src=x onerror=f()>.jpg",
        "\n.jpg",
        "Leberfleck ä 痣.jpg",
    ]
    make_zip(folder / "x.zip", [(name, PICTURE) for name in names])
    before = sorted(tmp_path.rglob("*"))
    rows = classify_many(Fake(), [folder / "x.zip"])
    assert sorted(tmp_path.rglob("*")) == before
    assert [row.name for row in rows] == [
        "x.zip/up.jpg",
        "absolute.jpg",
        "windows.jpg",
        "drive.jpg",
        "b/up.jpg",
        "[31mred.jpg",
        "gpj..jpg",
        "n" * 60 + "…" + "n" * 15 + ".jpg",
        "<img src=x onerror=f()>.jpg",
        ".jpg",
        "Leberfleck ä 痣.jpg",
    ]
    assert all(row.label == "nv" for row in rows)
    files = [tmp_path / "\udcff", make_zip(folder / "y.zip", [("a/\n", PICTURE)])]
    assert [row.name for row in classify_many(Fake(), files)] == ["unnamed", "a/unnamed"]


def test_duplicates_in_a_zip_are_read_each(tmp_path):
    dark = encode(Image.new("RGB", (40, 30)))
    with pytest.warns(UserWarning, match="Duplicate"):
        path = make_zip(tmp_path / "x.zip", [("a.jpg", PICTURE), ("a.jpg", dark)])
    rows = classify_many(Fake(), [path])
    assert [(row.name, row.label) for row in rows] == [("a.jpg", "nv"), ("a.jpg (2)", "mel")]


def test_pictures_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    (tmp_path / "c.jpg").write_bytes(PICTURE)
    first = {
        "clinic_a/IMG_0001.jpg": "clinic_a/IMG_0001.jpg",
        "clinic_b\\IMG_0001.jpg": "clinic_b/IMG_0001.jpg",
        "clinic_b/IMG_0002.jpg": "IMG_0002.jpg",
        "x/1/a.jpg": "x/1/a.jpg",
        "y/1/a.jpg": "y/1/a.jpg",
        "y/2/a.jpg": "2/a.jpg",
        "../b.jpg": "one.zip/b.jpg",
        "/=1+1/b.jpg": "=1+1/b.jpg",
        "<b>\x1b/b.jpg": "<b>/b.jpg",
        "c.jpg": "one.zip/c.jpg",
        "l" * 300 + "/d.jpg": "l" * 60 + "…" + "l" * 13 + "/d.jpg",
        "l" * 301 + "/d.jpg": "l" * 60 + "…" + "l" * 13 + "/d.jpg (2)",
        "deep/" * 9000 + "e.jpg": "deep/deep/deep/deep/deep/e.jpg",
        "deep/" * 9001 + "e.jpg": "deep/deep/deep/deep/deep/e.jpg (2)",
    }
    second = {"c.jpg": "two.zip/c.jpg", "f.jpg": "f.jpg"}
    files = [tmp_path / "c.jpg"]
    for name, members in (("one.zip", first), ("two.zip", second)):
        files.append(make_zip(tmp_path / name, [(member, PICTURE) for member in members]))
    rows = classify_many(Fake(), files)
    assert [row.name for row in rows] == ["c.jpg", *first.values(), *second.values()]
    html = table(rows, LABELS, "en")
    assert ">clinic_b/IMG_0001.jpg<" in html and "&lt;b&gt;/b.jpg" in html and "<b>/" not in html
    write_csv(rows, tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[2].startswith('"clinic_a/IMG_0001.jpg",') and lines[9].startswith(
        '"\'=1+1/b.jpg",'
    )


def test_what_is_no_picture_in_a_zip(tmp_path):
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    inner = make_zip(tmp_path / "inner", [("x.jpg", PICTURE)]).read_bytes()
    empty = make_zip(tmp_path / "empty", []).read_bytes()
    members = [
        ("folder/", b""),
        ("folder/.DS_Store", b"x"),
        ("__MACOSX/folder/x.jpg", PICTURE),
        (link, b"/etc/passwd"),
        ("notes.txt", b"hello"),
        ("inner.zip", inner),
        ("none.zip", empty),
        ("folder/x.jpg", PICTURE),
    ]
    rows = classify_many(Fake(), [make_zip(tmp_path / "x.zip", members)])
    assert [row.name for row in rows] == ["link.jpg", "notes.txt", "inner.zip", "none.zip", "x.jpg"]
    for row, word in zip(rows, ["link", "not a picture", "within a zip", "within a zip"]):
        assert word in row.error
    assert rows[-1].label == "nv"
    assert "no pictures" in one_error([make_zip(tmp_path / "y.zip", members[:3])])
    assert "no pictures" in one_error([tmp_path / "empty"])


def test_bomb_with_its_size_declared_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MAX_PICTURE_BYTES", 5_000_000)
    monkeypatch.setattr(batch, "MAX_BYTES", 6_000_000)  # of which what is not read takes nothing
    path = make_zip(tmp_path / "x.zip", [("zeros.png", bytes(30_000_000)), ("x.jpg", PICTURE)])
    assert path.stat().st_size < 100_000
    rows, most = peak(lambda: classify_many(Fake(), [path]))
    assert "larger than" in rows[0].error and rows[1].label == "nv" and most < 3_000_000


@pytest.mark.parametrize("declared", [0, 1, 5000, 5_000_000, 2**32 - 2])
def test_bomb_with_a_false_size_is_read_to_the_bound(tmp_path, monkeypatch, declared):
    monkeypatch.setattr(batch, "MAX_PICTURE_BYTES", 5_000_000)
    path = make_zip(tmp_path / "x.zip", [("zeros.png", bytes(40_000_000))])
    lie(path, 24, "<I", declared)
    error, most = peak(lambda: one_error([path]))
    assert ("damaged" in error) == (declared <= 5_000_000) and most < 20_000_000


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_zipfile_unpacks_without_a_bound_are_refused(tmp_path, method):
    path = make_zip(tmp_path / "x.zip", [("zeros.png", bytes(5_000_000))], method)
    lie(path, 24, "<I", 1000)
    error, most = peak(lambda: one_error([path]))
    assert "unusual" in error and most < 1_000_000


def test_many_members_that_add_up_are_refused_unread(tmp_path):
    path = make_zip(tmp_path / "x.zip", [(f"{i}.png", bytes(20_000_000)) for i in range(2)])
    with zipfile.ZipFile(path) as archive:
        offset = archive.start_dir
    data = path.read_bytes()
    entry, tail = data[offset:].split(b"PK\x05\x06")[0], data[-22:]
    fields = list(struct.unpack("<4s4H2LH", tail))
    fields[3], fields[4], fields[5] = 200, 200, 100 * len(entry)
    # 100 times the same two members: what overlapping entries make of 40 kB.
    path.write_bytes(data[:offset] + entry * 100 + struct.pack("<4s4H2LH", *fields))
    fake = Fake()
    with pytest.raises(BatchError, match="MB in all"):
        classify_many(fake, [path])
    assert not fake.seen


@pytest.mark.parametrize("count, kind", [(5000, "{}.jpg"), (9_000, "f{}/"), (201, "{}.jpg")])
def test_thousands_of_members_are_refused_at_once(tmp_path, monkeypatch, count, kind):
    path = make_zip(tmp_path / "x.zip", [(kind.format(i), b"") for i in range(count)])
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("a member was read"))

    def call():
        with pytest.raises(BatchError, match="more than 200 pictures"):
            classify_many(Fake(), [path])

    assert peak(call)[1] < 5_000_000


def test_locked_zip(tmp_path):
    path = make_zip(tmp_path / "x.zip", [("x.jpg", PICTURE)])
    lie(path, 8, "<H", 1)
    assert "password" in one_error([path])


def test_zip_cut_off_or_altered_anywhere_gives_sentences(tmp_path):
    small = encode(Image.new("RGB", (8, 8)), "PNG")
    data = make_zip(tmp_path / "x.zip", [("a.png", small), ("b.png", small)]).read_bytes()
    path = tmp_path / "bad.zip"
    rng = np.random.default_rng(0)
    for i in range(0, len(data), 3):
        path.write_bytes(data[:i])
        assert one_error([path])
        altered = bytearray(data)
        altered[i] ^= int(rng.integers(1, 256))
        path.write_bytes(altered)
        try:
            rows = classify_many(Fake(), [path])
        except BatchError:
            continue
        assert 1 <= len(rows) <= 2 and all(bool(row.label) != bool(row.error) for row in rows)
    path.write_bytes(data[: len(data) // 3] + data[len(data) // 3 + 7 :])
    assert all(row.error for row in classify_many(Fake(), [path])[:1])


def test_a_damaged_member_leaves_the_others(tmp_path):
    members = [("a.jpg", PICTURE), ("b.jpg", PICTURE)]
    path = make_zip(tmp_path / "x.zip", members, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[len(PICTURE) // 2] ^= 0xFF
    path.write_bytes(data)
    rows = classify_many(Fake(), [path])
    assert "damaged" in rows[0].error and rows[1].label == "nv"


def test_picture_bomb_in_a_zip(tmp_path):
    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    path = make_zip(tmp_path / "x.zip", [("b.png", bomb), ("x.jpg", PICTURE)])
    rows = classify_many(Fake(), [path])
    assert "too large" in rows[0].error and rows[1].label == "nv"


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (50, 40)])
def test_thumbnail_of_any_shape(tmp_path, size):
    Image.new("RGB", size, "red").save(tmp_path / "x.png")
    (row,) = classify_many(Fake(), [tmp_path / "x.png"])
    assert max(row.thumbnail.size) == min(max(size), 96) and min(row.thumbnail.size) >= 1


def answered(name, score, *notices, threshold=0.11, confident=None):
    """A row whose melanoma is as probable as its score; confident unless there are notices."""
    values = dict.fromkeys(LABELS, 0.0) | {"mel": score, "nv": 1 - score}
    label = max(values, key=values.get)
    point = {"score": score, "threshold": threshold, "flag": score >= (threshold or 0)}
    return BatchRow(
        name,
        Image.new("RGB", (9, 6)),
        label,
        values[label],
        values,
        point if threshold else None,
        not notices if confident is None else confident,
        list(notices),
    )


BROKEN = BatchRow("broken", reason=PictureError("unreadable"))


def cells(html):
    """The text of each cell of each row of a table's body."""
    rows = re.findall(r"<tr class=.*?</tr>", html)
    texts = [re.findall(r"<t[hd].*?</t[hd]>", row) for row in rows]
    return [[re.sub(r"<[^>]*>", " ", cell).split() for cell in row] for row in texts]


def test_flagged_rows_come_first_and_files_that_cannot_be_used_last():
    rows = [
        BROKEN,
        answered("low", 0.02),
        answered("near", 0.1),
        answered("dim", 0.05, "too_dark"),
        answered("exactly", 0.11),
        answered("blurred", 0.4, "blurred"),
        answered("dimmer", 0.01, "too_dark"),
        answered("high", 0.9),
    ]
    names = [row.name for row in most_urgent_first(rows)]
    assert names == "high blurred exactly dim dimmer near low broken".split()
    # Without an operating point: the unreliable ones, then the others, as they were sent.
    rows = [replace(row, suspicious=None) for row in rows]
    names = [row.name for row in most_urgent_first(rows)]
    assert names == "dim blurred dimmer low near exactly high broken".split()


def test_a_flagged_melanoma_without_a_reliable_answer_says_both():
    rows = [answered("a", 0.4, "blurred", "too_dark"), answered("b", 0.05, "too_small")]
    rows += [answered("c", 0.05), answered("d", 0.3, "lens", confident=True)]
    html = table(rows, LABELS, "en")
    assert [" ".join(row[1]) for row in cells(html)] == [
        "▲ Above Not reliable: blurred, very dark",
        "? Below Not reliable: very small",
        "○ Below",
        "▲ Above cropped to the lens circle",
    ]
    assert re.findall('<tr class="(.*?)">', html) == ["flagged unsure", "unsure", "", "flagged"]
    first = cells(html)[0]
    assert first[2] == "Melanocytic nevus (nv), 60%".split() and first[3] == ["40%"]
    assert first[4:] == [["under", "1%"]] * 4 + [["40%"], ["60%"], ["under", "1%"]]


def test_a_score_is_told_from_the_warning_level():
    rows = [answered("a", 0.1096), answered("b", 0.1104), answered("c", 0.11)]
    assert [row[3] for row in cells(table(rows, LABELS, "en"))] == [
        ["10.96%"],
        ["11.04%"],
        ["11.000%"],
    ]


@pytest.mark.parametrize(
    "rows, said",
    [
        (
            [answered(str(i), 0.2) for i in range(19)]
            + [answered("x", 0.3, "blurred"), *[answered("y", 0.01, "too_dark")] * 2]
            + [answered("z", 0.05)] * 27
            + [BROKEN],
            "20 of 49 pictures are above the warning level of 11%; 3 have no reliable answer; "
            "1 file could not be read.",
        ),
        (
            [answered("a", 0.2), answered("b", 0.05), answered("c", 0, "blurred"), BROKEN, BROKEN],
            "1 of 3 pictures is above the warning level of 11%; 1 has no reliable answer; "
            "2 files could not be read.",
        ),
        ([answered("a", 0.05)] * 2, "0 of 2 pictures are above the warning level of 11%."),
        ([BROKEN], "1 file could not be read."),
        (
            [answered("a", 0.2, threshold=None), answered("b", 0.2, "blurred", threshold=None)],
            "2 pictures were classified; 1 has no reliable answer.",
        ),
    ],
)
def test_counts_are_a_sentence(rows, said):
    assert counts(rows, "en") == f"<strong>{said}</strong>"
    assert re.findall(r"\d+", counts(rows, "id")) == re.findall(r"\d+", said)


def test_only_kinds_of_rows_that_there_are_can_be_chosen():
    rows = [answered("a", 0.2), answered("b", 0.3, "blurred"), answered("c", 0.05), BROKEN]
    choices = re.findall(r'value="(\w+)"( checked)?>(.*?)</label>', table(rows, LABELS, "en"))
    assert choices == [
        ("all", " checked", " All (4)"),
        ("flagged", "", " Above the warning level (2)"),
        ("unsure", "", " No reliable answer (1)"),
        ("failed", "", " Could not be read (1)"),
    ]
    assert re.findall(r'value="(\w+)"', table([rows[0], rows[2]], LABELS, "id")) == [
        "all",
        "flagged",
    ]
    assert "<fieldset" not in table([rows[2]], LABELS, "en")


def test_without_an_operating_point_level_and_score_stay_empty():
    rows = [answered("a", 0.6, threshold=None), answered("b", 0.6, "blurred", threshold=None)]
    html = table(rows, LABELS, "en")
    assert [row[1] for row in cells(html)] == [[], "Not reliable: blurred".split()]
    assert [row[3] for row in cells(html)] == [[], []]
    assert TEXTS["en"]["batch_explained"] not in html
    assert "flagged" not in html


def test_every_notice_has_a_short_form():
    assert {f"batch_notice_{code}" for code in CODES} <= set(TEXTS["en"])


def test_table_says_what_is_wrong_in_the_language_of_the_page(tmp_path):
    (tmp_path / "x.jpg").write_bytes(PICTURE)
    (tmp_path / "y.jpg").write_bytes(b"hello")
    rows = classify_many(Fake(), [tmp_path / "x.jpg", tmp_path / "y.jpg", tmp_path / "no.jpg"])
    html = table(rows, LABELS, "id")
    assert html.count("<tr") == 4 and html.count("<img") == 1
    assert "bukan gambar yang dapat dibaca" in html and "Berkas itu sudah tidak ada" in html
    assert [bool(row.error) for row in rows] == [False, True, True]
    assert all(row.error.endswith(".") for row in rows[1:])
    assert refusal("<b>") == '<p class="box notice">&lt;b&gt;</p>'


def test_memory_holds_thumbnails_only(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "x" * 900_000)
    drawing("nv", 1, (400, 300)).save(tmp_path / "x.png", pnginfo=info)
    files = [tmp_path / "x.png"] * 20
    tracemalloc.start()
    rows = classify_many(Fake(keep=False), files)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(rows) == 20 and not rows[0].thumbnail.info and kept < 1_000_000


COLUMNS = [
    *["name", "flag", "suspicious_score", "threshold", "confident", "top_diagnosis", "probability"],
    *[*LABELS, "notices", "error", "set_80", "set_90", "set_95"],
]


def read_csv(path):
    """The columns of a CSV as a spreadsheet reads it, and its rows as dicts."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        return rows.fieldnames, list(rows)


def test_csv(tmp_path):
    rows = [
        answered('a;b,"c".jpg', 0.7000001, "blurred", "too_dark"),
        answered("=cmd|' /C calc'!A0.jpg", 0.05),
        BatchRow(" +1.jpg", reason=PictureError("damaged", reason='"cut", off')),
        BatchRow("-痣 ä.jpg", reason=BatchError("missing")),
        answered("plain.jpg", 0.2, threshold=None),
    ]
    path = tmp_path / "out.csv"
    path.write_text("old")
    write_csv(rows, path)
    columns, lines = read_csv(path)
    assert columns == COLUMNS
    first = dict(lines[0])
    assert {label: float(first.pop(label)) for label in LABELS} == {
        **dict.fromkeys(LABELS, 0.0),
        "mel": 0.7,
        "nv": 0.3,
    }
    assert first == {
        "name": 'a;b,"c".jpg',
        "flag": "true",
        "suspicious_score": "0.7",
        "threshold": "0.11",
        "confident": "false",
        "top_diagnosis": "mel",
        "probability": "0.7",
        "notices": "blurred too_dark",
        "error": "",
        **dict.fromkeys(["set_80", "set_90", "set_95"], ""),
    }
    assert [line["flag"] for line in lines] == ["true", "false", "", "", ""]
    assert [line["confident"] for line in lines] == ["false", "true", "", "", "true"]
    assert [line["suspicious_score"] for line in lines] == ["0.7", "0.05", "", "", ""]
    assert [line["threshold"] for line in lines] == ["0.11", "0.11", "", "", ""]
    assert [line["name"] for line in lines[1:4]] == [
        "'=cmd|' /C calc'!A0.jpg",
        "' +1.jpg",
        "'-痣 ä.jpg",
    ]
    assert [line["error"] for line in lines] == [row.error for row in rows]
    assert '"cut", off' in lines[2]["error"] and set(lines[2].values()) == {
        lines[2]["name"],
        lines[2]["error"],
        "",
    }
    assert path.read_bytes().startswith(b'\xef\xbb\xbf"name",') and b'\n"a;b' in path.read_bytes()
    assert os.listdir(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n"])
def test_no_text_of_the_csv_is_a_formula(tmp_path, start):
    """Neither a file's name, in a zip or not, nor an error, nor a label of somebody's model."""
    text = f"{start}HYPERLINK(1)"
    files = [make_zip(tmp_path / "x.zip", [(f"folder/{text}", PICTURE), (f" {text}", b"hello")])]
    rows = classify_many(Fake(), files)
    rows.append(BatchRow(text, reason=BatchError("batch_failed", reason=text)))
    rows.append(BatchRow(text, None, text, 1.0, {text: 1.0}, None, True, [text]))
    write_csv(rows, tmp_path / "x.csv", [text])
    with open(tmp_path / "x.csv", encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file))
    assert len(lines) == 5
    assert not [
        cell for line in lines for cell in line if re.match(rf"\s*{re.escape(start)}", cell)
    ]
    assert f"'{text}" == lines[0][7] == lines[4][0] == lines[4][5] == lines[4][8]


def test_csv_has_the_set_at_each_level(tmp_path):
    sets = {"0.8": ["nv"], "0.9": ["nv", "mel"], "0.95": ["nv", "mel", "=a b"]}
    write_csv([replace(answered("x", 0.1), sets=sets), BROKEN], tmp_path / "x.csv")
    _, (line, broken) = read_csv(tmp_path / "x.csv")
    found = [line[f"set_{level}"] for level in (80, 90, 95)]
    assert found == ["nv", "nv; mel", "nv; mel; =a b"]
    assert broken["set_80"] == broken["set_90"] == broken["set_95"] == ""


def test_csv_takes_the_labels_of_the_model_and_leaves_the_old_on_failure(tmp_path):
    path = tmp_path / "out.csv"
    write_csv([BatchRow("x", None, "b", 0.6, {"b": 0.6, "a": 0.4})], path)
    assert '"probability","b","a","notices"' in (good := path.read_text(encoding="utf-8"))
    with pytest.raises(TypeError):
        write_csv([BatchRow("x", probabilities={"a": object()})], path)
    assert path.read_text(encoding="utf-8") == good and os.listdir(tmp_path) == ["out.csv"]
