"""What the browser's code knows about the page: words, labels, limits and figures."""

from model import cam, lens, quality
from model.page import about, answer
from model.page.texts import GRADIO, TEXTS
from model.preprocessing import MAX_BYTES, MAX_PIXELS


def settings(classifier, model: dict, language: str, local: dict) -> dict:
    """The page in one language, JSON-serialisable. `model` is the entry "model" of /analyze's
    answer. `local` has the models that the private tab offers, the default one first: the name of
    the file, as served.py sends it, to (classifier, entry "model")."""
    return {
        "language": language,
        "words": TEXTS[language],
        "gradio": GRADIO.get(language),
        "most_bytes": MAX_BYTES,
        **view(classifier, model, language),
        "private": {
            **RULES,
            "models": [
                {"file": file, "own": one is classifier, **computes(one, entry, language)}
                for file, (one, entry) in local.items()
            ],
        },
    }


def view(classifier, model: dict, language: str) -> dict:
    """What answer.js needs to know about the model of an answer."""
    return {"model": model, **answer.view(classifier, language)}


def computes(classifier, model: dict, language: str) -> dict:
    """What the private tab needs to know about one of its models: "page" replaces the same keys of
    `settings` for answer.js; "tested" has the shares of the suspicious (caught) and of the harmless
    (alarmed) lesions of the test part that the model warned about, or is None if unknown."""
    tested = None
    if point := about.tested_point(classifier):
        caught, cleared = (point[rate]["value"] for rate in ("sensitivity", "specificity"))
        tested = {"caught": caught, "alarmed": 1 - cleared}
    return {
        "page": view(classifier, model, language),
        "tested": tested,
        "input": {"height": classifier.height, "width": classifier.width},
        "familiar": classifier.config.get("familiarity", {}).get("threshold"),
    }


def constants(module, names: str) -> dict:
    """{name in lower case: value} of a module's constants."""
    return {name.lower(): getattr(module, name) for name in names.split()}


# The server's rules about pictures, which the private tab repeats.
RULES = {
    "most_pixels": MAX_PIXELS,
    "quality": constants(
        quality, "HEIGHT WIDTH CODES REFUSED SMALLEST UNIFORM DARK LIT WHITE BURNT SHARP FINE LONG"
    ),
    "lens": constants(
        lens, "SIDE BLACK POINTS NEAR MATCH MIXED SQUEEZED ASIDE LEAST MOST REACH LONGEST"
    ),
    "longest": cam.LONGEST,
    "stride": cam.STRIDE,
}
