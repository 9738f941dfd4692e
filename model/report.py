"""report.md of a model folder and what evaluate.py prints, made from config.json and metrics.json.

Published figures stand beside ours only when the labels are the seven of HAM10000, and the report
says whether the part is the one they were measured on.
"""

from pathlib import Path

from model import published
from model.figures import confusion_figure, history_figure, reliability_figure, roc_figure
from model.folder import replacing

__all__ = ["history_figure", "print_report", "write_report"]

RUNTIMES = {"keras": "Keras", "tflite": "TF Lite"}
ARCHITECTURES = {
    "inception_resnet_v2": "InceptionResNetV2",
    "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "efficientnet_b0": "EfficientNetB0",
    "efficientnetb0": "EfficientNetB0",
}
SUBGROUPS = {"dataset": "By clinic of origin", "sex": "By sex", "age": "By age in years"}
# Title, path in the metrics, scale (100: per cent), decimals.
SUMMARY = (
    ("top-1 accuracy, %", ("top_1",), 100, 2),
    ("top-2 accuracy, %", ("top_2",), 100, 2),
    ("top-3 accuracy, %", ("top_3",), 100, 2),
    ("balanced accuracy", ("balanced_accuracy",), 1, 3),
    ("macro F1", ("macro_f1",), 1, 3),
    ("weighted F1", ("weighted_f1",), 1, 3),
    ("ROC AUC, macro", ("roc_auc",), 1, 3),
    ("melanoma sensitivity", ("melanoma", "sensitivity"), 1, 3),
    ("melanoma specificity", ("melanoma", "specificity"), 1, 3),
    ("suspicious sensitivity", ("suspicious", "sensitivity"), 1, 3),
    ("suspicious specificity", ("suspicious", "specificity"), 1, 3),
    ("suspicious ROC AUC", ("suspicious", "roc_auc"), 1, 3),
    ("calibration error (ECE)", ("ece",), 1, 3),
)

SUBGROUP_COLUMNS = (
    "top-1 accuracy, %", "balanced accuracy", "macro F1", "melanoma sensitivity",
    "melanoma specificity", "suspicious sensitivity", "suspicious specificity",
)  # fmt: skip


def write_report(folder: Path, config: dict, metrics: dict) -> None:
    """Writes report.md, confusion.png, roc.png and reliability.png into the folder.

    config and metrics: the content of config.json and metrics.json; missing keys leave their
    lines out. The figures show TF Lite, or Keras where there is no TF Lite; `uncalibrated` in
    metrics adds a curve to the reliability figure. Every file is replaced whole. Raises
    ValueError when metrics holds neither runtime.
    """
    folder = Path(folder)
    name, entry = list(_runtimes(metrics).items())[-1]
    title = f"{RUNTIMES[name]}, {_part(metrics)}"
    confusion_figure(entry, title, folder / "confusion.png")
    roc_figure(entry, title, folder / "roc.png")
    reliability_figure(entry, metrics.get("uncalibrated"), title, folder / "reliability.png")
    with replacing(folder / "report.md") as beside:
        beside.write_text(_markdown(config, metrics), encoding="utf-8")


def print_report(metrics: dict) -> str:
    """The figures of metrics.json as a short text table, without a newline at its end."""
    runtimes = _runtimes(metrics)
    first = next(iter(runtimes.values()))
    head = ["", *(RUNTIMES[name] for name in runtimes), f"always {first['baseline']['label']}"]
    rows = [row[: len(head)] for row in _summary_rows(runtimes)]
    lines = [_part(metrics), ""]
    for title, *cells in [head, *rows]:
        lines.append(f"{title:<24}" + "".join(f"{cell:>24}" for cell in cells))
    wide = max(8, *map(len, first["per_class"]))
    for name, entry in runtimes.items():
        head = f"{RUNTIMES[name]:<{wide}}{'images':>8}{'precision':>11}{'recall':>8}{'F1':>6}"
        lines += ["", head]
        for label, values in entry["per_class"].items():
            precision, recall, f1 = (_value(values[key]) for key in ("precision", "recall", "f1"))
            lines.append(f"{label:<{wide}}{values['support']:>8}{precision:>11}{recall:>8}{f1:>6}")
        if times := entry.get("latency_ms"):
            spread = ", ".join(f"{key} {_short(times.get(key))}" for key in ("std", "min", "max"))
            lines.append(
                f"one image in {_short(times.get('mean'))} ms ({spread}; "
                f"{times.get('calls', '–')} calls)"
            )
    if conversion := metrics.get("conversion"):
        lines += ["", _conversion_text(conversion)]
    return "\n".join(lines)


