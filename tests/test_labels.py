import pytest

from model.labels import DIAGNOSES, LABELS, display_name, find_label, to_code


def test_codes_and_names_of_the_public_copy_give_the_seven_codes():
    names = [
        "actinic_keratoses",
        "basal_cell_carcinoma",
        "benign_keratosis-like_lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic_Nevi",
        "vascular_lesions",
    ]
    assert [to_code(name) for name in names] == LABELS
    assert [to_code(code.upper()) for code in LABELS] == LABELS


@pytest.mark.parametrize(
    "names",
    [
        "AK BCC BKL DF MEL NV VASC",
        "ACK BCC SEK df Mel NEV vasc",
        "Actinic Keratosis, Basal-cell carcinomas, Seborrheic keratoses, Dermatofibromas, "
        "Melanomas, Melanocytic naevi, Vascular lesion",
        "Bowen's disease, basal_cell_carcinoma, solar lentigines, Dermatofibroma, "
        "Melanoma in situ, naevus, VascularLesions",
        "Solar or actinic keratosis, Basal cell carcinoma, Pigmented benign keratosis, "
        "Dermatofibroma, Melanoma NOS, Nevus, Benign soft tissue proliferations - Vascular",
        ", ".join(DIAGNOSES.values()),
    ],
)
def test_names_of_other_sets_give_the_seven_codes(names):
    assert [to_code(name) for name in names.split(", " if "," in names else " ")] == LABELS


@pytest.mark.parametrize(
    "name", ["scc", "squamous cell carcinoma", "benign", "malignant", "unk", "lentigo", "", "n0244"]
)
def test_other_names_are_none_of_the_seven(name):
    with pytest.raises(ValueError, match="unknown diagnosis"):
        to_code(name)


def test_a_value_names_the_label_of_a_model_that_means_the_same():
    assert find_label("melanoma", LABELS) == "mel"
    assert find_label("mel", ["MEL", "Nevus", "SCC"]) == "MEL"
    assert find_label("Melanoma", ["melanoma", "Melanoma"]) == "Melanoma"
    assert find_label("scc", ["MEL", "Nevus", "SCC"]) is None
    assert find_label("melanoma", ["benign", "malignant"]) is None


def test_unknown_diagnosis_is_named():
    with pytest.raises(ValueError, match="'scc'"):
        to_code("scc")


def test_display_name():
    assert display_name("mel") == "Melanoma (mel)"
    assert display_name("n04254777") == "n04254777"
