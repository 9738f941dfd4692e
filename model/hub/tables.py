"""The figures of metrics.json as text and Markdown tables, for report.md, the card and the screen.

A table is a list of lines that ends with an empty one. A figure is {"value", "low", "high"} as
model/evaluation/metrics.py makes it; one that is missing or undefined shows as a dash.
"""

from model.hub import published
from model.network.backbones import BACKBONES

RUNTIMES = {"keras": "Keras", "tflite": "TF Lite"}
ARCHITECTURES = {key: backbone.title for key, backbone in BACKBONES.items()}
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
    ("log-loss", ("log_loss",), 1, 3),
    ("melanoma sensitivity", ("melanoma", "sensitivity"), 1, 3),
    ("melanoma specificity", ("melanoma", "specificity"), 1, 3),
    ("malignant sensitivity", ("malignant", "sensitivity"), 1, 3),
    ("malignant specificity", ("malignant", "specificity"), 1, 3),
    ("suspicious sensitivity", ("suspicious", "sensitivity"), 1, 3),
    ("suspicious specificity", ("suspicious", "specificity"), 1, 3),
    ("suspicious ROC AUC", ("suspicious", "roc_auc"), 1, 3),
    ("calibration error (ECE)", ("ece",), 1, 3),
)

SUBGROUP_COLUMNS = (
    "top-1 accuracy, %",
    "balanced accuracy",
    "macro F1",
    "melanoma sensitivity",
    "melanoma specificity",
    "malignant sensitivity",
    "malignant specificity",
    "suspicious sensitivity",
    "suspicious specificity",
)


def class_table(entry: dict, theirs: dict | None) -> list[str]:
    """Precision, recall and the like of each class; theirs: a runtime of `published`, or None."""
    keys = ("precision", "recall", "f1", "specificity", "roc_auc")
    rows = [
        [label, values["support"], *(text(values[key]) for key in keys)]
        for label, values in entry["per_class"].items()
    ]
    auc = {"macro": entry["roc_auc"]}
    for name in ("macro", "weighted"):
        averages = entry[name] | {"roc_auc": auc.get(name)}
        rows.append([name, entry["n"], *(text(averages.get(key)) for key in keys)])
    rows.append(["accuracy", entry["n"], "–", text(entry["top_1"]), "–", "–", "–"])
    head = ["class", "images", "precision", "recall", "F1", "specificity", "ROC AUC"]
    if theirs:
        head += ["published precision", "published recall", "published F1"]
        printed = theirs["per_class"] | {key: theirs[key] for key in ("macro", "weighted")}
        for row in rows[:-1]:
            row += [f"{value:.2f}" for value in printed[row[0]]]
        rows[-1] += ["–", f"{theirs['accuracy']:.2f}", "–"]
    return table(head, rows)


def summary_rows(runtimes: dict) -> list[list[str]]:
    """Title, one figure for each runtime, the majority baseline; rows without a figure left out."""
    baseline = next(iter(runtimes.values()))["baseline"]
    rows = []
    for title, path, scale, decimals in SUMMARY:
        figures = [at(entry, path) for entry in runtimes.values()]
        if any(figures):
            texts = [text(figure, scale, decimals) for figure in figures]
            rows.append([title, *texts, value(at(baseline, path), scale, decimals)])
    return rows


def summary_table(runtimes: dict, beside: bool) -> list[str]:
    """The main figures of each runtime and the baseline; beside: with the published columns."""
    name, shown = list(runtimes.items())[-1]
    head = ["", *(RUNTIMES[key] for key in runtimes), f"always {shown['baseline']['label']}"]
    rows = summary_rows(runtimes)
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
    lines = table(head, rows)
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


def subgroup_table(groups: dict) -> list[str]:
    """The figures of each group, as `subgroups` of metrics.json has them."""
    columns = [
        row
        for row in SUMMARY
        if row[0] in SUBGROUP_COLUMNS
        and any((at(group, row[1]) or {}).get("value") is not None for group in groups.values())
    ]
    melanoma = any("mel" in group.get("support", {}) for group in groups.values())
    head = ["", "images", "classes", *(["melanomas"] if melanoma else [])]
    rows = []
    for name, group in groups.items():
        support = group.get("support", {})
        row = [name, group.get("n", "–"), sum(count > 0 for count in support.values())]
        row += [support.get("mel", 0)] if melanoma else []
        rows.append(row + [text(at(group, path), scale) for _, path, scale, _ in columns])
    return [
        *table(head + [title for title, *_ in columns], rows),
        "Averages run over the classes that a group holds: groups with different classes do not "
        "compare.",
        "",
    ]