def _markdown(config, metrics):
    runtimes = _runtimes(metrics)
    first = next(iter(runtimes.values()))
    architecture = str(config.get("architecture") or "model")
    model = ARCHITECTURES.get(architecture, architecture)
    beside = set(first["per_class"]) == set(published.TEST_SUPPORT)
    lines = [f"# {model}: {_part(metrics)}", "", *_opening(config, metrics, model, beside)]
    for name, entry in runtimes.items():
        lines += [f"## Per class, {RUNTIMES[name]}", ""]
        lines += _class_table(entry, published.RUNTIMES[name] if beside else None)
    lines += ["## Accuracy and averages", "", *_summary_table(runtimes, beside)]
    if beside:
        lines += _other_works()
    lines += _latency_table(runtimes, metrics.get("conversion"), beside)
    for key, groups in (metrics.get("subgroups") or {}).items():
        lines += [f"## {SUBGROUPS.get(key, key)}", "", *_subgroup_table(groups)]
    lines += ["## Figures", "", "![Confusion matrix](confusion.png)", ""]
    lines += ["![ROC curves](roc.png)", "", "![Reliability](reliability.png)", ""]
    if beside:
        lines += ["## Sources of the published figures", ""]
        lines += [f"- {published.cite(key)}" for key in ("P1", "ISIC2018", "HAM10000")] + [""]
    return "\n".join(lines)


def _opening(config, metrics, model, beside):
    entry = next(iter(_runtimes(metrics).values()))
    shape = config.get("input") or {}
    size = f" at {shape['height']}x{shape['width']}" if {"height", "width"} <= set(shape) else ""
    drawn = entry["interval"]
    lines = [
        f"{model}{size}, measured on {entry['n']} images ({_counts(entry['support'])}). In "
        f"brackets the {drawn['level']:.0%} interval over {drawn['resamples']} bootstrap "
        f"resamples of the {drawn['units']} {drawn['unit']}s. It knows nothing of other clinics, "
        "cameras or skin types. An interval of no width comes from a class of few images that "
        "were all right or all wrong; it is no certainty.",
        "",
    ]
    if beside:
        source = published.CITATIONS["P1"]["short"]
        part = (metrics.get("data") or {}).get("part")
        if part == "test" and entry["support"] == published.TEST_SUPPORT:
            lines.append(
                f"By number and class these are the {published.TEST_IMAGES} images of {source}: "
                "lesions with one image, 15 % drawn stratified by diagnosis. Our figures compare "
                "with theirs."
            )
        else:
            lines.append(
                f"**Not comparable**: the published figures were measured on other images, the "
                f"{published.TEST_IMAGES} of {source} ({_counts(published.TEST_SUPPORT)}). They "
                "stand here for orientation."
            )
        lines.append("")
    return lines + ["A research model measured on labelled pictures: no medical diagnosis.", ""]


def _class_table(entry, theirs):
    keys = ("precision", "recall", "f1", "specificity", "roc_auc")
    rows = [
        [label, values["support"], *(_text(values[key]) for key in keys)]
        for label, values in entry["per_class"].items()
    ]
    auc = {"macro": entry["roc_auc"]}
    for name in ("macro", "weighted"):
        averages = entry[name] | {"roc_auc": auc.get(name)}
        rows.append([name, entry["n"], *(_text(averages.get(key)) for key in keys)])
    rows.append(["accuracy", entry["n"], "–", _text(entry["top_1"]), "–", "–", "–"])
    head = ["class", "images", "precision", "recall", "F1", "specificity", "ROC AUC"]
    if theirs:
        head += ["published precision", "published recall", "published F1"]
        printed = theirs["per_class"] | {key: theirs[key] for key in ("macro", "weighted")}
        for row in rows[:-1]:
            row += [f"{value:.2f}" for value in printed[row[0]]]
        rows[-1] += ["–", f"{theirs['accuracy']:.2f}", "–"]
    return _table(head, rows)


def _summary_rows(runtimes):
    """Title, one figure for each runtime, the majority baseline; rows without a figure left out."""
    baseline = next(iter(runtimes.values()))["baseline"]
    rows = []
    for title, path, scale, decimals in SUMMARY:
        figures = [_at(entry, path) for entry in runtimes.values()]
        if any(figures):
            texts = [_text(figure, scale, decimals) for figure in figures]
            rows.append([title, *texts, _value(_at(baseline, path), scale, decimals)])
    return rows


def _summary_table(runtimes, beside):
    name, shown = list(runtimes.items())[-1]
    head = ["", *(RUNTIMES[key] for key in runtimes), f"always {shown['baseline']['label']}"]
    rows = _summary_rows(runtimes)
    if beside:
        theirs = published.RUNTIMES[name]
        printed = {
            "balanced accuracy": f"{theirs['macro'][1]:.2f}",
            "macro F1": f"{theirs['macro'][2]:.2f}",
            "weighted F1": f"{theirs['weighted'][2]:.2f}",
            "melanoma sensitivity": f"{theirs['per_class']['mel'][1]:.2f}",
        }
        head += [f"published {model}" for model in published.TOP_K]
        columns = [
            {f"top-{key[-1]} accuracy, %": f"{share * 100:.2f}" for key, share in top.items()}
            for top in published.TOP_K.values()
        ]
        columns[0] |= printed
        for row in rows:
            row += [column.get(row[0], "–") for column in columns]
    lines = _table(head, rows)
    if chosen := shown.get("suspicious"):
        lines += [
            f"Suspicious: {' + '.join(chosen['labels'])} together reach a probability of "
            f"{chosen['threshold']:.3f}.",
            "",
        ]
    lines += [
        "The calibration error compares confidence with accuracy in bins. Resampling adds noise to "
        "every bin, so its interval leans upwards.",
        "",
    ]
    if beside:
        anchors = ", ".join(f"{value:.3f} ({name})" for name, value in published.ISIC_2018.items())
        lines += [
            "Balanced accuracy on the official test set of ISIC 2018, other images and so an "
            f"anchor only: {anchors}.",
            "",
        ]
    return lines


