import shutil
from pathlib import Path

import numpy as np
import pytest
from made import made_rows, write_dataset

from model.data import dataset as d
from model.labels import LABELS

SHARED = Path(__file__).parents[2] / "shared"
real = pytest.mark.skipif(
    not (SHARED / "ham10000").exists(), reason="the real images (../shared) are not on this machine"
)


@real
def test_faulty_copy_with_long_names(capsys):
    rows = d.load_rows(SHARED / "skin_cancer_sample")
    assert len(rows) == 91 and rows.repeated == 16 and {*rows.dx} == {*LABELS}
    assert "107 rows, 16 repeat an image" in capsys.readouterr().out


def test_splits_are_merged_repeats_dropped_and_counted(tmp_path, capsys):
    rows = made_rows(5, 2)
    write_dataset(tmp_path, rows[:20])
    write_dataset(tmp_path, rows[15:], "test")
    loaded = d.load_rows(tmp_path)
    assert len(loaded) == 35 and loaded.repeated == 5
    assert "40 rows, 5 repeat an image" in capsys.readouterr().out
    assert loaded.image_id.tolist() == sorted(loaded.image_id)


def test_one_image_with_two_labels_is_refused(tmp_path):
    rows = made_rows(3, 1)
    rows.append(rows[0] | {"dx": "mel"})
    with pytest.raises(d.DatasetError, match=f"{rows[0]['image_id']}.*different labels"):
        d.load_rows(write_dataset(tmp_path, rows))


@pytest.mark.parametrize("column", ["image", "image_id", "dx"])
def test_missing_column_is_named(tmp_path, column):
    rows = [{k: v for k, v in row.items() if k != column} for row in made_rows(2, 1)]
    if column == "image":
        import datasets

        (tmp_path / "data").mkdir()
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / "data" / "train-0.parquet")
    else:
        write_dataset(tmp_path, rows)
    with pytest.raises(d.DatasetError, match=f"no column '{column}'"):
        d.load_rows(tmp_path)


def test_unknown_diagnosis_names_image_and_value(tmp_path):
    rows = made_rows(2, 1)
    rows[3]["dx"] = "scc"
    with pytest.raises(d.DatasetError, match=f"{rows[3]['image_id']}.*'scc'"):
        d.load_rows(write_dataset(tmp_path, rows))


def test_other_label_column_keeps_its_labels(tmp_path):
    rows = [row | {"label": "cat" if i % 2 else "dog"} for i, row in enumerate(made_rows(3, 1))]
    loaded = d.load_rows(write_dataset(tmp_path, rows), "label")
    assert loaded.labels == ["cat", "dog"] and set(loaded.truth) == {0, 1}


def test_imagefolder(tmp_path):
    for dx in ("mel", "nv"):
        (tmp_path / dx).mkdir()
        for row in made_rows(2, 1):
            if row["dx"] == dx:
                (tmp_path / dx / f"{row['image_id']}.jpg").write_bytes(row["image"]["bytes"])
    rows = d.load_rows(tmp_path, "label", need=())
    assert rows.labels == ["mel", "nv"] and len(rows) == 4
    assert d.decode(rows, np.arange(4), 12, 16, tmp_path / "cache").shape == (4, 12, 16, 3)


def test_missing_set_is_a_sentence(tmp_path):
    with pytest.raises(d.DatasetError, match="could not be loaded"):
        d.load_rows(tmp_path)


def test_decode_caches_by_content(made, tmp_path, monkeypatch):
    rows = d.load_rows(made)
    wanted = np.array([5, 2, 9])
    first = d.decode(rows, wanted, 12, 16, tmp_path)
    assert first.shape == (3, 12, 16, 3) and first.dtype == np.uint8
    monkeypatch.setattr(d, "load_picture", None)  # a second decoding would fail
    assert (d.decode(rows, wanted, 12, 16, tmp_path) == first).all()
    with pytest.raises(TypeError):
        d.decode(rows, wanted, 24, 32, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_large_arrays_are_memory_mapped(made, tmp_path, monkeypatch):
    rows = d.load_rows(made)
    monkeypatch.setattr(d, "MEMORY_BOUND", 1000)
    assert isinstance(d.decode(rows, np.arange(4), 12, 16, tmp_path), np.memmap)


def test_picture_that_does_not_decode_is_named_and_leaves_no_cache(tmp_path):
    rows = made_rows(2, 1)
    rows[4]["image"] = {"bytes": rows[4]["image"]["bytes"][:200], "path": None}
    loaded = d.load_rows(write_dataset(tmp_path / "set", rows))
    with pytest.raises(d.DatasetError, match=rows[4]["image_id"]):
        d.decode(loaded, np.arange(len(loaded)), 12, 16, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_image_of_the_split_missing_from_the_set(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    with pytest.raises(d.DatasetError, match="ISIC_nothing"):
        d.load_rows(tmp_path / "copy").find(["ISIC_nothing"])