def runtimes(metrics: dict) -> dict[str, dict]:
    """What was measured, `keras` before `tflite`. Raises ValueError where neither was."""
    measured = [name for name in RUNTIMES if "per_class" in (metrics.get(name) or {})]
    found = {name: metrics[name] for name in measured}
    if not found:
        raise ValueError("The metrics hold neither `keras` nor `tflite`: run evaluate.py first.")
    return found


def part(metrics: dict) -> str:
    """What was measured on: "ham10000, test part, 828 images"."""
    data = metrics.get("data") or {}
    images = data.get("images", next(iter(runtimes(metrics).values()))["n"])
    named = f"{data['part']} part" if data.get("part") in ("train", "validation", "test") else None
    dataset = str(data.get("dataset") or "")
    dataset = dataset if len(dataset) <= 40 else "…" + dataset[-39:]  # the width of a title
    return ", ".join(one for one in (dataset, named, f"{images} images") if one)


def drawn(entry: dict) -> str:
    """What the brackets hold, in two sentences; nothing where no interval was drawn."""
    how = entry["interval"]
    if not how["resamples"]:
        return ""
    return (
        f"In brackets the {how['level']:.0%} interval over {how['resamples']} bootstrap resamples "
        f"of the {how['units']} {how['unit']}s. An interval of no width comes from a class of few "
        "images that were all right or all wrong; it is no certainty."
    )


def comparable(metrics: dict) -> bool:
    """Whether these are, by number and class, the test images of the published figures."""
    entry = next(iter(runtimes(metrics).values()))
    measured = (metrics.get("data") or {}).get("part")
    return measured == "test" and entry["support"] == published.TEST_SUPPORT


def conversion_text(conversion: dict) -> str:
    """What convert.py measured, as one sentence."""
    size, agreement = conversion.get("megabytes"), conversion.get("top_1_agreement")
    parts = [f"model.tflite, quantisation {conversion.get('quantize', 'unknown')}"]
    if size is not None:
        parts.append(f"{size:.1f} MB")
    if agreement is not None:
        parts.append(
            f"first answer as in Keras for {agreement:.2%} of "
            f"{conversion.get('images', 'the')} validation images, probabilities at most "
            f"{short(conversion.get('largest_difference'))} apart"
        )
    return ", ".join(parts) + "."


def familiarity_lines(measured: dict) -> list[str]:
    """What `evaluate.py --outliers` measured: a sentence and a table."""
    share = {key: f"{text(measured[key], 100, 1)} %" for key in ("refused", "noticed")}
    rows = [
        [
            name.replace("_", " "),
            entry["images"],
            text(entry.get("roc_auc"), 1, 3),
            text(entry["refused"], 100, 1),
        ]
        for name, entry in measured["outliers"].items()
    ]
    return [
        f"Of the {measured['images']} images measured {share['refused']} get no confident label, "
        "since they are too small, nearly uniform or unlike the training images (below a "
        f"familiarity of {short(measured['threshold'])}); {share['noticed']} get a notice of any "
        "kind, such as of blur. Pictures of other things, and how well familiarity alone tells "
        "them from those images:",
        "",
        *table(["pictures", "number", "ROC AUC", "no confident label, %"], rows),
        "Other clinics' pictures of lesions, other skin types and photos without a dermatoscope "
        "may be refused more often, or not at all: none are among the images measured.",
        "",
    ]


def counts(support: dict[str, int]) -> str:
    """As "akiec 23, bcc 26"."""
    return ", ".join(f"{label} {count}" for label, count in support.items())


def at(tree: dict | None, path: tuple):
    """What lies at the path of keys; None where a key on the way is missing."""
    for key in path:
        tree = (tree or {}).get(key)
    return tree


def value(figure: dict | None, scale: float = 1, decimals: int = 2) -> str:
    """A figure without its interval."""
    if not figure or figure["value"] is None:
        return "–"
    return f"{figure['value'] * scale:.{decimals}f}"


def text(figure: dict | None, scale: float = 1, decimals: int = 2) -> str:
    """A figure with its interval, "0.53 (0.40–0.66)" or, in per cent, "87.56 (85.22–89.70)"."""
    shown = value(figure, scale, decimals)
    if shown == "–" or figure["low"] is None:
        return shown
    return f"{shown} ({figure['low'] * scale:.{decimals}f}–{figure['high'] * scale:.{decimals}f})"


def short(number: float | None) -> str:
    """Three digits of a number."""
    return "–" if number is None else f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def table(head: list, rows: list[list]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]
