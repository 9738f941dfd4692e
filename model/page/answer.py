"""Predictions in words: the page's table and other HTML, and the JSON for programs.

The HTML is escaped.
"""

import base64
import hashlib
import io
from collections.abc import Sequence
from html import escape

from model.cam import COLOURS, HALF, LEAST, shown, strengths
from model.folder import SUMS
from model.labels import BINARY, LABELS, display_name
from model.page import batch
from model.page.texts import TEXTS, name, number, percent, probability, sentence, text


def suspicious(prediction, config: dict) -> dict | None:
    """{score, threshold, flag}: the summed probability of the suspicious labels, the model's
    operating point, and whether the sum reaches it; None if the model has no operating point."""
    calibration = config.get("calibration") or {}
    threshold, labels = calibration.get("threshold"), calibration.get("suspicious")
    if threshold is None or not labels:
        return None
    score = sum(prediction.probabilities.get(label, 0) for label in labels)
    return {"score": score, "threshold": threshold, "flag": bool(score >= threshold)}


def revision(classifier) -> str:
    """The commit of a model from the Hub. For any other, `sha256:` and the start of the digest of
    SHA256SUMS, which changes with any file of the folder."""
    folder = classifier.folder
    if folder.parent.name == "snapshots":
        return folder.name
    return "sha256:" + hashlib.sha256((folder / SUMS).read_bytes()).hexdigest()[:12]


def as_json(prediction, classifier, model: dict) -> dict:
    """What /analyze answers. Keys are stable; new keys may be added."""
    return {
        "model": model,
        "codes": list(prediction.probabilities),
        "labels": {label: display_name(label) for label in prediction.probabilities},
        "probabilities": prediction.probabilities,
        "suspicious": suspicious(prediction, classifier.config),
        "confident": prediction.confident,
        "notices": [{"code": n, "text": text("en", f"notice_{n}")} for n in prediction.notices],
        "milliseconds": round(prediction.milliseconds, 1),
    }


def for_page(prediction, config: dict) -> dict:
    """What answer.js shows."""
    strength = strengths(prediction.evidence)
    buffer = io.BytesIO()
    shown(prediction.picture).save(buffer, "JPEG", quality=90)
    return {
        "probabilities": prediction.probabilities,
        "suspicious": suspicious(prediction, config),
        "confident": prediction.confident,
        "notices": prediction.notices,
        "set": None,
        "milliseconds": round(prediction.milliseconds, 1),
        "evidence": {
            "height": strength.shape[0],
            "width": strength.shape[1],
            "maps": {
                label: [round(float(value), 3) for value in strength[..., place].flat]
                for place, label in enumerate(prediction.probabilities)
            },
        },
        "picture": "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(),
    }


def rates(classifier, language: str) -> list[str]:
    """Sentences on how often the warning is right and wrong, shown beside the verdict."""
    return []


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
        "sets": calibration.get("sets"),
        "rates": rates(classifier, language),
        "look": {"colours": COLOURS, "half": HALF, "least": LEAST},
    }


def _names(labels: list[str], language: str) -> str:
    names = [name(language, label) for label in labels]
    return f"{', '.join(names[:-1])} {text(language, 'and')} {names[-1]}" if names[1:] else names[0]


def diagnosis(label: str, language: str, heading: str = "h3") -> str:
    """HTML: what a diagnosis is and how it is usually handled; "" for any other label."""
    if label not in LABELS + BINARY:
        return ""
    t = {
        key: escape(text(language, f"{key}_{label}")) for key in ("what", "handling", "source")
    } | {f"_{key}": escape(text(language, key)) for key in ("what", "handling", "source")}
    return (
        f"<{heading}>{escape(name(language, label))}</{heading}>"
        f"<p><b>{t['_what']}.</b> {t['what']} <b>{t['_handling']}.</b> {t['handling']}</p>"
        f'<p class="small">{t["_source"]}: {t["source"]}</p>'
    )


def glossary(labels: list[str], language: str) -> str:
    """HTML: every diagnosis, and the source of the seven classes."""
    entries = "".join(diagnosis(label, language) for label in labels)
    if labels != LABELS:
        return entries
    return f'{entries}<p class="small">{escape(text(language, "source_classes"))}</p>'


