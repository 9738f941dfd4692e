"""Predictions in words: the page's HTML, and the JSON for programs.

The HTML is escaped.
"""

import base64
import hashlib
import io
from html import escape
from pathlib import Path

from model.cam import COLOURS, HALF, shown
from model.folder import SUMS
from model.labels import BINARY, LABELS, display_name
from model.page import about, batch, sets
from model.page.texts import TEXTS, name, number, text
from model.sets import LEVEL
from model.warning import suspicious


def revision(classifier) -> str:
    """The commit of a model from the Hub. For any other, `sha256:` and the start of the digest of
    SHA256SUMS, which changes with any file of the folder."""
    folder = classifier.folder
    if folder.parent.name == "snapshots":
        return folder.name
    return "sha256:" + hashlib.sha256((folder / SUMS).read_bytes()).hexdigest()[:12]


def identity(classifier, named: str) -> dict[str, str]:
    """{id, revision} of a model, where `named` is its name as the user gave it."""
    hub = named.count("/") == 1 and not Path(named).is_dir()
    own = classifier.folder.resolve().name
    return {"id": named.partition("@")[0] if hub else own, "revision": revision(classifier)}


def as_json(prediction, classifier, model: dict) -> dict:
    """What /analyze answers, for a Prediction or a BatchRow. `model` is what `identity` returns.
    Keys are stable; new keys may be added."""
    found = _found(prediction, classifier)
    return {
        "model": model,
        "codes": list(prediction.probabilities),
        "labels": {label: display_name(label) for label in prediction.probabilities},
        **found,
        "set": found["sets"] and found["sets"][str(LEVEL)],
        "notices": [{"code": n, "text": text("en", f"notice_{n}")} for n in prediction.notices],
    }


def _found(prediction, classifier) -> dict:
    return {
        "probabilities": prediction.probabilities,
        "suspicious": suspicious(prediction, classifier.config),
        "sets": sets.sets_of(prediction.probabilities, classifier.config),
        "confident": prediction.confident,
        "milliseconds": round(prediction.milliseconds, 1),
    }


def for_page(prediction, classifier) -> dict:
    """What answer.js shows."""
    found = classifier.map(prediction)
    strengths = found.strengths
    buffer = io.BytesIO()
    shown(prediction.picture).save(buffer, "JPEG", quality=90)
    return {
        **_found(prediction, classifier),
        "notices": prediction.notices,
        "evidence": {
            "height": strengths.shape[0],
            "width": strengths.shape[1],
            "extent": found.extent,
            "maps": {
                label: [round(float(value), 3) for value in strengths[..., place].flat]
                for place, label in enumerate(prediction.probabilities)
            },
        },
        "picture": "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(),
    }


def view(classifier, language: str) -> dict:
    """What answer.js needs besides the answer."""
    calibration = classifier.config.get("calibration") or {}
    return {
        "labels": classifier.labels,
        "names": {label: name(language, label) for label in classifier.labels},
        "suspicious": {
            "labels": calibration.get("suspicious"),
            "threshold": calibration.get("threshold"),
            "points": calibration.get("points"),
        },
        "sets": sets.view(classifier, language),
        "rates": about.rates(classifier, language),
        "look": {"colours": COLOURS, "half": HALF},
    }


def diagnosis(label: str, language: str) -> str:
    """HTML: what a diagnosis is and how it is usually handled; "" for any other label."""
    if label not in LABELS + BINARY:
        return ""
    t = {
        key: escape(text(language, f"{key}_{label}")) for key in ("what", "handling", "source")
    } | {f"_{key}": escape(text(language, key)) for key in ("what", "handling", "source")}
    return (
        f"<h3>{escape(name(language, label))}</h3>"
        f"<p><b>{t['_what']}.</b> {t['what']} <b>{t['_handling']}.</b> {t['handling']}</p>"
        f'<p class="small">{t["_source"]}: {t["source"]}</p>'
    )


def glossary(labels: list[str], language: str) -> str:
    """HTML: every diagnosis, and the source of the seven classes."""
    entries = "".join(diagnosis(label, language) for label in labels)
    if labels != LABELS:
        return entries
    return f'{entries}<p class="small">{escape(text(language, "source_classes"))}</p>'


def lead(labels: list[str], language: str) -> str:
    """A sentence on what the page is for."""
    known = {tuple(LABELS): "lead", tuple(BINARY): "lead_binary"}
    key = known.get(tuple(labels), "lead_other")
    return text(language, key, n=number(len(labels), language))


def html(classifier, language: str) -> dict[str, str]:
    """The page's fixed parts as HTML, by name."""
    t = {key: escape(value, quote=False) for key, value in TEXTS[language].items()}
    notice = classifier.notice and escape(t["kept_copy"] or classifier.notice)
    bounds = {
        "pictures": batch.MAX_PICTURES,
        "megabytes": batch.MAX_BYTES // 1_000_000,
        "picture_megabytes": batch.MAX_PICTURE_BYTES // 1_000_000,
    }
    many = [text(language, "batch_hint", **bounds)]
    if sets.view(classifier, language):
        many.append(text(language, "batch_sets"))
    introduction = escape(lead(classifier.labels, language))
    return {
        "title": f"<h1>{t['title']}</h1><p class='lead'>{introduction}</p>",
        "no_diagnosis": f"<strong>{t['no_diagnosis']}</strong> {notice}",
        "batch_hint": escape(" ".join(many)),
        "batch_empty": f"<div class='empty'>{t['batch_empty']}</div>",
        "glossary": glossary(classifier.labels, language),
        "about": about.html(classifier, language),
    }
