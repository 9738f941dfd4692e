"""The seven diagnoses of HAM10000: codes, order, names and spellings.

Codes and meaning: Tschandl, Rosendahl and Kittler, Scientific Data 5, 180161 (2018).
"""

import re

DIAGNOSES = {
    "akiec": "Actinic keratosis or Bowen's disease",
    "bcc": "Basal cell carcinoma",
    "bkl": "Benign keratosis",
    "df": "Dermatofibroma",
    "mel": "Melanoma",
    "nv": "Melanocytic nevus",
    "vasc": "Vascular lesion",
}
LABELS = list(DIAGNOSES)

# Malignant, or an in-situ stage: a doctor should look at these soon.
SUSPICIOUS = ["akiec", "bcc", "mel"]

# The two labels of train.py --task binary.
BINARY = ["benign", "malignant"]

# The spellings of the Hub's marmal88/skin_cancer, after `_key`.
_LONG_NAMES = {
    "actinic_keratoses": "akiec",
    "basal_cell_carcinoma": "bcc",
    "benign_keratosis_like_lesions": "bkl",
    "dermatofibroma": "df",
    "melanocytic_nevi": "nv",
    "melanoma": "mel",
    "vascular_lesions": "vasc",
}


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.strip().lower())


def to_code(dx: str) -> str:
    """The code of a `dx` value, which is a code or a long name in any case.

    Raises ValueError if it is neither.
    """
    key = _key(str(dx))
    code = key if key in DIAGNOSES else _LONG_NAMES.get(key)
    if code is None:
        raise ValueError(
            f"unknown diagnosis {dx!r}; known are {', '.join(LABELS)} "
            f"and {', '.join(sorted(_LONG_NAMES))}"
        )
    return code


def suspicious_of(labels: list[str]) -> list[str]:
    """The labels that a doctor should see soon; none if they are not diagnoses."""
    known = {tuple(LABELS): SUSPICIOUS, tuple(BINARY): ["malignant"]}
    return known.get(tuple(labels), [])


def display_name(label: str) -> str:
    """`Melanoma (mel)`; any label that is not a diagnosis stays as it is."""
    return f"{DIAGNOSES[label]} ({label})" if label in DIAGNOSES else label