def _shares(language: str, digits: int = 0, **figures: dict) -> dict[str, str]:
    """Each {value, low, high} as percentages, under NAME, NAME_low and NAME_high."""
    ends = {"value": "", "low": "_low", "high": "_high"}
    return {
        name + end: percent(figure[key], language, digits)
        for name, figure in figures.items()
        for key, end in ends.items()
    }


def about(classifier, language: str = "en") -> str:
    """The model in a few sentences: backbone, data and test results."""
    config, metrics = classifier.config, classifier.metrics
    data, calibration = config["data"], config.get("calibration") or {}
    parts = [
        text(
            language,
            "about_model",
            architecture=config["architecture"],
            height=classifier.height,
            width=classifier.width,
            dataset=data["dataset"],
            images=number(data["images"], language),
        )
    ]
    measured = metrics.get("tflite")
    if measured and metrics["data"]["part"] == "test":
        top, balanced = measured["top_1"], measured["balanced_accuracy"]
        shares = _shares(language, 1, top=top, balanced=balanced)
        parts.append(text(language, "about_measured", n=number(measured["n"], language), **shares))
        named = measured.get("melanoma", {}).get("sensitivity", {})
        if named.get("value") is not None:
            parts.append(text(language, "about_melanoma", **_shares(language, named=named)))
        if classifier.labels == BINARY and (point := measured.get("suspicious")):
            caught, cleared = point["sensitivity"], point["specificity"]
            if None not in [*caught.values(), *cleared.values()]:
                shares = _shares(language, caught=caught, cleared=cleared)
                parts.append(text(language, "about_malignant", **shares))
    else:
        parts.append(text(language, "about_unmeasured"))
    if calibration.get("threshold") is not None and calibration.get("sensitivity"):
        shares = {k: percent(calibration[k], language) for k in ("threshold", "sensitivity")}
        parts.append(text(language, "about_threshold", **shares))
    if set(classifier.labels) == set(LABELS):
        parts.append(text(language, "about_limits"))
    classes = data.get("classes") or {}
    if sorted(sum(classes.values(), [])) == LABELS:
        counted = {kind: _names(members, language) for kind, members in classes.items()}
        parts.append(text(language, "about_limits_binary", **counted))
    return " ".join(parts)


def _thumbnail(picture) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="" src="data:image/webp;base64,{data}">'


def table(rows: Sequence, labels: list[str], language: str) -> str:
    """HTML: batch rows as a table that scrolls sideways if it is too wide."""
    words = [text(language, f"batch_{key}") for key in ("picture", "name", "top", "notice")]
    codes = [
        f'<abbr title="{escape(name(language, label))}">{escape(label)}</abbr>' for label in labels
    ]
    head = "".join(f'<th scope="col">{h}</th>' for h in [*map(escape, words), *codes])
    caption = escape(text(language, "batch_caption", n=number(len(rows), language)))
    lines = [
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table>'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>"
    ]
    for row in rows:
        if row.reason:
            result = f'<td colspan="2">{escape(sentence(row.reason, language))}</td>'
        else:
            top = text(language, "batch_unsure")
            if row.label is not None:
                top = f"{name(language, row.label)}, {probability(row.probability, language)}"
            notices = " ".join(text(language, f"notice_{notice}") for notice in row.notices)
            result = f"<td>{escape(top)}</td><td>{escape(notices)}</td>"
        shares = "".join(
            f"<td>{escape(probability(row.probabilities[label], language))}</td>"
            if row.probabilities
            else "<td></td>"
            for label in labels
        )
        lines.append(
            f"<tr><td>{_thumbnail(row.thumbnail) if row.thumbnail else ''}</td>"
            f'<th scope="row">{escape(row.name)}</th>{result}{shares}</tr>'
        )
    return "".join(lines) + "</tbody></table></div>"


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
    introduction = escape(lead(classifier.labels, language))
    return {
        "title": f"<h1>{t['title']}</h1><p class='lead'>{introduction}</p>",
        "no_diagnosis": f"<strong>{t['no_diagnosis']}</strong> {notice}",
        "batch_hint": escape(text(language, "batch_hint", **bounds)),
        "batch_empty": f"<div class='empty'>{t['batch_empty']}</div>",
        "glossary": glossary(classifier.labels, language),
        "about": f"<h2>{t['about_heading']}</h2><p>{escape(about(classifier, language))}</p>",
    }
