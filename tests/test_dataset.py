import shutil
from pathlib import Path

import numpy as np
import pytest
from made import drawing, made_rows, write_dataset

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


def test_unknown_diagnoses_are_listed(tmp_path):
    rows = made_rows(2, 1)
    rows[3]["dx"] = rows[5]["dx"] = "scc"
    rows[4]["dx"] = "wart"
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(write_dataset(tmp_path, rows))
    third, fourth = rows[3]["image_id"], rows[4]["image_id"]
    assert str(error.value) == (
        f"{tmp_path}: these labels in column 'dx' are none of akiec, bcc, bkl, df, mel, nv, vasc: "
        f"'scc' (2, first {third} (row 4 of the part train)), "
        f"'wart' (1, first {fourth} (row 5 of the part train)). "
        "Leave these rows out, or train on all labels as they are in another column, named with "
        "--label-column."
    )


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
        d.load_rows(tmp_path / "nothing")


def class_folders(base, names):
    """Two drawn pictures in each folder of `names`: {its name: diagnosis}."""
    for name, dx in names.items():
        (base / name).mkdir(parents=True)
        for i in range(2):
            drawing(dx, i).save(base / name / f"{i}.png")
    return base


@pytest.mark.parametrize(
    "names",
    [
        ["AK", "BCC", "BKL", "DF", "MEL", "NV", "VASC"],
        [
            "Actinic keratoses",
            "basal-cell-carcinoma",
            "benign_keratosis-like_lesions",
            "Dermatofibroma",
            "Melanoma",
            "melanocytic_Nevi",
            "vascular_lesions",
        ],
    ],
)
def test_class_folders_and_columns_of_any_spelling_are_the_seven_diagnoses(tmp_path, names, capsys):
    folders = class_folders(tmp_path / "folders", dict(zip(names, LABELS)))
    rows = d.load_rows(folders, "label")
    folder_of = dict(zip(LABELS, names))
    assert rows.labels == LABELS and len(rows) == 14
    assert all(path.startswith(folder_of[dx]) for path, dx in zip(rows.image_id, rows.dx))
    shown = f"{folders}: labels are read as diagnoses: {names[0]} as akiec, "
    assert shown in capsys.readouterr().out
    named = [row | {"dx": names[LABELS.index(row["dx"])]} for row in made_rows(2, 1)]
    table = write_dataset(tmp_path / "table", [row | {"diagnosis": row["dx"]} for row in named])
    for column in ("dx", "diagnosis"):
        rows = d.load_rows(table, column)
        assert rows.labels == LABELS and {*rows.dx} == {*LABELS}
    # As evaluate.py reads them.
    for place, column in ((folders, "label"), (table, "dx"), (table, "diagnosis")):
        trained, measured = d.load_rows(place, column), d.load_rows(place, column, labels=LABELS)
        assert measured.labels == LABELS and (trained.truth == measured.truth).all()


def test_labels_that_are_not_all_diagnoses_stay_as_they_are(tmp_path, capsys):
    names = {"MEL": "mel", "Nevus": "nv", "SCC": "bcc"}
    folders = class_folders(tmp_path / "folders", names)
    rows = d.load_rows(folders, "label")
    assert rows.labels == ["MEL", "Nevus", "SCC"]
    shown = f"{folders}: all labels stay as they are, as some are no diagnoses: SCC\n"
    assert capsys.readouterr().out == shown
    # A model of these labels knows them again, also where they are spelt otherwise.
    other = class_folders(tmp_path / "other", {"melanoma": "mel", "nv": "nv", "SCC": "bcc"})
    for place in (folders, other):
        again = d.load_rows(place, "label", (), labels=rows.labels)
        assert sorted(again.dx) == ["MEL", "MEL", "Nevus", "Nevus", "SCC", "SCC"]
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(folders, "label", labels=LABELS)
    assert str(error.value) == (
        f"{folders}: these labels in column 'label' are none of akiec, bcc, bkl, df, mel, nv, "
        "vasc: 'SCC' (2, first SCC/0.png (row 5 of the part train)). Leave these rows out."
    )


