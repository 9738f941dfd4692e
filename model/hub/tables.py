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
    """A figure with its interval, "0.53 (0.40–0.66)" or, in per cent, "87.56 (85.22–89.70)"."""
    shown = value(figure, scale, decimals)
    if shown == "–" or figure["low"] is None:
        return shown
    return f"{shown} ({figure['low'] * scale:.{decimals}f}–{figure['high'] * scale:.{decimals}f})"


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


def group_name(name: str) -> str:
    """The name of a group, which comes from the data set, as a cell of a Markdown table."""
    return name.replace("|", "\\|")


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
