from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import COLOURS, made_rows, write_dataset

from model.data import dataset as d
from model.data import split as p
from model.data.fingerprints import with_fingerprints
from model.labels import LABELS

SEED = 1000  # of pictures that are not in the data set `made`
SHARED = Path(__file__).parents[2] / "shared"
real = pytest.mark.skipif(
    not (SHARED / "ham10000").exists(), reason="the real images (../shared) are not on this machine"
)


def check_split(rows, split):
    parts = [set(rows.image_id[i]) for i in split.values()]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(rows)
    lesions = [set(rows.lesion_id[i]) for i in split.values()]
    assert sum(map(len, lesions)) == len(set().union(*lesions))


def test_split_keeps_lesions_apart_and_is_the_same_in_any_row_order(made, tmp_path):
    rows = d.load_rows(made)
    split = p.split_rows(rows)
    check_split(rows, split)
    views = Counter(rows.lesion_id)
    assert all(views[rows.lesion_id[i]] == 1 for i in split["test"])
    assert {*rows.dx[split["test"]]} == {*LABELS}
    shuffled = d.load_rows(write_dataset(tmp_path, made_rows(20)[::-1]))
    again = p.split_rows(shuffled)
    for part in split:
        assert rows.image_id[split[part]].tolist() == shuffled.image_id[again[part]].tolist()


@real
def test_split_of_ham10000_is_the_published_one():
    rows = d.load_rows(SHARED / "ham10000")
    split = p.split_rows(rows)
    check_split(rows, split)
    assert len(rows) == 10015
    counts = Counter(rows.dx[split["test"]].tolist())
    assert counts == {"nv": 663, "bkl": 66, "mel": 34, "bcc": 26, "akiec": 23, "vasc": 10, "df": 6}


def test_set_without_lesions_needs_split_by_image(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "lesion_id"} for row in made_rows(20, 1)]
    loaded = d.load_rows(write_dataset(tmp_path, rows))
    with pytest.raises(d.DatasetError, match="--split-by image"):
        p.split_rows(loaded)
    split = p.split_rows(loaded, by="image")
    assert sum(map(len, split.values())) == len(loaded)


def test_limit_takes_rare_labels_too(made):
    rows = d.load_rows(made)
    limited = p.limit_rows(p.split_rows(rows), rows.dx, 60)
    # Whole rounds over the labels: up to one round more in each part.
    assert 60 <= sum(map(len, limited.values())) <= 60 + 3 * (len(LABELS) - 1)
    for part in limited.values():
        assert {*rows.dx[part]} == {*LABELS}


def listed(path, ids):
    """A CSV that lists pictures, with a column of no interest."""
    path.write_text("dx,image_id\n" + "".join(f"nv,{image_id}\n" for image_id in ids))
    return path


def views(rows, part):
    """Row numbers of the first lesion of `part` with three pictures."""
    count = Counter(rows.lesion_id[part])
    lesion = next(lesion for lesion in rows.lesion_id[part] if count[lesion] == 3)
    return np.flatnonzero(rows.lesion_id == lesion)


def test_pictures_that_are_held_out_take_their_lesions_with_them(rows, tmp_path, capsys):
    split = p.split_rows(rows)
    before = {part: i.copy() for part, i in split.items()}
    many = views(rows, split["train"])
    singles = [i for i in split["validation"] if (rows.lesion_id == rows.lesion_id[i]).sum() == 1]
    ids = rows.image_id[[many[1], singles[0], split["test"][0]]]
    path = listed(tmp_path / "list.csv", [*ids, ids[0], "ISIC_X", "ISIC_Y"])
    after, record = p.hold_out(rows, split, str(path))
    assert record == {
        "file": "list.csv",
        "images": 3,
        "lesions": 3,
        "left_out": {"train": 3, "validation": 1},
    }
    assert after["train"].tolist() == [i for i in before["train"] if i not in many]
    assert after["validation"].tolist() == [i for i in before["validation"] if i != singles[0]]
    assert after["test"].tolist() == before["test"].tolist()
    assert all(split[part].tolist() == before[part].tolist() for part in split)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and str(path) in printed
    assert "3 images of 3 lesions" in printed
    assert "3 leave the train part and 1 the validation part; 2 more are not in" in printed


