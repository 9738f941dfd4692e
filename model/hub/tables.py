"""Figures of metrics.json as text and as Markdown tables.

A figure is {"value", "low", "high"}, as model/evaluation/metrics.py makes it. A missing or
undefined one is shown as a dash.
"""

from model.groups import CAUGHT, FLOOR, SPARED, TOP, UNKNOWN, gap, pictures, share, too_few


def value(figure: dict | None, scale: float = 1, decimals: int = 2) -> str:
    """A figure without its interval."""
    if not figure or figure["value"] is None:
        return "–"
    return f"{figure['value'] * scale:.{decimals}f}"


def text(figure: dict | None, scale: float = 1, decimals: int = 2) -> str:
    """A figure with its interval, "0.53 (0.40–0.66)" or, in per cent, "87.56 (85.22–89.70)"; "5.00
    (2.10–∞)" where nothing bounds it above."""
    shown = value(figure, scale, decimals)
    if shown == "–" or figure["low"] is None:
        return shown
    high = "∞" if figure["high"] is None else f"{figure['high'] * scale:.{decimals}f}"
    return f"{shown} ({figure['low'] * scale:.{decimals}f}–{high})"


def short(number: float | None) -> str:
    """A number in three digits."""
    return "–" if number is None else f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def span(figure: float | list[float] | None, scale: float = 1, decimals: int = 2) -> str:
    """A published figure, or a range [lowest, highest]: "0.66–0.85"."""
    ends = figure if isinstance(figure, list) else [figure]
    return "–" if figure is None else "–".join(f"{end * scale:.{decimals}f}" for end in ends)


def counts(support: dict[str, int]) -> str:
    """Images of each label: "akiec 23, bcc 26"."""
    return ", ".join(f"{label} {count}" for label, count in support.items())


