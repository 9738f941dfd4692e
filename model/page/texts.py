"""What the page says, in English and Bahasa Indonesia: texts.json, read by the browser version too.

text("id", "time", milliseconds=41)      "Dihitung dalam 41 ms."
"""

import json
import re
from functools import cache
from pathlib import Path

TEXTS: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("texts.json").read_text(encoding="utf-8")
)
ENGLISH = "en"


def text(language: str, key: str, **values) -> str:
    """The text `key`, with `values` at its {places}."""
    return TEXTS[language][key].format(**values)


def name(language: str, label: str) -> str:
    """A diagnosis as the page names it: `Melanoma (mel)`; any other label as it is."""
    known = TEXTS[language].get(f"name_{label}", label)
    return known if known.lower() == label.lower() else f"{known} ({label})"


def language_of(accept: str | None) -> str:
    """The page's language for an Accept-Language header. Like the browser's side of Gradio it goes
    by the first choice only, so that the answer is in the language of the page around it."""
    first = (accept or "").split(",")[0].split(";")[0].split("-")[0].strip().lower()
    return first if first in TEXTS else ENGLISH


def number(value: float, language: str, digits: int = 0) -> str:
    """12,345.6, or in Bahasa Indonesia 12.345,6."""
    written = f"{value:,.{digits}f}"
    return written.translate(str.maketrans(",.", ".,")) if language == "id" else written


def percent(share: float, language: str, digits: int = 0) -> str:
    return number(100 * share, language, digits) + "%"


def probability(p: float, language: str, digits: int = 0) -> str:
    """A probability without more certainty than a model has: never 0 % nor 100 %."""
    if p > 0.99:
        return text(language, "over_99")
    return text(language, "under_1") if p < 0.01 else percent(p, language, digits)


@cache
def _sentences() -> list[tuple[re.Pattern, str]]:
    found = []
    for key, english in TEXTS[ENGLISH].items():
        if key.startswith("error_"):
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.*)", re.escape(english))
            found.append((re.compile(pattern, re.DOTALL), key))
    return found


def translated(sentence: str, language: str) -> str:
    """A sentence that this package raises as an error, in `language`; an unknown one as it is."""
    if language != ENGLISH:
        for pattern, key in _sentences():
            if match := pattern.fullmatch(sentence):
                return text(language, key, **match.groupdict())
    return sentence