def test_without_lesions_the_listed_pictures_alone_are_held_out(rows, tmp_path, capsys):
    split = p.split_rows(rows)
    many = views(rows, split["train"])
    alone = replace(rows, lesion_id=None)
    path = listed(tmp_path / "list.csv", rows.image_id[many[:2]])
    after, record = p.hold_out(alone, split, path)
    assert after["train"].tolist() == [i for i in split["train"] if i not in many[:2]]
    assert record["lesions"] is None and record["left_out"] == {"train": 2, "validation": 0}
    printed = capsys.readouterr().out
    assert printed.startswith(f"{path}: 2 images are held out: 2 leave") and ";" not in printed


def test_useless_lists_are_named(rows, tmp_path):
    split = p.split_rows(rows)
    other, odd, empty, gap, binary, whole = (
        tmp_path / f"{name}.csv" for name in ("other", "odd", "empty", "gap", "binary", "whole")
    )
    other.write_text("image,dx\nISIC_1,nv\n")
    listed(odd, ["ISIC_X"])
    empty.write_text("")
    gap.write_text(f"image_id,dx\n{rows.image_id[0]},nv\n,nv\n")
    binary.write_bytes(b"image_id\n\xff\xfe\x00")
    listed(whole, rows.image_id[split["validation"]])
    for path, sentence in (
        (tmp_path / "none.csv", "There is no file .*none.csv"),
        (tmp_path, "cannot be read as a CSV"),
        (binary, "binary.csv cannot be read as a CSV"),
        (other, "other.csv has no column 'image_id'; its columns are image, dx"),
        (empty, "no column 'image_id'; its columns are none"),
        (gap, "row 2 of .*gap.csv has no value in column 'image_id'"),
        (odd, "odd.csv lists 1 images, but none is in"),
        (whole, "whole.csv leaves no image in the validation part"),
    ):
        with pytest.raises(d.DatasetError, match=sentence):
            p.hold_out(rows, split, path)


def test_extra_views_of_a_lesion_that_is_held_out_stay_out(rows, tmp_path):
    split = p.split_rows(rows)
    many = views(rows, split["train"])
    kept = rows.lesion_id[next(i for i in split["train"] if i not in many)]
    name = extra_set(
        tmp_path, ["A1", "A2"], ["nv", "nv"], lesion_id=[rows.lesion_id[many[0]], kept]
    )
    assert len(p.add_extra(rows, split, [name], cache=tmp_path)[0]) == len(rows) + 2
    path = listed(tmp_path / "list.csv", rows.image_id[many[:1]])
    after, _ = p.hold_out(rows, split, path)
    joined, _ = p.add_extra(rows, after, [name], cache=tmp_path)
    assert joined.image_id[len(rows) :].tolist() == ["A2"]


@real
def test_pictures_of_the_head_to_head_can_be_held_out():
    path = SHARED / "head_to_head" / "images.csv"
    if not path.exists():
        pytest.skip("the list (../shared/head_to_head) is not on this machine")
    rows = d.load_rows(SHARED / "ham10000")
    split = p.split_rows(rows)
    after, record = p.hold_out(rows, split, path)
    assert (record["images"], record["lesions"]) == (1503, 1437)
    ids = {row["image_id"] for row in p.read_table(path, ["image_id"])}
    shown = {rows.lesion_id[i] for i in range(len(rows)) if rows.image_id[i] in ids}
    for part in ("train", "validation"):
        assert not shown & {*rows.lesion_id[after[part]]}
        gone = np.setdiff1d(split[part], after[part])
        assert {*rows.lesion_id[gone]} <= shown and len(gone) == record["left_out"][part]
        assert {*rows.dx[after[part]]} == {*LABELS}


def extra_set(folder, ids, labels, **more):
    """Pictures that are not in `rows`, with `label` and no `lesion_id`."""
    rows = [
        {"image": row["image"], "image_id": image_id, "label": label}
        | {key: values[i] for key, values in more.items()}
        for i, (row, image_id, label) in enumerate(zip(made_rows(20, seed=SEED), ids, labels))
    ]
    return str(write_dataset(folder, rows))


