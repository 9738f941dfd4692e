"""Fingerprints: which pictures count as copies, and the record of a model folder."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from made import encode, made_rows, write_dataset
from PIL import Image

from model.data import dataset as d
from model.data import fingerprints as fp
from model.data import split as p
from model.folder import (
    BUNDLED,
    COMPACT,
    FINGERPRINTS,
    SPLIT,
    ModelFolderError,
    read_config,
    read_json,
    verify,
    write_json,
)
from model.preprocessing import load_picture

SHARED = Path(__file__).parents[2] / "shared"
real = pytest.mark.skipif(
    not (SHARED / "ham10000").exists(), reason="the real images (../shared) are not on this machine"
)


def clouds(seed: int) -> Image.Image:
    """A picture of soft spots on skin, 400 x 300 pixels."""
    spots = np.random.default_rng(seed).normal(0, 40, (12, 16, 3)) + (200, 160, 140)
    picture = Image.fromarray(np.clip(spots, 0, 255).astype(np.uint8))
    return picture.resize((400, 300), Image.Resampling.BICUBIC)


def written(picture: Image.Image, size=(400, 300), kind="JPEG", quality=90) -> bytes:
    file = io.BytesIO()
    picture.resize(size).save(file, kind, quality=quality)
    return file.getvalue()


def of(*pictures) -> np.ndarray:
    images = [load_picture(picture, fp.HEIGHT, fp.WIDTH) for picture in pictures]
    return fp.fingerprints(np.stack(images))


@pytest.mark.parametrize(
    "how",
    [
        {"kind": "PNG"},
        {"quality": 30},
        {"quality": 95},
        {"kind": "WEBP", "quality": 50},
        {"size": (200, 150)},
        {"size": (84, 84)},
        {"size": (1600, 1200)},
    ],
)
def test_a_copy_is_found_and_another_picture_is_not(how):
    pictures = [clouds(seed) for seed in range(20)]
    again = of(*(written(picture, **how) for picture in pictures[:12]))
    expected = [[i, i] for i in range(12)]
    assert fp.copies(again, of(*pictures)).tolist() == expected
    assert fp.are_among(of(*pictures), again).tolist() == [i < 12 for i in range(20)]


def test_the_same_drawing_in_another_colour_or_shape_is_another_picture():
    values = np.asarray(clouds(1))
    others = [values[..., ::-1], values[:, ::-1], values[::-1]]
    assert not len(fp.copies(of(clouds(1)), of(*map(Image.fromarray, others))))


def test_no_pictures_have_no_copies():
    assert fp.fingerprints(np.zeros((0, fp.HEIGHT, fp.WIDTH, 3), np.uint8)).shape == (0, fp.BYTES)
    assert not len(fp.copies(fp.none(), of(clouds(1))))
    assert not len(fp.copies(of(clouds(1)), fp.none()))


def test_many_are_compared_in_seconds():
    rng = np.random.default_rng(0)
    ours, theirs = (rng.integers(0, 256, (n, fp.BYTES), np.uint8) for n in (1000, 40_000))
    theirs[123] = ours[7]
    assert fp.copies(ours, theirs).tolist() == [[7, 123]]


@pytest.fixture
def doubled(tmp_path):
    """The made pictures, and eight of them again as JPEGs of a lower quality, with other ids and
    lesions, and their rows."""
    rows = made_rows(20)
    again = []
    for i, row in enumerate(rows[:140:18]):
        picture = Image.open(io.BytesIO(row["image"]["bytes"]))
        image = {"bytes": written(picture, picture.size, quality=90), "path": None}
        again.append(row | {"image": image, "image_id": f"X{i}", "lesion_id": f"X{i}"})
    return write_dataset(tmp_path / "doubled", rows + again)


@pytest.mark.parametrize("by", ["lesion", "image"])
def test_copies_in_two_parts_come_together_in_training(doubled, tmp_path, capsys, by):
    rows = fp.with_fingerprints(d.load_rows(doubled), tmp_path)
    split = p.split_rows(rows, by)
    pairs = fp.copies(rows.fingerprints, rows.fingerprints)
    assert len(pairs) == len(rows) + 2 * 8
    part = {i: name for name, numbers in split.items() for i in numbers}
    apart = {i for pair in pairs for i in pair if part[pair[0]] != part[pair[1]]}
    assert apart
    after, record = p.keep_copies_together(rows, split, by)
    part = {i: name for name, numbers in after.items() for i in numbers}
    assert len(part) == len(rows) and all(part[i] == part[j] for i, j in pairs)
    assert all(part[i] == "train" for i in apart)
    units = rows.units(by)
    assert all(part[i] == "train" for i in range(len(rows)) if units[i] in {*units[list(apart)]})
    moved = len(after["train"]) - len(split["train"])
    assert record == {"moved": moved, "left_out": 0} and moved > 0
    assert f"with the others of their lesions, {moved} move to the train" in capsys.readouterr().out
    again, record = p.keep_copies_together(rows, after, by)
    assert record == {"moved": 0, "left_out": 0} and not capsys.readouterr().out
    assert all(again[name].tolist() == after[name].tolist() for name in after)


def test_a_copy_of_a_picture_that_is_held_out_leaves_too(doubled, tmp_path):
    rows = fp.with_fingerprints(d.load_rows(doubled), tmp_path)
    split, _ = p.keep_copies_together(rows, p.split_rows(rows))
    pairs = fp.copies(rows.fingerprints, rows.fingerprints)
    one, other = next(pair for pair in pairs if pair[0] < pair[1] and pair[0] in split["train"])
    path = tmp_path / "list.csv"
    path.write_text(f"image_id\n{rows.image_id[one]}\n")
    held, _ = p.hold_out(rows, split, str(path))
    assert other in held["train"]
    after, record = p.keep_copies_together(rows, held)
    assert other not in np.concatenate(list(after.values())) and record["left_out"] >= 1


def test_a_set_of_one_picture_alone_is_a_sentence(tmp_path):
    image = made_rows(1, 1)[0]["image"]
    rows = [row | {"image": image} for row in made_rows(20)]
    rows = fp.with_fingerprints(d.load_rows(write_dataset(tmp_path / "one", rows)), tmp_path)
    with pytest.raises(d.DatasetError, match="no picture left for the validation part"):
        p.keep_copies_together(rows, p.split_rows(rows))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_extra_pictures_under_other_ids_are_known_by_their_pixels(made, tmp_path, capsys, kind):
    rows = fp.with_fingerprints(d.load_rows(made), tmp_path)
    split = p.split_rows(rows)
    table = []
    for row in made_rows(20):  # the whole set again, as a user's copy of it would be
        picture = Image.open(io.BytesIO(row["image"]["bytes"]))
        image = {"bytes": encode(picture, kind), "path": None}
        table.append({"image": image, "image_id": f"{row['image_id']}.jpg", "label": row["dx"]})
    with pytest.raises(d.DatasetError, match="adds no image"):
        name = str(write_dataset(tmp_path / "again", table))
        p.add_extra(rows, split, [name], cache=tmp_path)
    with pytest.raises(d.DatasetError, match="adds no picture"):
        p.add_unlabelled(rows, [name], tmp_path)
    new = [
        {k: row[k] for k in ("image", "image_id")} | {"label": "nv"}
        for row in made_rows(1, 1, 1000)
    ]
    new = [row | {"image_id": f"N{i}"} for i, row in enumerate(new)]
    name = str(write_dataset(tmp_path / "more", table + new))
    joined, (record,) = p.add_extra(rows, split, [name], cache=tmp_path)
    assert joined.image_id[len(rows) :].tolist() == [f"N{i}" for i in range(7)]
    assert record["left_out"] == {"label": 0, "image": 0, "copies": 140}
    assert "140 images are left out: they are copies or near-copies" in capsys.readouterr().out
    joined, (record,) = p.add_unlabelled(rows, [name], tmp_path)
    assert len(joined) == len(rows) + 7
    assert record == {"dataset": name, "images": 7, "left_out": 140, "copies": 140}
    assert "7 pictures without labels, 0 left out as known and 140 as" in capsys.readouterr().out


def test_other_views_of_a_copied_test_lesion_stay_out(made, tmp_path):
    rows = fp.with_fingerprints(d.load_rows(made), tmp_path)
    split = p.split_rows(rows)
    by_id = {row["image_id"]: row["image"] for row in made_rows(20)}
    new = made_rows(1, 1, 1000)[0]["image"]
    table = [
        {"image": image, "image_id": name, "lesion_id": name[0], "label": "nv"}
        for name, image in (
            ("A1", by_id[rows.image_id[split["test"][0]]]),
            ("A2", new),
            ("B1", by_id[rows.image_id[split["train"][0]]]),
            ("B2", made_rows(1, 1, 1000)[1]["image"]),
        )
    ]
    name = str(write_dataset(tmp_path / "more", table))
    joined, _ = p.add_extra(rows, split, [name], cache=tmp_path)
    assert joined.image_id[len(rows) :].tolist() == ["B2"]


# --- the record


def test_a_record_survives_writing_and_merging(tmp_path):
    prints = of(*map(clouds, range(3)))
    first, second = fp.Record(prints[:2], prints[2:], ["imagenet"]), fp.Record(prints[1:])
    both = fp.merged([first, second])
    fp.write_record(tmp_path, both)
    read = fp.read_record(tmp_path)
    assert {*map(bytes, read.trained)} == {*map(bytes, prints)}
    assert read.validation.tolist() == prints[2:].tolist() and read.unrecorded == ["imagenet"]
    assert fp.read_record(tmp_path / "nothing") is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x93NUMPY"])
def test_a_damaged_record_is_a_sentence(tmp_path, content):
    (tmp_path / FINGERPRINTS).write_bytes(content)
    with pytest.raises(ModelFolderError, match="fingerprints.npz is damaged .* Make it again with"):
        fp.read_record(tmp_path)


def test_the_command_makes_the_record_of_an_older_folder(made, trained, tmp_path, capsys):
    written_by_train = fp.read_record(trained)
    older = shutil.copytree(trained, tmp_path / "older")
    (older / FINGERPRINTS).unlink()
    more = write_dataset(tmp_path / "more", made_rows(2, 1, 1000))
    fp.main(f"{older} --dataset {made} --cache {tmp_path}".split())
    verify(older)
    record = fp.read_record(older)
    assert record.trained.tolist() == written_by_train.trained.tolist()
    assert record.validation.tolist() == written_by_train.validation.tolist()
    split = read_json(trained / SPLIT)
    assert len(record.trained) == len(split["train"]) and record.unrecorded == []
    assert f"{len(record.trained)} different pictures taught the model" in capsys.readouterr().out
    config = read_config(older)
    config["training"]["final"] = {"like": "made"}
    config["weights"] = {"start": "first", "before": {"start": "imagenet"}}
    write_json(older / "config.json", config)
    fp.main(f"{older} --dataset {made} --more {more} --cache {tmp_path}".split())
    record = fp.read_record(older)
    assert len(record.trained) == len(split["train"]) + len(split["validation"]) + 14
    assert len(record.validation) == 0 and record.unrecorded == ["imagenet"]


# 8,290 pictures of HAM10000 and 15,284 of ISIC 2019; 2 and 48 have the fingerprint of another one.
@pytest.mark.parametrize("folder, images", [(BUNDLED, 26268), (COMPACT, 8288)])
def test_our_models_have_a_record(folder, images):
    record = fp.read_record(folder)
    assert (len(record.trained), len(record.validation)) == (images, 897)


@real
def test_ham10000_has_no_copies_and_keeps_its_published_split(decoded):
    rows = fp.with_fingerprints(d.load_rows(SHARED / "ham10000"), decoded)
    pairs = fp.copies(rows.fingerprints, rows.fingerprints)
    assert (rows.lesion_id[pairs[:, 0]] == rows.lesion_id[pairs[:, 1]]).all()
    split, record = p.keep_copies_together(rows, p.split_rows(rows))
    assert record == {"moved": 0, "left_out": 0}
    published = read_json(BUNDLED / SPLIT)
    assert {part: rows.image_id[i].tolist() for part, i in split.items()} == published
    smaller = SHARED / "ham10000_224x299"
    if smaller.exists():
        smaller, some = d.load_rows(smaller), np.arange(0, len(rows), 10)
        assert (smaller.image_id == rows.image_id).all()
        smaller = fp.with_fingerprints(smaller.take(some), decoded)
        found = fp.copies(smaller.fingerprints, rows.fingerprints[some])
        assert {(i, i) for i in range(len(some))} <= {*map(tuple, found.tolist())}
    for folder in (BUNDLED, COMPACT):
        trained, validation, by = fp.known(
            folder, read_config(folder), rows.image_id, rows.fingerprints
        )
        assert by == "fingerprints"
        assert rows.image_id[trained].tolist() == published["train"]
        assert rows.image_id[validation].tolist() == published["validation"]
