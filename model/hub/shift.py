"""What evaluate.py --shift measured, in a model folder: as JSON, tables and figures, and in
sentences for its card.

shift.json holds the last run of each kind; shift_clinic.md, shift_corruptions.md and their PNGs are
made from it. They are about one model.tflite, so convert.py removes them (`remove_shift` of
model/folder.py) when it writes another.
"""

from pathlib import Path

from model.evaluation.corruptions import DESCRIBED, KINDS, SIDE
from model.folder import SHIFT, read_json, write_json, write_text
from model.hub.tables import seen_text, table, text, value

CALIBRATIONS = {"others": "the other clinics", "all": "all clinics"}


def write_shift(folder: Path, kind: str, record: dict) -> str:
    """Write `record` of "clinic" or "corruptions" (see `measure_shift` of evaluate.py) into
    shift.json of `folder`, and its table and figure; returns the table with its text."""
    from model.evaluation import shift_figures  # Matplotlib, which the card does without

    records = read_shift(folder) | {kind: record}
    write_json(folder / SHIFT, records)
    lines = {"clinic": clinic_lines, "corruptions": corruption_lines}[kind](record)
    draw = {"clinic": shift_figures.clinic_figure, "corruptions": shift_figures.corruption_figure}[
        kind
    ]
    draw(record["figures"], where(record).capitalize(), folder / f"shift_{kind}.png")
    report = "\n".join(lines)
    write_text(folder / f"shift_{kind}.md", report)
    return report


def read_shift(folder: Path) -> dict:
    """{kind: record} of shift.json, or {} if nothing was measured. Raises ModelFolderError."""
    return read_json(folder / SHIFT) if (folder / SHIFT).is_file() else {}


def where(record: dict) -> str:
    """The part that a record is about: "validation part of ham10000, 897 pictures"."""
    part = f"{record['part']} part" if record["part"] != "all" else "all pictures"
    return f"{part} of {record['dataset']}, {record['images']:,} pictures"


def brackets(record: dict) -> str:
    """What the brackets of a table hold."""
    return (
        f"Brackets hold 95 % intervals from {record['resamples']} bootstrap resamples of "
        f"{record['unit']}s. An interval of zero width means that the pictures counted were all "
        "alike, not certainty."
    )


def clinic_lines(record: dict) -> list[str]:
    """The lines of shift_clinic.md."""
    column = "" if record["column"] == "dataset" else f" --group-by {record['column']}"
    part = "" if record["part"] == "validation" else f" --part {record['part']}"
    levels = list(next(iter(record["figures"].values()))["all"]["coverage"])
    out = "each picture with a calibration that its own lesion was left out of"
    lines = [
        "# A clinic that the calibration has not seen",
        "",
        f"Made by `python evaluate.py FOLDER --shift clinic{column}{part}`, on the "
        f"{where(record)}. Temperature, operating point and prediction sets are fitted to the "
        "validation part twice: to the lesions of the other clinics, and to those of all clinics"
        f"{', ' + out if record['part'] == 'validation' else ''}. The network is not trained anew: "
        "it has seen training pictures of every clinic, so a clinic that is new altogether may be "
        "worse.",
        "",
        "A set of 90 % is meant to hold the diagnosis of at least 90 % of the lesions of each "
        "class. *Coverage* is the share of pictures whose set does; *labels* is how many labels "
        "such a set has on average. " + brackets(record),
        "",
        "![Coverage, sensitivity, specificity and calibration error by clinic](shift_clinic.png)",
        "",
    ]
    shown = [f"{100 * float(level):.0f} % sets: coverage" for level in levels]
    head = ["", "pictures", "lesions", "suspicious", "calibrated on", *shown, "labels in 90 % sets"]
    head += ["sensitivity of the warning", "specificity", "calibration error (ECE)"]
    rows = []
    for name, entry in record["figures"].items():
        for key, title in CALIBRATIONS.items():
            found = entry[key]
            row = [name, entry["n"], entry["lesions"], entry["suspicious"], title]
            row += [text(found["coverage"][level]) for level in levels]
            row += [value(found["size"]["0.9"], 1, 1)]
            row += [text(found[figure]) for figure in ("sensitivity", "specificity", "ece")]
            rows.append(row)
    return lines + table(head, rows)