@pytest.fixture(scope="module")
def rows(made, tmp_path_factory):
    return with_fingerprints(d.load_rows(made), tmp_path_factory.mktemp("cache"))


def test_extra_set_joins_behind_and_drops_unknown_labels_and_known_images(rows, tmp_path, capsys):
    split = p.split_rows(rows)
    ids = ["A1", "A2", "A3", rows.image_id[split["test"][0]], rows.image_id[split["train"][0]]]
    name = extra_set(tmp_path, ids, ["mel", "Melanoma", "scc", "nv", "nv"])
    joined, records = p.add_extra(rows, split, [name], cache=tmp_path)
    printed = capsys.readouterr().out
    assert "has no label scc (1): 1 images are left out" in printed
    assert f"2 images are left out: they are in {rows.name}" in printed
    assert len(joined) == len(rows) + 2
    assert joined.image_id.tolist() == [*rows.image_id, "A1", "A2"]
    assert joined.dx[len(rows) :].tolist() == ["mel", "mel"]
    assert joined.truth[: len(rows)].tolist() == rows.truth.tolist()
    assert records[0]["images"] == records[0]["counts"]["mel"] == 2
    assert records[0]["left_out"] == {"label": 1, "image": 2, "copies": 0}
    # Each row's picture is its own: the main set's, and then the extra set's.
    assert joined.encoded(3) == rows.encoded(3)
    assert joined.encoded(len(rows) + 1) == made_rows(20, seed=SEED)[1]["image"]["bytes"]
    pixels = d.decode(joined, np.array([0, len(rows)]), 24, 32, tmp_path / "cache")
    middle = pixels[1, 8:16, 12:20].reshape(-1, 3).mean(axis=0)
    assert np.abs(middle - COLOURS["akiec"]).max() < 40  # made_rows begins with akiec


def test_extra_views_of_a_test_lesion_stay_out(rows, tmp_path):
    split = p.split_rows(rows)
    lesions = [rows.lesion_id[split["test"][0]], rows.lesion_id[split["train"][0]]]
    name = extra_set(tmp_path, ["A1", "A2"], ["nv", "nv"], lesion_id=lesions)
    joined, _ = p.add_extra(rows, split, [name], cache=tmp_path)
    assert joined.image_id[len(rows) :].tolist() == ["A2"]


def test_two_extra_sets_bring_an_image_once(rows, tmp_path):
    split = p.split_rows(rows)
    names = [
        extra_set(tmp_path / "one", ["A1", "A2"], ["nv", "mel"]),
        extra_set(tmp_path / "two", ["A1", "A2", "A3"], ["nv", "mel", "bkl"]),
    ]
    joined, records = p.add_extra(rows, split, names, cache=tmp_path)
    assert joined.image_id[len(rows) :].tolist() == ["A1", "A2", "A3"]
    assert [record["images"] for record in records] == [2, 1]


@pytest.mark.parametrize(
    "ids, labels, column, sentence",
    [
        (["A1"], ["scc"], "label", "adds no image"),
        (["A1"], ["nv"], "diagnosis", "no column 'diagnosis'"),
        ([None], ["nv"], "label", "no image_id"),
    ],
)
def test_useless_extra_sets_are_named(rows, tmp_path, ids, labels, column, sentence):
    name = extra_set(tmp_path, ids, labels)
    with pytest.raises(d.DatasetError, match=sentence):
        p.add_extra(rows, p.split_rows(rows), [name], column, tmp_path)


@real
def test_isic_2017_joins_ham10000(decoded):
    if not (SHARED / "pretrain").exists():
        pytest.skip("the pretraining images (../shared/pretrain) are not on this machine")
    rows = with_fingerprints(d.load_rows(SHARED / "ham10000"), decoded)
    split = p.split_rows(rows)
    name = str(SHARED / "pretrain" / "isic2017_256px")
    joined, records = p.add_extra(rows, split, [name], cache=decoded)
    assert len(joined) - len(rows) == records[0]["images"] == 2745
    assert {label for label, n in records[0]["counts"].items() if n} == {"nv", "mel", "bkl"}
