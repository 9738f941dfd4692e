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

# What data sets call the diagnoses besides their codes and DIAGNOSES: HAM10000 and its copies on
# the Hub, ISIC 2019, the ISIC archive, PAD-UFES-20. HAM10000's akiec includes carcinomas in situ,
# its bkl solar lentigines. An invasive squamous cell carcinoma (scc) is none of the seven.
_NAMES = {
    "akiec": [
        "ak",
        "ack",
        "actinic keratosis",
        "solar keratosis",
        "solar or actinic keratosis",
        "actinic keratosis and intraepithelial carcinoma",
        "actinic keratosis and intraepithelial carcinoma / Bowen's disease",
        "intraepithelial carcinoma",
        "Bowen disease",
        "Bowen's disease",
        "squamous cell carcinoma in situ",
    ],
    "bkl": [
        "sek",
        "benign keratosis-like lesion",
        "pigmented benign keratosis",
        "seborrheic keratosis",
        "lichenoid keratosis",
        "lichen planus like keratosis",
        "solar lentigo",
    ],
    "mel": ["melanoma, NOS", "melanoma in situ", "melanoma invasive"],
    "nv": ["nev", "nevus"],
    "vasc": ["benign soft tissue proliferations - vascular"],
}
# Plurals and British spellings, in the order of their replacement.
_SPELLINGS = {
    "naev": "nev",
    "nevi": "nevus",
    "keratoses": "keratosis",
    "lentigines": "lentigo",
    "lesions": "lesion",
    "omas": "oma",
    "seborrhoeic": "seborrheic",
}


def _key(name: str) -> str:
    """`name` in lower case and in one spelling, without spaces, hyphens and the like."""
    key = re.sub(r"[\W_]+", "", name.lower())
    for spelling, ours in _SPELLINGS.items():
        key = key.replace(spelling, ours)
    return key


_CODES = {
    _key(name): code
    for code in DIAGNOSES
    for name in (code, DIAGNOSES[code], *_NAMES.get(code, []))
}


def to_code(dx: str) -> str:
    """The code of a diagnosis: of a code or name in any case, spelt with spaces, hyphens or
    underscores, in the singular or plural. Raises ValueError if it is none of the seven."""
    code = _CODES.get(_key(str(dx)))
    if code is None:
        raise ValueError(f"unknown diagnosis {dx!r}; known are {', '.join(LABELS)} and their names")
    return code


def find_label(value: str, labels: list[str]) -> str | None:
    """The one of `labels` that `value` names: itself, or one with the same code; else None."""
    if value in labels:
        return value
    code = _CODES.get(_key(value))
    return next((label for label in labels if code and _CODES.get(_key(label)) == code), None)


def suspicious_of(labels: list[str]) -> list[str]:
    """The labels that a doctor should see soon; none if they are not diagnoses."""
    known = {tuple(LABELS): SUSPICIOUS, tuple(BINARY): ["malignant"]}
    return known.get(tuple(labels), [])


def display_name(label: str) -> str:
    """`Melanoma (mel)`; any label that is not a diagnosis stays as it is."""
    return f"{DIAGNOSES[label]} ({label})" if label in DIAGNOSES else label