def corruption_lines(record: dict) -> list[str]:
    """The lines of shift_corruptions.md."""
    part = "" if record["part"] == "validation" else f" --part {record['part']}"
    kinds = [
        f"- {kind} ({DESCRIBED[kind]}): {', '.join(str(strength) for strength in KINDS[kind])}"
        for kind in record["figures"]
        if kind in KINDS
    ]
    lines = [
        "# The effect of common corruptions",
        "",
        f"Made by `python evaluate.py FOLDER --shift corruptions{part}`, on the {where(record)}. "
        "Each is corrupted in nine ways at three strengths (after Hendrycks and Dietterich, ICLR "
        f"2019). First its longer side is made {SIDE} pixels long, for *none* too. Strengths 1, 2 "
        "and 3 are:",
        "",
        *kinds,
        "",
        "At strength 3 a person still sees the lesion. Hair and rulers are drawn by the program "
        "(`model/data/artefacts.py`) that may have drawn such on the training pictures, too; "
        "`training.artefacts` of `config.json` says which. A mired is a million divided by "
        "kelvin.",
        "",
        "The model answers every picture as on the page, and the figures count all pictures, also "
        "those *without a reliable answer*: pictures with a notice, for which the page gives "
        "no headline. *Missed in silence* is the share of suspicious pictures that get neither a "
        "warning nor such a notice. " + brackets(record) + " All rows show the same pictures, so "
        "a difference between rows is more certain than the intervals suggest.",
        "",
        *([seen_text(record), ""] if record.get("seen") else []),
        "![Figures by kind and strength](shift_corruptions.png)",
        "",
    ]
    head = ["", "strength", "balanced accuracy", "sensitivity of the warning", "specificity"]
    head += ["missed in silence", "without a reliable answer", "log-loss"]
    keys = "balanced_accuracy sensitivity specificity silent refused log_loss".split()
    rows = [
        [kind, strength, *(text(entry.get(key)) for key in keys)]
        for kind, strength, entry in listed(record["figures"])
    ]
    return lines + table(head, rows)


def listed(figures: dict) -> list[tuple[str, int, dict]]:
    """(kind, strength, figures) of what was measured, that without a corruption first."""
    entries = [("none", 0, figures["none"])]
    for kind, strengths in figures.items():
        if kind != "none":
            entries += [(kind, number, entry) for number, entry in enumerate(strengths, start=1)]
    return entries


def shift_sentences(folder: Path) -> list[str]:
    """One sentence with the worst case for each kind that was measured, for the card."""
    records, sentences = read_shift(folder), []
    if "clinic" in records:
        sentences.append(_worst_clinic(records["clinic"]))
    if "corruptions" in records:
        sentences.append(_worst_corruption(records["corruptions"]))
    return sentences


def _worst_clinic(record):
    entries = record["figures"].items()
    name, entry = min(entries, key=lambda item: item[1]["others"]["coverage"]["0.9"]["value"])
    said = (
        "With a [calibration that has not seen the clinic](shift_clinic.md) of a picture (the "
        f"{record['part']} part), the 90% sets held the diagnosis least often at {name}, for "
        f"{text(entry['others']['coverage']['0.9'])} of {entry['n']:,} pictures"
    )
    warned = [item for item in entries if item[1]["others"]["sensitivity"]["value"] is not None]
    if warned:
        name, entry = min(warned, key=lambda item: item[1]["others"]["sensitivity"]["value"])
        said += (
            f", and the warning caught the smallest share of suspicious pictures at {name}, "
            f"{text(entry['others']['sensitivity'])} of {entry['suspicious']:,}"
        )
    return said + "."


def _worst_corruption(record):
    plain, *others = listed(record["figures"])
    kind, strength, entry = min(others, key=lambda item: item[2]["balanced_accuracy"]["value"])
    said = (
        f"Of nine [corruptions](shift_corruptions.md) at three strengths (the {record['part']} "
        f"part), {kind} of strength {strength} did most harm to the balanced accuracy, "
        f"{text(entry['balanced_accuracy'])} instead of {text(plain[2]['balanced_accuracy'])}"
    )
    if "silent" in entry:
        kind, strength, entry = max(others, key=lambda item: item[2]["silent"]["value"] or 0)
        said += (
            "; the share of suspicious pictures that got neither a warning nor a notice was "
            f"largest with {kind} of strength {strength}, {text(entry['silent'])} instead of "
            f"{text(plain[2]['silent'])}"
        )
    return said + "."
