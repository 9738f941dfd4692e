"""README.md (the model card on the Hub) and report.md of a model folder, made from its own files.

    write_card("runs/NAME")                       README.md, after train.py or convert.py
    write_card("runs/NAME", "USER/NAME")          before the folder is pushed
    write_report("runs/NAME", config, metrics)    report.md and its figures, for evaluate.py
    print(report_text(metrics))                   the main figures as plain text

The sentences are in card.md.jinja, report.md.jinja and report.txt.jinja. What the folder does not
hold is left out. The same folder gives the same card, byte for byte.

People may edit the card: text outside of the two comments BEGIN and END survives, and so do keys of
the front matter, except those that follow from the folder (MEASURED).
"""

import json
import re
from pathlib import Path

import yaml
from huggingface_hub import ModelCard, ModelCardData
from jinja2 import ChainableUndefined, Environment, FileSystemLoader

from model.evaluation.runs import at
from model.folder import (
    QUANTIZATIONS,
    SPLIT,
    TFLITE,
    WEIGHTS,
    ModelFolderError,
    read_config,
    read_json,
    read_metrics,
    sha256,
    write_text,
)
from model.groups import CAUGHT, is_share, ordered, pictures, share
from model.hub.front_matter import MEASURED, front_matter
from model.hub.pull import README
from model.hub.shift import shift_sentences
from model.hub.tables import (
    always_text,
    answered_table,
    calibration_text,
    conversion_text,
    counts,
    drawn,
    gaps,
    group_name,
    names_skin,
    seen_text,
    sets_table,
    short,
    span,
    table,
    text,
    value,
)
from model.labels import BINARY, LABELS, display_name
from model.network.backbones import title_of
from model.sets import always

BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
PUBLISHED = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))

HAM10000 = "marmal88/skin_cancer"  # its public copy on the Hub
HAM10000_IMAGES, HAM10000_IDS = 10015, ("ISIC_0024306", "ISIC_0034320")

# The names of precisions (model/folder.py) in words.
PRECISIONS = {
    "fp32": "float32",
    "fp16": "float16 weights",
    "dynamic_wi8_afp32": "int8 weights; activations rounded to int8 for each picture",
    "static_wi8_ai8": "int8 weights and activations, in part float32",
}
RUNTIMES = {"keras": "Keras", "tflite": "TF Lite"}
PARTS = ("train", "validation", "test")
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
# Keys of config.json's `training` that are elsewhere in the card, or matter on one machine only.
NO_SETTINGS = """dataset label_column split_by limit weights backbone command finished epochs_run
best_epoch minutes device machine validation extra extra_label_column final speed commit malignant
mean_of teacher teachers label_share unlabelled hold_out""".split()


def write_card(folder: Path, repo_id: str | None = None, converted_from: str | None = None) -> None:
    """Write README.md of a model folder; the caller renews SHA256SUMS.

    repo_id: the Hub repo that the folder goes to, for the name and the Python snippets.
    converted_from: as in `front_matter`. Raises ModelFolderError if this is not a model folder, or
    if the edits of its card cannot be read.
    """
    folder = Path(folder)
    facts = _card_facts(folder, read_config(folder), read_metrics(folder), repo_id)
    front, before, after = front_matter(facts, converted_from), "", "\n"
    if (folder / README).exists():
        kept, before, after = _edits(folder / README)
        # What the source of a conversion is based on is one step further back.
        if converted_from or kept.get("base_model") == repo_id:
            kept = {key: value for key, value in kept.items() if not key.startswith("base_model")}
        front = {k: v for k, v in front.items() if k in MEASURED or k not in kept} | kept
    generated = f"{BEGIN}\n{_rendered('card.md.jinja', facts)}{END}"
    # ModelCardData puts the keys into the same order each time.
    card = f"---\n{ModelCardData(**front).to_yaml()}\n---\n{before}{generated}{after}"
    write_text(folder / README, card)


