"""What the browser's code knows about the page: words, labels, limits and figures."""

from model import cam, lens, quality
from model.page import answer
from model.page.texts import GRADIO, TEXTS
from model.preprocessing import MAX_BYTES, MAX_PIXELS


def settings(classifier, model: dict, language: str) -> dict:
    """The page in one language, JSON-serialisable. `model` is the entry "model" of /analyze's
    answer."""
    return {
        "language": language,
        "words": TEXTS[language],
        "gradio": GRADIO.get(language),
        "model": model,
        "most_bytes": MAX_BYTES,
        "most_pixels": MAX_PIXELS,
        **answer.view(classifier, language),
        "private": private(classifier),
    }


def private(classifier) -> dict:
    """What the browser needs in order to classify as the server does."""
    return {
        "labels": classifier.labels,
        "input": {"height": classifier.height, "width": classifier.width},
        "familiar": classifier.config.get("familiarity", {}).get("threshold"),
        "most_pixels": MAX_PIXELS,
        "quality": constants(
            quality,
            "HEIGHT WIDTH CODES REFUSED SMALLEST UNIFORM DARK LIT WHITE BURNT SHARP FINE LONG",
        ),
        "lens": constants(
            lens, "SIDE BLACK POINTS NEAR MATCH MIXED SQUEEZED ASIDE LEAST MOST REACH LONGEST"
        ),
        "longest": cam.LONGEST,
    }


def constants(module, names: str) -> dict:
    """{name in lower case: value} of a module's constants."""
    return {name.lower(): getattr(module, name) for name in names.split()}
