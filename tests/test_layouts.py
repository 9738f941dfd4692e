"""Data sets as their publishers hand them out: pictures in folders beside a CSV."""

import numpy as np
import pytest
from made import drawing, made_rows, write_dataset

from model.data import dataset as d
from model.data.split import split_rows
from model.labels import LABELS

KNOWN = (
    "A CSV beside pictures needs image_id and dx (HAM10000); isic_id and diagnosis (ISIC archive); "
    "img_id and diagnostic (PAD-UFES-20); image and MEL, NV, BCC, AKIEC, AK, BKL, DF, VASC, SCC, "
    "UNK (ISIC 2018 or 2019); or, named metadata.csv, file_name and a column of labels."
)


def pictures(folder, names, ending="jpg"):
    """One drawn picture for each name, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        drawing("nv", i, (24, 18)).save(folder / f"{name}.{ending}")


def write_csv(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")


def one_line(text):
    return " ".join(text.split())


@pytest.fixture
def kaggle(tmp_path):
    """HAM10000 as it is on Kaggle: two folders, each there twice, and tables of pixels."""
    rows = made_rows(20)
    base = tmp_path / "kaggle"
    for i, row in enumerate(rows):
        for name in ("HAM10000_images_part_", "ham10000_images_part_"):
            folder = base / f"{name}{1 + i % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{row['image_id']}.jpg").write_bytes(row["image"]["bytes"])
    columns = "lesion_id,image_id,dx,dx_type,age,sex,localization".split(",")
    lines = [",".join(str(row[column]) for column in columns) for row in rows[::-1]]
    write_csv(base / "HAM10000_metadata.csv", "\n".join([",".join(columns), *lines]))
    write_csv(base / "hmnist_8_8_L.csv", "pixel0000,pixel0001,label\n1,2,3")
    return base


def test_ham10000_of_kaggle_is_the_same_set(kaggle, made, capsys):
    ours, theirs = d.load_rows(made), d.load_rows(kaggle, need=("image_id", "lesion_id"))
    assert theirs.labels == LABELS
    for key in ("image_id", "lesion_id", "dx"):
        assert (getattr(ours, key) == getattr(theirs, key)).all()
    for key in ("age", "sex", "localization", "dx_type"):
        assert (ours.metadata[key] == theirs.metadata[key]).all()
    assert all(ours.encoded(i) == theirs.encoded(i) for i in range(len(ours)))
    for part, rows in split_rows(ours).items():
        assert (split_rows(theirs)[part] == rows).all()
    shown = f"{kaggle}: 140 rows of HAM10000_metadata.csv, the layout of HAM10000\n"
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("column", ["dx", "label"])
def test_parts_of_a_set_are_no_classes(kaggle, column):
    (kaggle / "HAM10000_metadata.csv").unlink()
    parts = [f"{name}_images_part_{i}" for name in ("HAM10000", "ham10000") for i in (1, 2)]
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(kaggle, column)
    assert str(error.value) == (
        f"{kaggle}: the folders {', '.join(parts)} are parts of a set and not diagnoses. Put the "
        "CSV with the diagnoses beside them (for HAM10000, HAM10000_metadata.csv). "
        f"hmnist_8_8_L.csv has the columns pixel0000, pixel0001, label. {KNOWN}"
    )
    assert len(d.load_rows(kaggle, None)) == 280  # as pictures alone they are welcome


def test_rows_without_picture_and_pictures_without_row(kaggle, capsys):
    ids = sorted(row["image_id"] for row in made_rows(20))
    for name in ("HAM10000", "ham10000"):
        for i in (1, 2):
            for image_id in ids[:30]:
                (kaggle / f"{name}_images_part_{i}" / f"{image_id}.jpg").unlink(missing_ok=True)
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(kaggle)
    message = str(error.value)
    assert message.startswith(
        "30 of the 140 pictures that HAM10000_metadata.csv lists are not in "
    ) and message.endswith("... (30 in all). Add them, or remove their rows.")
    assert all((image_id in message) == (image_id in message.split(": ")[1]) for image_id in ids)
    assert sum(image_id in message for image_id in ids) == 20
    path = kaggle / "HAM10000_metadata.csv"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if not any(image_id in line for image_id in ids[:35])]
    path.write_text("\n".join(kept))
    assert len(d.load_rows(kaggle)) == 105
    out = capsys.readouterr().out
    assert "5 pictures have no row in HAM10000_metadata.csv and are left out" in out


def test_two_pictures_of_one_name_are_refused(kaggle):
    path = next((kaggle / "ham10000_images_part_1").iterdir())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(d.DatasetError, match=f"{path} differ and have one name: remove one"):
        d.load_rows(kaggle)


def test_isic_2018_has_its_lesions_in_a_file_of_their_own(tmp_path):
    base = tmp_path / "ISIC2018"
    pictures(base / "ISIC2018_Task3_Training_Input", ["ISIC_1", "ISIC_2", "ISIC_3"])
    name = "ISIC2018_Task3_Training_"
    write_csv(
        base / f"{name}GroundTruth" / f"{name}GroundTruth.csv",
        """image,MEL,NV,BCC,AKIEC,BKL,DF,VASC
        ISIC_3,0.0,0.0,0.0,1.0,0.0,0.0,0.0
        ISIC_1,0.0,1.0,0.0,0.0,0.0,0.0,0.0
        ISIC_2,1.0,0.0,0.0,0.0,0.0,0.0,0.0""",
    )
    write_csv(
        base / f"{name}LesionGroupings.csv",
        """image,lesion_id,diagnosis_confirm_type
        ISIC_1,HAM_7,histopathology
        ISIC_2,HAM_7,serial imaging
        ISIC_3,HAM_8,histopathology
        ISIC_4,HAM_9,histopathology""",
    )
    rows = d.load_rows(base, need=("image_id", "lesion_id"))
    assert rows.image_id.tolist() == ["ISIC_1", "ISIC_2", "ISIC_3"]
    assert rows.dx.tolist() == ["nv", "mel", "akiec"] and rows.labels == LABELS
    assert rows.lesion_id.tolist() == ["HAM_7", "HAM_7", "HAM_8"]
    assert rows.metadata["dx_type"][1] == "serial imaging"
    assert d.decode(rows, np.arange(3), 12, 16, tmp_path / "cache").shape == (3, 12, 16, 3)


def test_isic_2019_has_a_label_more(tmp_path):
    base = tmp_path / "ISIC_2019"
    names = [f"ISIC_{i}_downsampled" for i in range(4)]
    pictures(base / "ISIC_2019_Training_Input", names, "JPG")
    ground_truth = base / "ISIC_2019_Training_GroundTruth.csv"
    heading = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
    cells = ["0,0,0,1,0,0,0,0,0", "1,0,0,0,0,0,0,0,0", "0,0,0,0,1,0,0,0,0", "0,0,0,0,0,0,0,1,0"]
    lines = [f"{name},{ones}" for name, ones in zip(names, cells)]
    write_csv(ground_truth, "\n".join([heading, *lines]))
    write_csv(
        base / "ISIC_2019_Training_Metadata.csv",
        f"""image,age_approx,anatom_site_general,lesion_id,sex
        {names[0]},55.0,anterior torso,,female
        {names[1]},,,BCN_1,
        {names[2]},40,upper extremity,BCN_1,male""",
    )
    with pytest.raises(d.DatasetError, match=r"'SCC' \(1, first ISIC_3_downsampled \(row 4\)\)"):
        d.load_rows(base)
    eight = d.load_rows(base, "label")  # all labels as they are
    assert eight.dx.tolist() == ["AK", "MEL", "BKL", "SCC"]
    write_csv(ground_truth, "\n".join([heading, *lines[:3]]))
    rows = d.load_rows(base)
    assert rows.dx.tolist() == ["akiec", "mel", "bkl"]
    assert rows.lesion_id.tolist() == [f"of image {names[0]}", "BCN_1", "BCN_1"]
    assert rows.metadata["age"].tolist()[::2] == [55, 40] and np.isnan(rows.metadata["age"][1])
    assert rows.metadata["sex"].tolist() == ["female", "unknown", "male"]
    sites = ["anterior torso", "unknown", "upper extremity"]
    assert rows.metadata["localization"].tolist() == sites
    write_csv(ground_truth, f"{heading}\n{lines[0]}\n{names[1]},1,0,0,0,1,0,0,0,0\n{names[2]},0")
    with pytest.raises(d.DatasetError, match="has not exactly one 1 in row 2, 3"):
        d.load_rows(base)


def test_isic_archive(tmp_path):
    pictures(tmp_path, ["ISIC_1", "ISIC_2"], "JPG")
    pictures(tmp_path / "more", ["ISIC_3", "ISIC_4"])
    write_csv(
        tmp_path / "metadata.csv",
        """isic_id,attribution,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_4,lesion_id
        ISIC_1,"Vienna, Austria",Benign,,Nevus,"Nevus, Spitz",IL_1
        ISIC_2,,Malignant,,"Melanoma, NOS",,IL_2
        ISIC_3,,Benign,Benign soft tissue proliferations - Vascular,,,IL_3
        ISIC_4,,Malignant,,Squamous cell carcinoma in situ,,IL_3""",
    )
    rows = d.load_rows(tmp_path, need=("image_id", "lesion_id"))
    assert rows.dx.tolist() == ["nv", "mel", "vasc", "akiec"]
    assert rows.lesion_id.tolist() == ["IL_1", "IL_2", "IL_3", "IL_3"]
    assert "localization" not in rows.metadata
    other = d.load_rows(tmp_path, "diagnosis_1")
    assert other.labels == ["Benign", "Malignant"]
    write_csv(
        tmp_path / "metadata.csv",
        """isic_id,benign_malignant,diagnosis
        ISIC_1,benign,seborrheic keratosis
        ISIC_2,,""",
    )
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} has no value in column 'dx' in 1 of 2 rows: ISIC_2 (row 2)."
    )


@pytest.mark.parametrize("site", ["anatom_site_general", "anatom_site_1"])
def test_body_sites_of_the_isic_archive_have_two_names(tmp_path, site):
    pictures(tmp_path, ["ISIC_1", "ISIC_2"])
    rows = "ISIC_1,Nevus,head/neck,IV\nISIC_2,Nevus,,"
    write_csv(tmp_path / "m.csv", f"isic_id,diagnosis,{site},fitzpatrick_skin_type\n{rows}")
    metadata = d.load_rows(tmp_path, keep=["fitzpatrick_skin_type", site]).metadata
    assert metadata["localization"].tolist() == ["head/neck", "unknown"]
    assert metadata["fitzpatrick_skin_type"].tolist() == ["IV", None]
    assert metadata[site].tolist() == ["head/neck", None]


def test_pad_ufes_20(tmp_path):
    names = ["PAT_8_15_820", "PAT_9_16_1", "PAT_9_16_2"]
    for part, name in enumerate(names, start=1):
        pictures(tmp_path / "images" / f"imgs_part_{part}", [name], "png")
    write_csv(
        tmp_path / "metadata.csv",
        """patient_id,lesion_id,age,gender,region,diagnostic,img_id,biopsed
        PAT_8,15,55,FEMALE,NECK,NEV,PAT_8_15_820.png,False
        PAT_9,16,79,,FACE,ACK,PAT_9_16_1.png,True
        PAT_9,16,79,,FACE,SEK,PAT_9_16_2.png,True""",
    )
    rows = d.load_rows(tmp_path, need=("image_id", "lesion_id"))
    assert rows.image_id.tolist() == names and rows.dx.tolist() == ["nv", "akiec", "bkl"]
    assert rows.lesion_id.tolist() == ["15", "16", "16"]
    assert rows.metadata["sex"].tolist() == ["FEMALE", "unknown", "unknown"]
    assert rows.metadata["localization"].tolist() == ["NECK", "FACE", "FACE"]
    kept = d.load_rows(tmp_path, keep=["biopsed", "region"]).metadata
    assert kept["biopsed"].tolist() == ["False", "True", "True"]
    assert kept["region"].tolist() == ["NECK", "FACE", "FACE"]


def test_a_csv_that_fits_nothing_is_named_with_its_columns(tmp_path):
    pictures(tmp_path, ["a", "b"])
    write_csv(tmp_path / "labels.csv", "filename,diagnosis\na,nevus\nb,melanoma")
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(tmp_path)
    assert str(error.value) == one_line(
        f"""{tmp_path} has no column 'dx'; its columns are image, image_id. Name the column that
        holds the labels with --label-column. Pictures in folders take the folders' names as labels,
        in a column 'label', if there are two or more such folders. labels.csv has the columns
        filename, diagnosis. {KNOWN}"""
    )
    (tmp_path / "labels.csv").rename(tmp_path / "metadata.csv")
    with pytest.raises(d.DatasetError, match="metadata.csv has the columns filename, diagnosis. A"):
        d.load_rows(tmp_path)


def test_a_csv_of_pixels_alone_is_named_with_its_columns(tmp_path):
    heading = ",".join(f"pixel{i:04d}" for i in range(192))
    write_csv(tmp_path / "hmnist.csv", f"{heading}\n{','.join(192 * '1')}")
    with pytest.raises(d.DatasetError, match=r"pixel0019, ... \(192 in all\). A CSV beside"):
        d.load_rows(tmp_path)


def test_metadata_of_the_library_and_parquet_are_read_as_before(tmp_path):
    pictures(tmp_path / "a", ["x", "y"])
    write_csv(tmp_path / "a" / "metadata.csv", "file_name,image_id,dx\nx.jpg,I_1,nv\ny.jpg,I_2,mel")
    rows = d.load_rows(tmp_path / "a")
    assert rows.image_id.tolist() == ["I_1", "I_2"] and rows.dx.tolist() == ["nv", "mel"]
    write_dataset(tmp_path / "b", made_rows(2, 1))
    write_csv(tmp_path / "b" / "images.csv", "image_id,dx\nISIC_1,nv")
    assert len(d.load_rows(tmp_path / "b")) == 14


def test_folder_without_pictures(tmp_path):
    for name in ("README.md", "b.md", "notes.txt"):
        (tmp_path / name).write_text("text")
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(tmp_path)
    assert str(error.value) == f"{tmp_path} holds no pictures, CSV or Parquet files."
    pictures(tmp_path, ["example"])
    with pytest.raises(d.DatasetError) as error:
        d.load_rows(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} holds more of other files than of pictures, CSV or Parquet: 2 .md, 1 .jpg, "
        "1 .txt."
    )
    with pytest.raises(d.DatasetError, match="is a file: name the folder that holds it"):
        d.load_rows(tmp_path / "README.md")
