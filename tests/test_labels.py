import pytest

from model.labels import LABELS, display_name, to_code


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


def test_unknown_diagnosis_is_named():
    with pytest.raises(ValueError, match="'scc'"):
        to_code("scc")


def test_display_name():
    assert display_name("mel") == "Melanoma (mel)"
    assert display_name("n04254777") == "n04254777"