def write_report(folder: Path, config: dict, metrics: dict) -> None:
    """Write report.md and its figures into a folder: confusion.png, roc.png, reliability.png and,
    where metrics.json has `decisions`, risk_coverage.png and decision_curve.png.

    config, metrics: the content of config.json and metrics.json; missing keys leave their lines
    out. The figures show TF Lite, or Keras if TF Lite was not measured. Published figures are next
    to ours if the labels are those of HAM10000. Raises ValueError if nothing was measured.
    """
    from model.evaluation import figures  # Matplotlib, which the card does without

    folder, facts = Path(folder), _facts(config, metrics)
    entry, title = facts["entry"], f"{RUNTIMES[facts['runtime']]}, {facts['measured_on']}"
    figures.confusion_figure(entry, title, folder / "confusion.png")
    figures.roc_figure(entry, title, folder / "roc.png")
    before = metrics.get("uncalibrated")
    figures.reliability_figure(entry, before, title, folder / "reliability.png")
    for name in ("risk_coverage.png", "decision_curve.png"):  # maybe of an earlier report
        (folder / name).unlink(missing_ok=True)
    if decisions := metrics.get("decisions"):
        figures.risk_coverage_figure(decisions, title, folder / "risk_coverage.png")
        if "decision_curve" in decisions:
            figures.decision_figure(decisions, title, folder / "decision_curve.png")
    write_text(folder / "report.md", _rendered("report.md.jinja", facts))


def report_text(metrics: dict) -> str:
    """The main figures of metrics.json as a text table. Raises ValueError without any."""
    facts = _facts({}, metrics)
    return _rendered("report.txt.jinja", facts | {"rows": _summary(facts["runtimes"])}).rstrip()


# --- facts


def _facts(config, metrics):
    """The variables of the reports."""
    runtimes = _measured(metrics)
    if not runtimes:
        raise ValueError("The metrics hold neither `keras` nor `tflite`: run evaluate.py first.")
    runtime, entry = list(runtimes.items())[-1]  # what is served
    data, support = metrics.get("data") or {}, PUBLISHED["test_support"]
    return {
        "config": config,
        "metrics": metrics,
        "architecture": title_of(config.get("architecture") or "model"),
        "runtimes": runtimes,
        "runtime": runtime,
        "entry": entry,
        "measured_on": _measured_on(data, str(data.get("dataset") or ""), entry),
        "beside": set(entry["per_class"]) == set(support),
        "lesions": _of_lesions(list(entry["per_class"]), config.get("data") or {}),
        # By number and class these are the test images of the published figures.
        "compares": data.get("part") == "test" and entry["support"] == support,
    }


def _card_facts(folder, config, metrics, repo_id):
    """The variables of card.md.jinja."""
    data, labels = config.get("data") or {}, config["labels"]
    training, measured = config.get("training") or {}, metrics.get("data") or {}
    lesions = _of_lesions(labels, data)
    dataset = str(data.get("dataset") or "unknown")
    ham10000 = lesions and (dataset == HAM10000 or _has_images_of_ham10000(folder, data))
    scaling = (config.get("preprocessing") or {}).get("scaling")
    settings = training | ({"scaling": scaling} if scaling else {})
    facts = {
        "config": config,
        "metrics": metrics,
        "data": data,
        "training": training,
        "settings": {k: v for k, v in settings.items() if k not in NO_SETTINGS and v is not None},
        "files": {path.name for path in folder.iterdir()},
        "repo_id": repo_id,
        "architecture": title_of(config["architecture"]),
        "lesions": lesions,
        "binary": labels == BINARY,
        "warns": lesions and config["calibration"].get("threshold") is not None,
        "few_labels": len(labels) <= 20,  # more are counted, not listed
        "dataset": dataset,
        "ham10000": ham10000,
        "hub_dataset": HAM10000 if ham10000 else dataset if "/" in dataset else None,
        "title": "HAM10000" if ham10000 else dataset,
        "licence": data.get("licence") or ("cc-by-nc-4.0" if ham10000 else None),
        "own_part": measured.get("part") in PARTS,
        "shift": shift_sentences(folder),
        "folder": folder,
    }
    if not _measured(metrics):
        return facts | {"compares": False}
    facts = _facts(config, metrics) | facts
    if facts["own_part"]:
        facts["measured_on"] = _measured_on(measured, facts["title"], facts["entry"])
    return facts