def table(head: list, rows: list[list]) -> list[str]:
    """The lines of a Markdown table; the last one is empty."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def sets_table(sets: dict, subgroups: list[str] | None = None) -> str:
    """What prediction sets cover, from `sets` of metrics.json: of all images, of those of each
    label (up to 20), and of those of each group; subgroups: those to show, None for all."""
    head, columns = ["", "images"], []
    for level, entry in sets["levels"].items():
        percent = f"{float(level):.0%}"
        head += [f"{percent} sets: coverage, %", "labels", "one label, %"]
        named = entry["per_class"] if len(entry["per_class"]) <= 20 else {}
        groups = {
            (key, name): group
            for key, by_name in (entry.get("subgroups") or {}).items()
            if subgroups is None or key in subgroups
            for name, group in by_name.items()
        }
        rows = {("", "all"): entry} | {("", name): row for name, row in named.items()} | groups
        always = sets["always"][level]
        columns.append(
            {
                (key, name): _covered(row, not key and name in always)
                for (key, name), row in rows.items()
            }
        )
    body = []
    for (key, name), row in rows.items():
        if row["n"]:
            title = f"{'clinic' if key == 'dataset' else key} {name}" if key else name
            cells = [cell for column in columns for cell in column[key, name]]
            body.append([group_name(title), row["n"], *cells])
    return "\n".join(table(head, body))


def _covered(row: dict, always: bool) -> list[str]:
    coverage = "in every set" if always else text(row["coverage"], 100, 1)
    return [coverage, text(row["size"]), text(row["single"], 100, 1)]


def always_text(always: dict[str, dict[str, int]]) -> str:
    """Which labels are in every set of which level, from model/sets.py's `always`, as one sentence;
    "" if none is."""
    parts = [
        f"at {float(level):.0%} {', '.join(f'{label} ({n})' for label, n in lesions.items())}"
        for level, lesions in always.items()
        if lesions
    ]
    if not parts:
        return ""
    return (
        "For lack of lesions in the validation part, whose number is in brackets, some labels are "
        f"in every set: {'; '.join(parts)}."
    )


def group_name(name: str) -> str:
    """The name of a group, which comes from the data set, as a cell of a Markdown table."""
    return name.replace("|", "\\|")


def names_skin(column: str) -> bool:
    """Whether a column of a data set may hold the skin tone, by its name."""
    return any(word in column.lower() for word in ("skin", "fitz", "tone"))


def gaps(groups: dict[str, dict]) -> list[str]:
    """Sentences on the largest gaps between groups of `subgroups` in metrics.json: in top-1
    accuracy and in the sensitivity and specificity of the warning."""
    said = []
    for title, path, kind, scale in (
        ("Top-1 accuracy, %", TOP, "", 100),
        ("Suspicious sensitivity", CAUGHT, "suspicious ", 1),
        ("Suspicious specificity", SPARED, "other ", 1),
    ):
        if not any(path[0] in group for group in groups.values()):
            continue
        few = ", ".join(f"{group_name(name)} ({n})" for name, n in too_few(groups, path).items())
        few = f" Fewer than {FLOOR} {kind}images: {few}." if few else ""
        said.append(f"{title}: {_gap(groups, path, kind, scale)}.{few}")
    if UNKNOWN in groups:
        said.append(f"{groups[UNKNOWN]['n']} images without a value ({UNKNOWN}) are not compared.")
    return said


def _gap(groups, path, kind, scale):
    found = gap(groups, path)
    if not found:
        return f"no two groups of at least {FLOOR} {kind}images to compare"
    if found.lowest == found.highest:
        return f"the same for all {found.compared} groups that can be compared"
    ends = [
        f"{text(share(groups[name], path), scale)} for {group_name(name)} "
        f"({pictures(groups[name], path)} {kind}images)"
        for name in (found.lowest, found.highest)
    ]
    between = f"of {found.compared} groups, {ends[0]} is the lowest and {ends[1]} the highest"
    if found.overlap is None:
        return between
    if found.overlap:
        return f"{between}; their intervals overlap, so this may be chance"
    return f"{between}; their intervals do not overlap"


def drawn(entry: dict) -> str:
    """What the intervals of classification_metrics are; "" without any."""
    how = entry["interval"]
    if not how["resamples"]:
        return ""
    return (
        f"Brackets hold {how['level']:.0%} intervals from {how['resamples']} bootstrap resamples "
        f"of the {how['units']} {how['unit']}s. An interval of zero width means that a class has "
        "few images and all were right, or all wrong; it does not mean certainty."
    )


def calibration_text(config: dict) -> str:
    """How the calibration of model.tflite differs from that of the Keras weights, as one sentence;
    "" for a config.json with one calibration for both."""
    keras, tflite = config.get("keras_calibration"), config.get("calibration")
    if not keras:
        return ""
    like = tflite.get("inherited")
    how = f"taken from {like}" if like else "fitted to its own answers"
    parts = [
        f"{title} {tflite[key]:.4f} (Keras weights: {keras[key]:.4f})"
        for title, key in (("temperature", "temperature"), ("operating point", "threshold"))
        if key in tflite and key in keras
    ]
    return f"model.tflite has a calibration {how}: {', '.join(parts)}."


def seen_text(data: dict) -> str:
    """How many of the measured pictures the model knows, from `data` of metrics.json; "" where this
    was not counted."""
    seen = data.get("seen")
    if not seen:
        return ""
    by = "their fingerprints" if seen["by"] == "fingerprints" else "their image_id alone"
    known = (
        f"{seen['trained']:,} of the {data['images']:,} pictures taught this model, and "
        f"{seen['validation']:,} more belong to the part it was selected and calibrated on (by "
        f"{by})."
    )
    return f"Not a test: {known}" if seen["trained"] or seen["validation"] else known


def conversion_text(conversion: dict) -> str:
    """What convert.py measured, as one sentence."""
    size, agreement = conversion.get("megabytes"), conversion.get("top_1_agreement")
    parts = [f"model.tflite, quantisation {conversion.get('quantize', 'unknown')}"]
    if size is not None:
        parts.append(f"{size:.1f} MB")
    if agreement is not None:
        parts.append(
            f"same first answer as Keras for {agreement:.2%} of "
            f"{conversion.get('images', 'the')} validation images, probabilities at most "
            f"{short(conversion.get('largest_difference'))} apart"
        )
    return ", ".join(parts) + "."


def answered_table(points: list[dict], those: str) -> str:
    """A Markdown table of `points` or of `at_most` in `decisions` of metrics.json; those: the
    watched pictures, in words."""
    titles = {
        "left_out": f"{those} left out, %",
        "wrong": f"answered {those} with a wrong answer, %",
        "unwarned": f"answered {those} with a wrong answer and no warning, %",
    }
    watched = [key for key in titles if key in points[0].get("watched", {})]
    rows = []
    for point in points:
        if "labels" in point:
            row = [point["labels"], text(point["answered"], 100, 1)]
        else:
            row = [f"{point['answered'] * 100:.0f}"]
        row += [f"{point['images']:g}", text(point["accuracy"], 100, 1)]
        for figure in (point["watched"][key] for key in watched):
            of = f": {figure['count']:g} of {figure['of']:g}" if figure["of"] else ""
            row.append(text(figure, 100, 0) + of)
        rows.append(row)
    first = ["labels, at most"] if "labels" in points[0] else []
    head = [*first, "answered, %", "pictures", "accuracy, %", *(titles[key] for key in watched)]
    return "\n".join(table(head, rows))
