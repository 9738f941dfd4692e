import ast
import re
import string
from pathlib import Path

import pytest

import model.page.batch
import model.preprocessing
from model.labels import DIAGNOSES, display_name
from model.page.texts import TEXTS, language_of, name, number, probability, text, translated


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
    "header, language",
    [
        ("id-ID,id;q=0.9,en-US;q=0.8", "id"),
        ("id", "id"),
        ("ID", "id"),
        ("en-US,id;q=0.5", "en"),
        ("fr-FR,id;q=0.8", "en"),
        ("", "en"),
        (None, "en"),
        ("*", "en"),
        (";;,,--", "en"),
    ],
)
def test_language_is_the_first_choice_of_the_browser(header, language):
    assert language_of(header) == language


def test_figures_are_written_as_each_language_writes_them():
    assert number(10015, "en") == "10,015" and number(10015, "id") == "10.015"
    assert number(1234.5, "id", 1) == "1.234,5"
    assert probability(0.4321, "en") == "43%"
    assert probability(0.9999, "en") == "over 99%" and probability(0.001, "id") == "kurang dari 1%"


def raised(module) -> set[str]:
    """An instance of each sentence that a module raises as an error or puts in a row's error."""
    found = set()
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = getattr(node.func, "id", "")
        values = node.args if called in ("PictureError", "BatchError") else []
        values = [*values, *(k.value for k in node.keywords if k.arg == "error")]
        for value in values:
            if isinstance(value, ast.Constant) and value.value:
                found.add(value.value)
            elif isinstance(value, ast.JoinedStr):
                parts = [getattr(part, "value", "") for part in value.values]
                found.add("".join(p if isinstance(p, str) else "17" for p in parts))
            elif isinstance(value, ast.Name) and value.id.isupper():
                found.add(getattr(module, value.id))
    constants = (getattr(module, key) for key in dir(module) if key.isupper())
    return found | {c for c in constants if isinstance(c, str) and re.search(r"\w\. \w", c)}


@pytest.mark.parametrize("module", [model.preprocessing, model.page.batch])
def test_every_error_sentence_has_its_translation(module):
    sentences = raised(module)
    assert len(sentences) > 2
    missing = {sentence for sentence in sentences if translated(sentence, "id") == sentence}
    # "There is no file ..." is for the command line: the page sends files that are there.
    assert {s for s in missing if not re.match(r"There is no file|17 is a folder", s)} == set()
    assert all(translated(sentence, "en") == sentence for sentence in sentences)


def test_translation_keeps_what_the_sentence_names():
    sentence = "The picture is too large: 70000 x 60000 pixels. Send one of at most 100 megapixels."
    assert "70000 x 60000 piksel" in translated(sentence, "id")
    assert translated("Something unheard of.", "id") == "Something unheard of."
    assert text("id", "time", milliseconds="41") == "Dihitung dalam 41 ms."
