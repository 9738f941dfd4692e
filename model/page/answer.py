"""Predictions in words: the page's summary and other HTML, and the JSON for programs.

The HTML is escaped.
"""

import hashlib
from html import escape

from model.analysis import suspicious
from model.cam import COLOURS
from model.folder import SUMS
from model.labels import BINARY, LABELS, display_name
from model.page import batch
from model.page.texts import TEXTS, distinct, name, number, percent, text
from model.quality import CODES


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


def _names(labels: list[str], language: str) -> str:
    names = [name(language, label) for label in labels]
    return f"{', '.join(names[:-1])} {text(language, 'and')} {names[-1]}" if names[1:] else names[0]


def _box(kind: str, mark: str, title: str, detail: str) -> str:
    return (
        f'<div class="box {kind}"><span class="mark" aria-hidden="true">{mark}</span>'
        f"<div><strong>{escape(title)}</strong><p>{escape(detail)}</p></div></div>"
    )


def boxes(config: dict, language: str) -> dict[str, str]:
    """The HTML parts of a summary: a box for each notice, by code; "unsure"; for a model with an
    operating point "suspicious" and "benign", with the places {score} and {threshold}; and "time",
    with the place {milliseconds}."""
    html = {
        code: _box("notice", "!", text(language, "notice"), text(language, f"notice_{code}"))
        for code in CODES
    }
    words = {"score": "{score}", "threshold": "{threshold}"}
    if suspects := (config.get("calibration") or {}).get("suspicious"):
        words["names"] = _names(suspects, language)
    for kind, mark in (("unsure", "?"), ("suspicious", "▲"), ("benign", "○")):
        if kind == "unsure" or suspects:
            key = f"sum_{kind}"
            one = "_one" if len(suspects or []) == 1 and kind != "unsure" else ""
            detail = text(language, f"{key}_detail{one}", **words)
            html[kind] = _box(kind, mark, text(language, key), detail)
    time = text(language, "time", milliseconds="{milliseconds}")
    return html | {"time": f'<p class="small">{escape(time)}</p>'}


def _filled(html: str, **values: str) -> str:
    """`html` with `values` in their {places}; other braces are left alone."""
    for key, value in values.items():
        html = html.replace(f"{{{key}}}", escape(value))
    return html


def summary(prediction, config: dict, language: str) -> str:
    """HTML: the notices, the verdict with its reason, and the time."""
    html = boxes(config, language)
    shown = [html[notice] for notice in prediction.notices]
    suspicion = suspicious(prediction, config)
    if not prediction.confident:
        shown.append(html["unsure"])
    elif suspicion:
        score, threshold = distinct(suspicion["score"], suspicion["threshold"], language)
        box = html["suspicious" if suspicion["flag"] else "benign"]
        shown.append(_filled(box, score=score, threshold=threshold))
    milliseconds = number(prediction.milliseconds, language)
    return "".join(shown) + _filled(html["time"], milliseconds=milliseconds)


def legend(language: str) -> str:
    """HTML: the colours of the evidence map."""
    words = {
        key: escape(text(language, f"map_{key}")) for key in ("weak", "strong", "how", "legend")
    }
    ramp = f"background: linear-gradient(90deg, {', '.join(COLOURS)})"
    return (
        f'<div class="legend">{words["legend"]}: <span>{words["weak"]}</span>'
        f'<span class="ramp" aria-hidden="true" style="{ramp}"></span>'
        f'<span>{words["strong"]}</span></div><p class="small">{words["how"]}</p>'
    )


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


def lead(labels: list[str], language: str) -> str:
    """A sentence on what the page is for."""
    known = {tuple(LABELS): "lead", tuple(BINARY): "lead_binary"}
    key = known.get(tuple(labels), "lead_other")
    return text(language, key, n=number(len(labels), language))


def translations(classifier) -> dict[str, dict[str, str]]:
    """{language: {key: text}} for the browser: texts.json, and HTML composed from it, whose keys
    start with html_."""
    translated = {}
    for language, texts in TEXTS.items():
        t = {key: escape(value, quote=False) for key, value in texts.items()}
        notice = classifier.notice and escape(texts["kept_copy"] or classifier.notice)
        bounds = {
            "pictures": batch.MAX_PICTURES,
            "megabytes": batch.MAX_BYTES // 1_000_000,
            "picture_megabytes": batch.MAX_PICTURE_BYTES // 1_000_000,
        }
        introduction = escape(lead(classifier.labels, language))
        translated[language] = texts | {
            "batch_hint": text(language, "batch_hint", **bounds),
            "html_title": f"<h1>{t['title']}</h1><p class='lead'>{introduction}</p>",
            "html_no_diagnosis": f"<strong>{t['no_diagnosis']}</strong> {notice}",
            "html_hints": f"<p>{t['framing']}</p><p>{t['privacy']}</p>",
            "html_answer_empty": f"<div class='empty'>{t['answer_empty']}</div>",
            "html_batch_empty": f"<div class='empty'>{t['batch_empty']}</div>",
            "html_legend": legend(language),
            "html_glossary": glossary(classifier.labels, language),
            "html_about": f"<h2>{t['about_heading']}</h2>"
            f"<p>{escape(about(classifier, language))}</p>",
        }
    return translated