def _other_works():
    def cell(value):
        ends = value if isinstance(value, tuple) else (value,)
        return "–" if value is None else "–".join(f"{end:.2f}" for end in ends)

    keys = ("precision", "recall", "f1", "accuracy")
    works = published.OTHER_WORKS
    rows = [[work["model"], *(cell(work.get(key)) for key in keys)] for work in works]
    source = published.CITATIONS["P1"]["short"]
    return [
        f"Other works on HAM10000 as {source} list them, each on its own split; a range is over "
        "the classes.",
        "",
        *_table(["model", "precision", "recall", "F1", "accuracy"], rows),
    ]


def _latency_table(runtimes, conversion, beside):
    timed = {name: entry["latency_ms"] for name, entry in runtimes.items() if "latency_ms" in entry}
    lines = ["## Time and size", ""] if timed or conversion else []
    if timed:
        keys = ("mean", "std", "min", "max", "median", "calls")
        rows = [
            [f"{RUNTIMES[name]}, one image", *(_short(times.get(key)) for key in keys)]
            for name, times in timed.items()
        ]
        if beside:
            for name, times in published.LATENCY_MS.items():
                times = times | {"calls": published.LATENCY_CALLS}
                rows.append([f"published {name}", *(_short(times.get(key)) for key in keys)])
        lines += _table(["milliseconds", *keys], rows)
        if beside:
            whole = ", ".join(f"{name} {ms} ms" for name, ms in published.WHOLE_CALL_MS.items())
            lines += [
                f"Published whole call, picture sent to result received: {whole}. The machines "
                "differ, so the times do not compare models.",
                "",
            ]
    return lines + ([_conversion_text(conversion), ""] if conversion else [])


def _subgroup_table(groups):
    columns = [
        row
        for row in SUMMARY
        if row[0] in SUBGROUP_COLUMNS
        and any((_at(group, row[1]) or {}).get("value") is not None for group in groups.values())
    ]
    melanoma = any("mel" in group.get("support", {}) for group in groups.values())
    head = ["", "images", "classes", *(["melanomas"] if melanoma else [])]
    rows = []
    for name, group in groups.items():
        support = group.get("support", {})
        row = [name, group.get("n", "–"), sum(count > 0 for count in support.values())]
        row += [support.get("mel", 0)] if melanoma else []
        rows.append(row + [_text(_at(group, path), scale) for _, path, scale, _ in columns])
    return [
        *_table(head + [title for title, *_ in columns], rows),
        "Averages run over the classes that a group holds: groups with different classes do not "
        "compare.",
        "",
    ]


def _runtimes(metrics):
    measured = [name for name in RUNTIMES if "per_class" in (metrics.get(name) or {})]
    found = {name: metrics[name] for name in measured}
    if not found:
        raise ValueError("The metrics hold neither `keras` nor `tflite`: run evaluate.py first.")
    return found


def _part(metrics):
    data = metrics.get("data") or {}
    images = data.get("images", next(iter(_runtimes(metrics).values()))["n"])
    part = f"{data['part']} part" if data.get("part") in ("train", "validation", "test") else None
    dataset = str(data.get("dataset") or "")
    dataset = dataset if len(dataset) <= 40 else "…" + dataset[-39:]  # the width of a title
    return ", ".join(one for one in (dataset, part, f"{images} images") if one)


def _conversion_text(conversion):
    size, agreement = conversion.get("megabytes"), conversion.get("top_1_agreement")
    parts = [f"model.tflite, quantisation {conversion.get('quantize', 'unknown')}"]
    if size is not None:
        parts.append(f"{size:.1f} MB")
    if agreement is not None:
        parts.append(
            f"first diagnosis as in Keras for {agreement:.2%} of "
            f"{conversion.get('images', 'the')} validation images, probabilities at most "
            f"{_short(conversion.get('largest_difference'))} apart"
        )
    return ", ".join(parts) + "."


def _counts(support):
    return ", ".join(f"{label} {count}" for label, count in support.items())


def _at(tree, path):
    for key in path:
        tree = (tree or {}).get(key)
    return tree


def _value(figure, scale=1, decimals=2):
    if not figure or figure["value"] is None:
        return "–"
    return f"{figure['value'] * scale:.{decimals}f}"


def _text(figure, scale=1, decimals=2):
    """A figure with its interval, "0.53 (0.40–0.66)" or, in per cent, "87.56 (85.22–89.70)"."""
    text = _value(figure, scale, decimals)
    if text == "–" or figure["low"] is None:
        return text
    return f"{text} ({figure['low'] * scale:.{decimals}f}–{figure['high'] * scale:.{decimals}f})"


def _short(number):
    return "–" if number is None else f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]
