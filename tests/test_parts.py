from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made import COLOURS, made_rows, write_dataset

from model import dataset as d
from model import parts as p
from model.labels import LABELS

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


def extra_set(folder, ids, labels, **more):
    """Pictures of made_rows under other ids, with `label` and no `lesion_id`."""
    rows = [
        {"image": row["image"], "image_id": image_id, "label": label}
        | {key: values[i] for key, values in more.items()}
        for i, (row, image_id, label) in enumerate(zip(made_rows(20), ids, labels))
    ]
    return str(write_dataset(folder, rows))


@pytest.fixture(scope="module")
def rows(made):
    return d.load_rows(made)


def test_extra_set_joins_behind_and_drops_unknown_labels_and_known_images(rows, tmp_path, capsys):
    split = p.split_rows(rows)
    ids = ["A1", "A2", "A3", rows.image_id[split["test"][0]], rows.image_id[split["train"][0]]]
    name = extra_set(tmp_path, ids, ["mel", "Melanoma", "scc", "nv", "nv"])
    joined, records = p.add_extra(rows, split, [name])
    said = capsys.readouterr().out
    assert "has no label scc (1): 1 images are left out" in said
    assert f"2 images are in {rows.name}" in said
    assert len(joined) == len(rows) + 2
    assert joined.image_id.tolist() == [*rows.image_id, "A1", "A2"]
    assert joined.dx[len(rows) :].tolist() == ["mel", "mel"]
    assert joined.truth[: len(rows)].tolist() == rows.truth.tolist()
    assert records[0]["images"] == records[0]["counts"]["mel"] == 2
    assert records[0]["left_out"] == {"label": 1, "image": 2}
    # Each row's picture is its own: the main set's, and then the extra set's.
    assert joined.encoded(3) == rows.encoded(3)
    assert joined.encoded(len(rows) + 1) == made_rows(20)[1]["image"]["bytes"]
    pixels = d.decode(joined, np.array([0, len(rows)]), 24, 32, tmp_path / "cache")
    middle = pixels[1, 8:16, 12:20].reshape(-1, 3).mean(axis=0)
    assert np.abs(middle - COLOURS["akiec"]).max() < 40  # made_rows begins with akiec


def test_extra_views_of_a_test_lesion_stay_out(rows, tmp_path):
    split = p.split_rows(rows)
    lesions = [rows.lesion_id[split["test"][0]], rows.lesion_id[split["train"][0]]]
    name = extra_set(tmp_path, ["A1", "A2"], ["nv", "nv"], lesion_id=lesions)
    joined, _ = p.add_extra(rows, split, [name])
    assert joined.image_id[len(rows) :].tolist() == ["A2"]


def test_two_extra_sets_bring_an_image_once(rows, tmp_path):
    split = p.split_rows(rows)
    names = [
        extra_set(tmp_path / "one", ["A1", "A2"], ["nv", "mel"]),
        extra_set(tmp_path / "two", ["A2", "A3"], ["mel", "bkl"]),
    ]
    joined, records = p.add_extra(rows, split, names)
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
        p.add_extra(rows, p.split_rows(rows), [name], column)


@real
def test_isic_2017_joins_ham10000():
    if not (SHARED / "pretrain").exists():
        pytest.skip("the pretraining images (../shared/pretrain) are not on this machine")
    rows = d.load_rows(SHARED / "ham10000")
    split = p.split_rows(rows)
    joined, records = p.add_extra(rows, split, [str(SHARED / "pretrain" / "isic2017_256px")])
    assert len(joined) - len(rows) == records[0]["images"] == 2745
    assert {label for label, n in records[0]["counts"].items() if n} == {"nv", "mel", "bkl"}
