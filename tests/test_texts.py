import re
import string
from pathlib import Path

import pytest

from model.labels import DIAGNOSES, display_name
from model.page import batch
from model.page.texts import TEXTS, language_of, listed, name, number, probability, sentence, text
from model.preprocessing import SENTENCES, PictureError


def places(words: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(words) if field is not None}


def test_both_languages_have_the_same_texts_with_the_same_places():
    english, other = TEXTS["en"], TEXTS["id"]
    assert set(TEXTS) == {"en", "id"} and list(english) == list(other)
    for key in english:
        assert places(english[key]) == places(other[key]), key
    # What is the same in both: names, numbers, and empty.
    same = {key for key in english if english[key] == other[key]} - {"kept_copy"}
    assert same == {"name_df", "name_mel"}, same


def test_english_names_are_the_labels_of_the_endpoint():
    for label in DIAGNOSES:
        assert name("en", label) == display_name(label)
    assert name("id", "cat") == "cat"
    assert name("id", "vasc") == "Lesi vaskular (vasc)"


@pytest.mark.parametrize(
    "address, language",
    [
        ("http://127.0.0.1:7860/id", "id"),
        ("https://user-name.hf.space/id?__theme=dark", "id"),
        ("http://example.org/lesions/id/", "id"),
        ("http://127.0.0.1:7860/", "en"),
        ("http://127.0.0.1:7860/fr", "en"),
        ("", "en"),
        (None, "en"),
        ("::", "en"),
    ],
)
def test_language_is_that_of_the_page_at_an_address(address, language):
    assert language_of(address) == language


def test_figures_are_written_as_each_language_writes_them():
    assert number(10015, "en") == "10,015" and number(10015, "id") == "10.015"
    assert number(1234.5, "id", 1) == "1.234,5"
    assert probability(0.4321, "en") == "43%"
    assert probability(0.9999, "en") == "over 99%" and probability(0.001, "id") == "kurang dari 1%"


def test_words_are_listed_with_an_and_before_the_last():
    assert listed(["a"], "en") == "a" and listed(["a", "b"], "id") == "a dan b"
    assert listed(["a", "b", "c"], "en") == "a, b and c"


def test_every_picture_error_has_its_text():
    for code, english in SENTENCES.items():
        if code in ("missing", "folder"):  # whose paths are for the command line alone
            assert places(TEXTS["en"][f"error_{code}"]) == set()
        else:
            assert TEXTS["en"][f"error_{code}"] == english


def test_every_batch_error_has_its_text():
    codes = re.findall(r'BatchError\(\s*"(\w+)"', Path(batch.__file__).read_text(encoding="utf-8"))
    assert len(codes) >= 10 and {f"error_{code}" for code in codes} <= set(TEXTS["en"])


def test_an_error_is_a_sentence_in_each_language():
    error = PictureError("too_large", width=70000, height=60000, megapixels=100)
    assert str(error) == sentence(error, "en")
    assert str(error).startswith("The picture is too large: 70000 x 60000 pixels. Send one of at")
    assert "70000 x 60000 piksel" in sentence(error, "id")
    error = batch.BatchError("batch_many", pictures=200)
    assert str(error) == sentence(error, "en") and "200 gambar" in sentence(error, "id")
    assert text("id", "lead_other", n=12) == "Memberi probabilitas 12 label untuk sebuah gambar."