@pytest.mark.parametrize("empty", [None, "", "  ", "nan", float("nan")])
def test_a_blank_lesion_counts_as_its_own_unless_lesions_are_needed(tmp_path, empty, capsys):
    rows = made_rows(5, 2)
    if isinstance(empty, float):
        for i, row in enumerate(rows):
            row["lesion_id"] = float(i // 2)
    for row in rows[:25]:
        row["lesion_id"] = empty
    write_dataset(tmp_path, rows)
    loaded = d.load_rows(tmp_path)
    units = loaded.units("lesion")
    alone = np.isin(loaded.image_id, [row["image_id"] for row in rows[:25]])
    assert len({*units[alone]}) == 25 and not {*units[alone]} & {*units[~alone]}
    assert len({*units[~alone]}) < 10
    assert capsys.readouterr().out == (
        f"{tmp_path}: 25 of 35 rows have no lesion_id; each of them counts as a lesion of its own\n"
    )
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(tmp_path, need=("image_id", "lesion_id"))
    first = [f"{row['image_id']} (row {i} of the part train)" for i, row in enumerate(rows[:20], 1)]
    assert str(error.value) == (
        f"{tmp_path} has no lesion_id in 25 of 35 rows: {', '.join(first)}, ... (25 in all). "
        "Fill them in, or use --split-by image if every picture shows a lesion of its own."
    )


def test_blank_metadata_is_unknown(tmp_path):
    rows = [row | {"sex": "" if i else "male"} for i, row in enumerate(made_rows(1, 1))]
    rows[3]["age"] = None
    metadata = d.load_rows(write_dataset(tmp_path, rows)).metadata
    assert sorted(metadata["sex"]) == ["male", *6 * ["unknown"]]
    assert np.isnan(metadata["age"]).sum() == 1


def test_further_columns_are_kept_as_they_are(tmp_path):
    import datasets

    rows = [
        row | {"tone": i if i else None, "label": "a", "eye": i % 2}
        for i, row in enumerate(made_rows(1, 1))
    ]
    write_dataset(tmp_path / "a", rows)
    path = tmp_path / "a" / "data" / "train-00000-of-00001.parquet"
    table = datasets.Dataset.from_parquet(str(path))
    names = datasets.ClassLabel(names=["blue", "brown"])
    table.cast_column("eye", names).to_parquet(path)
    loaded = d.load_rows(tmp_path / "a", keep=["tone", "label", "eye", "sex"])
    order = np.argsort([row["image_id"] for row in rows])
    assert loaded.metadata["tone"].tolist() == [rows[i]["tone"] for i in order]
    assert loaded.metadata["label"].tolist() == 7 * ["a"] and {*loaded.dx} == {*LABELS}
    assert loaded.metadata["eye"].tolist() == [("blue", "brown")[i % 2] for i in order]
    assert loaded.take(np.array([1])).metadata["tone"].tolist() == [rows[order[1]]["tone"]]
    assert "tone" not in d.load_rows(tmp_path / "a").metadata


@pytest.mark.parametrize("column", ["skin", "image"])
def test_a_column_to_keep_that_is_missing_is_named_with_those_that_exist(made, column):
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(made, keep=["sex", column])
    assert str(error.value) == (
        f"{made} has no column {column!r} to group by; its columns are age, dataset, dx, dx_type, "
        "image_id, lesion_id, localization, sex."
    )


def test_image_id_0_is_a_value_and_a_blank_one_is_listed(tmp_path):
    rows = [row | {"image_id": i} for i, row in enumerate(made_rows(2, 1))]
    assert d.load_rows(write_dataset(tmp_path / "a", rows)).image_id[:2].tolist() == ["0", "1"]
    rows = made_rows(2, 1)
    rows[3]["image_id"], rows[7]["image_id"] = None, " "
    write_dataset(tmp_path / "b", rows)
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(tmp_path / "b")
    assert str(error.value) == (
        f"{tmp_path / 'b'} has no image_id in 2 of 14 rows: row 4 of the part train, "
        "row 8 of the part train."
    )
    assert {"row 4", "row 8"} < {*d.load_rows(tmp_path / "b", need=()).image_id}


@pytest.mark.parametrize("empty", [None, "", float("nan")])
def test_blank_labels_are_listed(tmp_path, empty):
    rows = [row | {"dx": LABELS.index(row["dx"]) + 0.5} for row in made_rows(2, 1)]
    if not isinstance(empty, float):
        rows = made_rows(2, 1)
    rows[2]["dx"] = empty
    named = f"in 1 of 14 rows: {rows[2]['image_id']} .row 3 of the part train"
    with pytest.raises(d.DatasetError, match=named):
        d.load_rows(write_dataset(tmp_path, rows))


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


def test_all_broken_pictures_are_listed_by_their_files(tmp_path):
    base = class_folders(tmp_path / "set", {name: "nv" for name in "abcdefghijklm"})
    for name in "abcdefghijk":
        for i in range(2):
            (base / name / f"{i}.png").write_bytes(b"no picture")
    loaded = d.load_rows(base, "label", need=())
    (base / "l" / "0.png").unlink()
    with pytest.raises(d.DatasetError) as error:
        d.decode(loaded, np.arange(26), 12, 16, tmp_path / "cache")
    first, *lines = str(error.value).splitlines()
    assert first == f"23 of 26 pictures of {base} cannot be read:"
    assert len(lines) == 21 and lines[-1] == "  ... (23 in all)"
    assert lines[3].startswith("  b/1.png: The file is not a picture")
    with pytest.raises(d.DatasetError) as error:
        d.decode(loaded, np.arange(20, 26), 12, 16, tmp_path / "cache")
    assert str(error.value).splitlines()[-1] == "  l/0.png: No such file or directory."
    assert list((tmp_path / "cache").iterdir()) == []


def test_broken_pictures_of_a_table_are_listed_by_their_rows(tmp_path):
    rows = made_rows(2, 1)
    rows[4]["image"] = {"bytes": b"no picture", "path": "x.jpg"}
    rows[6]["image"] = None
    loaded = d.load_rows(write_dataset(tmp_path / "set", rows))
    with pytest.raises(d.DatasetError) as error:
        d.decode(loaded, np.arange(14), 12, 16, tmp_path / "cache")
    text = str(error.value)
    assert text.startswith(f"2 of 14 pictures of {tmp_path / 'set'} cannot be read:\n")
    assert f"  {rows[4]['image_id']} (row 5 of the part train): " in text
    assert f"  {rows[6]['image_id']} (row 7 of the part train): the picture is missing." in text


def test_image_of_the_split_missing_from_the_set(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    with pytest.raises(d.DatasetError, match="ISIC_nothing"):
        d.load_rows(tmp_path / "copy").find(["ISIC_nothing"])