def _of_lesions(labels, data):
    """Whether the labels are the seven diagnoses, or two that stand for them."""
    classes = data.get("classes") or {}
    return sorted(labels) == LABELS or sorted(sum(classes.values(), [])) == LABELS


def _measured(metrics):
    """{runtime: its figures}, of those that were measured, `keras` before `tflite`."""
    return {key: metrics[key] for key in RUNTIMES if "per_class" in (metrics.get(key) or {})}


def _measured_on(data, dataset, entry):
    """The images that were measured: "ham10000, test part, 828 images"; with their number, if some
    of them taught the model."""
    dataset = dataset if len(dataset) <= 40 else "…" + dataset[-39:]  # fits a figure's title
    part = f"{data['part']} part" if data.get("part") in PARTS else None
    images = f"{data.get('images', entry['n'])} images"
    taught = (data.get("seen") or {}).get("trained")
    taught = f"{taught} of them taught the model" if taught else None
    return ", ".join(filter(None, (dataset, part, images, taught)))


def _has_images_of_ham10000(folder, data):
    """Whether a local data set is HAM10000: it has as many images, all with ids of its range."""
    if data.get("images") != HAM10000_IMAGES or not (folder / SPLIT).is_file():
        return False
    ids = [image for part in read_json(folder / SPLIT).values() for image in part]
    return bool(ids) and HAM10000_IDS[0] <= min(ids) and max(ids) <= HAM10000_IDS[1]


# --- edits


def _edits(path):
    """Front matter, text before and text after the generated part of an existing card."""
    try:
        card = ModelCard.load(path, ignore_metadata_errors=True)
    except (ValueError, yaml.YAMLError) as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise ModelFolderError(f"The front matter of {path} cannot be read: {reason}") from None
    kept = {key: value for key, value in card.data.to_dict().items() if key not in MEASURED}
    begins, ends = card.text.count(BEGIN), card.text.count(END)
    if begins == ends == 0:
        return kept, card.text.rstrip() + "\n\n" if card.text.strip() else "", "\n"
    before, _, rest = card.text.partition(BEGIN)
    if begins != 1 or ends != 1 or END not in rest:
        raise ModelFolderError(
            f"{path} should have one line {BEGIN} and, after it, one line {END}; what stands "
            "between them is replaced. Put them back, or remove both."
        )
    return kept, before, rest.partition(END)[2]


# --- tables


def _summary(runtimes):
    """The rows of the main figures: a title, one figure for each runtime, and the baseline."""
    baseline = next(iter(runtimes.values()))["baseline"]
    rows = [["", *(RUNTIMES[key] for key in runtimes), f"always {baseline['label']}"]]
    for title, path, *how in SUMMARY:
        figures = [at(entry, path) for entry in runtimes.values()]
        if any(figures):
            texts = [text(figure, *how) for figure in figures]
            rows.append([title, *texts, value(at(baseline, path), *how)])
    return rows


def _summary_table(runtimes, beside):
    """The main figures; beside: with the published columns."""
    head, *rows = _summary(runtimes)
    theirs = PUBLISHED["runtimes"][list(runtimes)[-1]]
    printed = {
        "balanced accuracy": theirs["macro"][1],
        "macro F1": theirs["macro"][2],
        "weighted F1": theirs["weighted"][2],
        "melanoma sensitivity": theirs["per_class"]["mel"][1],
    }
    for model, shares in PUBLISHED["top_k"].items() if beside else ():
        head.append(f"published {model}")
        column = {f"top-{key[-1]} accuracy, %": share * 100 for key, share in shares.items()}
        column |= printed if model == "InceptionResNetV2" else {}
        for row in rows:
            row.append(f"{column[row[0]]:.2f}" if row[0] in column else "–")
    return "\n".join(table(head, rows))


