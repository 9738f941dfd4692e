"""What evaluate.py --shift measured, in a model folder: as JSON, tables and figures, and in
sentences for its card.

shift.json of a model folder holds the last run of each kind, and that of another folder the last
run alone, since the next may be of another model. shift_clinic.md, shift_corruptions.md and their
PNGs are made from it. They are about one model.tflite, so convert.py removes them
(`remove_measured` of model/folder.py) when it writes another.
"""

from operator import itemgetter
from pathlib import Path

from model.evaluation.corruptions import DESCRIBED, KINDS, SIDE
from model.folder import CONFIG, SHIFT, read_json, write_json, write_text
from model.groups import FLOOR, UNKNOWN, widened
from model.hub.tables import group_name, seen_text, table, text, value


def write_shift(folder: Path, kind: str, record: dict) -> str:
    """Write `record` of "clinic" or "corruptions" (see `measure_shift` of evaluate.py) into
    shift.json of `folder`, and its table and figure; returns the table with its text."""
    from model.evaluation import shift_figures  # Matplotlib, which the card does without

    before = read_shift(folder) if (folder / CONFIG).is_file() else {}
    write_json(folder / SHIFT, before | {kind: record})
    lines = {"clinic": clinic_lines, "corruptions": corruption_lines}[kind](record)
    title, path = where(record).capitalize(), folder / f"shift_{kind}.png"
    if kind == "clinic":
        shift_figures.clinic_figure(record["figures"], title, path, many(record))
    else:
        shift_figures.corruption_figure(record["figures"], title, path)
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


def many(record: dict) -> str:
    """What is left out one at a time: "clinics", or "groups" of another column."""
    return "clinics" if record["column"] == "dataset" else "groups"


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
    groups, kind = many(record), "clinic"
    if column:
        kind = f"group of {record['column']}"
    levels = list(next(iter(record["figures"].values()))["all"]["coverage"])
    out = "each picture with a calibration that its own lesion was left out of"
    lines = [
        f"# A {kind} that the calibration has not seen",
        "",
        f"Made by `python evaluate.py FOLDER --shift clinic{column}{part}`, on the "
        f"{where(record)}. Temperature, operating point and prediction sets are fitted to the "
        f"validation part twice: to the lesions of the other {groups}, and to those of all {groups}"
        f"{', ' + out if record['part'] == 'validation' else ''}. The network is not trained anew: "
        f"it has seen training pictures of every {kind}, so one that is new altogether may be "
        "worse.",
        "",
        "A set of 90 % is meant to hold the diagnosis of at least 90 % of the lesions of each "
        "class. *Coverage* is the share of pictures whose set does; *labels* is how many labels "
        "such a set has on average. " + brackets(record),
        "",
        f"![Coverage, sensitivity, specificity and calibration error by {kind}](shift_clinic.png)",
        "",
    ]
    shown = [f"{100 * float(level):.0f} % sets: coverage" for level in levels]
    head = ["", "pictures", "lesions", "suspicious", "calibrated on", *shown, "labels in 90 % sets"]
    head += ["sensitivity of the warning", "specificity", "calibration error (ECE)"]
    rows = []
    for name, entry in record["figures"].items():
        for key, title in (("others", f"the other {groups}"), ("all", f"all {groups}")):
            found = entry[key]
            row = [group_name(name), entry["n"], entry["lesions"], entry["suspicious"], title]
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
        "Strength 3 is meant to leave the lesion visible; nobody tested this with readers. "
        "Hair and rulers are drawn by the program (`model/data/artefacts.py`) that may have drawn "
        "such on the training pictures, too; `training.artefacts` of `config.json` says which. A "
        "mired is a million divided by kelvin.",
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
    if records.get("clinic", {}).get("column") == "dataset":
        sentences.append(_worst_clinic(records["clinic"]))
    if "corruptions" in records:
        sentences.append(_worst_corruption(records["corruptions"]))
    return sentences


def _worst_clinic(record):
    figures = record["figures"]
    said = (
        "With a [calibration that has not seen the clinic](shift_clinic.md) of a picture (the "
        f"{record['part']} part), "
    )
    held = _compared(figures, lambda entry: entry["others"]["coverage"]["0.9"], itemgetter("n"))
    if not held:
        return f"{said}no clinic has the {FLOOR} pictures that a comparison needs."
    name, share = held
    said += (
        f"the 90% sets held the diagnosis least often at {group_name(name)}, for {text(share)} of "
        f"{figures[name]['n']:,} pictures"
    )
    caught = _compared(
        figures, lambda entry: entry["others"]["sensitivity"], itemgetter("suspicious")
    )
    if not caught:
        return said + "."
    name, share = caught
    said += (
        ", and the warning caught the smallest share of suspicious pictures at "
        f"{group_name(name)}, {text(share)} of {figures[name]['suspicious']:,}."
    )
    if _spared(figures[name]):
        said += f" Its specificity there was {_specificity(figures[name])}."
    spared = _compared(figures, lambda entry: entry["others"]["specificity"], _spared)
    if spared and spared[0] != name:
        name = spared[0]
        said += f" The specificity was lowest at {group_name(name)}: {_specificity(figures[name])}."
    return said


def _compared(figures, figure, count):
    """The name of the clinic where a share is lowest, and the share; None if there is none.

    figure, count: give the share and the number of its pictures from a clinic's entry.
    """
    found = {
        name: _share(entry, figure(entry), count(entry))
        for name, entry in figures.items()
        if name != UNKNOWN and count(entry) >= FLOOR and figure(entry)["value"] is not None
    }
    return min(found.items(), key=lambda item: item[1]["value"], default=None)


def _share(entry, figure, n):
    """A share of n of the entry's pictures, with an interval that has a width."""
    if figure["value"] is None:
        return figure
    return widened(figure, n * entry["lesions"] / entry["n"])


def _spared(entry):
    """The number of pictures that are not suspicious."""
    return entry["n"] - entry["suspicious"]


def _specificity(entry):
    """The specificity of the warning without the clinic and with it, in words."""
    n = _spared(entry)
    left_out, seen = (
        text(_share(entry, entry[key]["specificity"], n)) for key in ("others", "all")
    )
    return f"{left_out} of {n:,}, and {seen} with a calibration on all clinics"


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
