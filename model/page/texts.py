"""What the page says, in English and Bahasa Indonesia: texts.json, and gradio.json for Gradio's
own words.

text("id", "lead_other", n=12)    # "Memberi probabilitas 12 label untuk sebuah gambar."
"""

import json
from pathlib import Path
from urllib.parse import urlsplit

TEXTS: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("texts.json").read_text(encoding="utf-8")
)
ENGLISH = "en"
GRADIO: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("gradio.json").read_text(encoding="utf-8")
)
# The languages that Gradio knows.
_OTHERS = """ar ca ckb de es et eu fa fi fr he hi id ja ko lt nb nl pl pt pt-BR ro ru sv ta th tr uk
ur uz zh-CN zh-TW""".split()


def gradio_words() -> dict[str, dict[str, str]]:
    """Gradio's own words for `gr.I18n`: English, whatever the browser's language, since the page
    around them is. browser/gradio.js translates them for a page in another language."""
    return dict.fromkeys([ENGLISH, *_OTHERS], GRADIO["english"])


def text(language: str, key: str, **values) -> str:
    """The text `key`, with `values` in its {places}."""
    return TEXTS[language][key].format(**values)


def sentence(error, language: str) -> str:
    """What a PictureError or BatchError says, in `language`."""
    return text(language, f"error_{error.code}", **error.values)


def name(language: str, label: str) -> str:
    """A diagnosis as the page names it, such as `Melanoma (mel)`; any other label as it is."""
    known = TEXTS[language].get(f"name_{label}", label)
    return known if known.lower() == label.lower() else f"{known} ({label})"


def language_of(address: str | None) -> str:
    """The language of the page at an address, such as that of a request's Referer."""
    place = urlsplit(address or "").path.rstrip("/").rpartition("/")[2]
    return place if place in TEXTS else ENGLISH


def listed(words: list[str], language: str) -> str:
    """["a", "b", "c"] as "a, b and c"."""
    *others, last = words
    return f"{', '.join(others)} {text(language, 'and')} {last}" if others else last


def number(value: float, language: str, digits: int = 0) -> str:
    """12,345.6, or in Bahasa Indonesia 12.345,6."""
    written = f"{value:,.{digits}f}"
    return written.translate(str.maketrans(",.", ".,")) if language == "id" else written


def percent(share: float, language: str, digits: int = 0) -> str:
    """0.432 as 43%."""
    return number(100 * share, language, digits) + "%"


def probability(p: float, language: str, digits: int = 0) -> str:
    """`percent`, but never 0 % or 100 %: no model is that certain."""
    if p > 0.99:
        return text(language, "over_99")
    return text(language, "under_1") if p < 0.01 else percent(p, language, digits)


def distinct(score: float, threshold: float, language: str) -> tuple[str, str]:
    """Both as a `probability`, with as many digits as it takes to tell them apart, up to three."""
    for digits in range(4):
        pair = tuple(probability(value, language, digits) for value in (score, threshold))
        if pair[0] != pair[1]:
            break
    return pair