def _subgroup_table(groups):
    """The figures of each group of `subgroups` in metrics.json."""
    groups = ordered(groups)
    columns = [
        row
        for row in SUMMARY
        if "AUC" not in row[0]  # a group may hold too few images for an area
        and any((at(group, row[1]) or {}).get("value") is not None for group in groups.values())
    ]
    melanoma = any("mel" in group.get("support", {}) for group in groups.values())
    warned = any("suspicious" in group for group in groups.values())
    head = ["", "images", "lesions", "classes"]
    head += ["melanomas"] * melanoma + ["suspicious"] * warned
    rows = []
    for name, group in groups.items():
        support = group.get("support", {})
        row = [group_name(name), group["n"], group.get("lesions", "–")]
        row += [sum(count > 0 for count in support.values())]
        row += [support.get("mel", 0)] * melanoma
        row += [pictures(group, CAUGHT) if "suspicious" in group else "–"] * warned
        for _, path, scale, _ in columns:
            row.append(text((share if is_share(path) else at)(group, path), scale))
        rows.append(row)
    return "\n".join(table(head + [title for title, *_ in columns], rows))


def _files_table(folder, conversion):
    """Size, agreement with Keras and digest of the files that hold the network; conversion: as in
    metrics.json, or nothing."""
    conversion = conversion or {}
    files = {WEIGHTS: ("Keras weights", {})}
    quantize = conversion.get("quantize")
    files[TFLITE] = (PRECISIONS.get(QUANTIZATIONS.get(quantize), quantize or "–"), conversion)
    for precision, variant in (conversion.get("variants") or {}).items():
        files[variant["file"]] = (PRECISIONS.get(precision, precision), variant)
    rows = []
    for name, (words, measured) in files.items():
        if not (folder / name).is_file():
            continue
        agreement = measured.get("top_1_agreement")
        rows.append(
            [
                f"`{name}`",
                words,
                f"{(folder / name).stat().st_size / 1e6:.1f}",
                "–" if agreement is None else f"{agreement:.2%}",
                f"`{sha256(folder / name)}`",
            ]
        )
    head = ["file", "precision", "MB", "same first answer as Keras (validation part)", "SHA-256"]
    return "\n".join(table(head, rows))


def _counts_table(labels, counts, listed):
    """Images of each label and part; listed: with a row for each label, not only their sum."""
    rows = [[label, *(part.get(label, 0) for part in counts.values())] for label in labels]
    rows = [[*row, sum(row[1:])] for row in rows]
    total = ["all", *(sum(column) for column in list(zip(*rows))[1:])]
    return "\n".join(table(["", *counts, "all"], [*(rows if listed else []), total]))


# --- templates


def _rendered(template, facts):
    return re.sub("\n{3,}", "\n\n", TEMPLATES.get_template(template).render(facts))


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=ChainableUndefined,  # a missing key is false, and so are the keys below it
)
TEMPLATES.filters |= {"thousands": "{:,}".format, "names_skin": names_skin}
TEMPLATES.globals |= {"PUBLISHED": PUBLISHED, "RUNTIMES": RUNTIMES, "SUMMARY": SUMMARY}
TEMPLATES.globals |= {"backbone_title": title_of, "display_name": display_name}
TEMPLATES.globals |= {"summary_table": _summary_table, "subgroup_table": _subgroup_table}
TEMPLATES.globals |= {"counts_table": _counts_table, "files_table": _files_table}
TEMPLATES.globals |= {"conversion_text": conversion_text}
TEMPLATES.globals |= {"always": always, "always_text": always_text, "sets_table": sets_table}
TEMPLATES.globals |= {"at": at, "gaps": gaps, "calibration_text": calibration_text}
TEMPLATES.globals |= {"counts": counts, "drawn": drawn, "seen_text": seen_text}
TEMPLATES.globals |= {"short": short, "span": span, "text": text, "value": value}
TEMPLATES.globals |= {"answered_table": answered_table}
