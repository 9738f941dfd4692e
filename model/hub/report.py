"""report.md of a model folder and what evaluate.py prints, made from config.json and metrics.json.

Published figures stand beside ours only when the labels are the seven of HAM10000, and the report
says whether the part is the one they were measured on.
"""

from pathlib import Path

from model.evaluation.figures import (
    confusion_figure,
    history_figure,
    reliability_figure,
    roc_figure,
)
from model.folder import write_text
from model.hub import published, tables
from model.hub.tables import ARCHITECTURES, RUNTIMES, SUBGROUPS

__all__ = ["history_figure", "print_report", "write_report"]


def write_report(folder: Path, config: dict, metrics: dict) -> None:
    """Writes report.md, confusion.png, roc.png and reliability.png into the folder.

    config and metrics: the content of config.json and metrics.json; missing keys leave their
    lines out. The figures show TF Lite, or Keras where there is no TF Lite; `uncalibrated` in
    metrics adds a curve to the reliability figure. Every file is replaced whole. Raises
    ValueError when metrics holds neither runtime.
    """
    folder = Path(folder)
    name, entry = list(tables.runtimes(metrics).items())[-1]
    title = f"{RUNTIMES[name]}, {tables.part(metrics)}"
    confusion_figure(entry, title, folder / "confusion.png")
    roc_figure(entry, title, folder / "roc.png")
    reliability_figure(entry, metrics.get("uncalibrated"), title, folder / "reliability.png")
    write_text(folder / "report.md", _markdown(config, metrics))


def print_report(metrics: dict) -> str:
    """The figures of metrics.json as a short text table, without a newline at its end."""
    runtimes = tables.runtimes(metrics)
    first = next(iter(runtimes.values()))
    head = ["", *(RUNTIMES[name] for name in runtimes), f"always {first['baseline']['label']}"]
    rows = [row[: len(head)] for row in tables.summary_rows(runtimes)]
    lines = [tables.part(metrics), ""]
    for title, *cells in [head, *rows]:
        lines.append(f"{title:<24}" + "".join(f"{cell:>24}" for cell in cells))
    wide = max(8, *map(len, first["per_class"]))
    for name, entry in runtimes.items():
        head = f"{RUNTIMES[name]:<{wide}}{'images':>8}{'precision':>11}{'recall':>8}{'F1':>6}"
        lines += ["", head]
        for label, values in entry["per_class"].items():
            keys = ("precision", "recall", "f1")
            precision, recall, f1 = (tables.value(values[key]) for key in keys)
            lines.append(f"{label:<{wide}}{values['support']:>8}{precision:>11}{recall:>8}{f1:>6}")
        if times := entry.get("latency_ms"):
            keys = ("std", "min", "max")
            spread = ", ".join(f"{key} {tables.short(times.get(key))}" for key in keys)
            lines.append(
                f"one image in {tables.short(times.get('mean'))} ms ({spread}; "
                f"{times.get('calls', '–')} calls)"
            )
    if conversion := metrics.get("conversion"):
        lines += ["", tables.conversion_text(conversion)]
    return "\n".join(lines)


def _markdown(config, metrics):
    runtimes = tables.runtimes(metrics)
    first = next(iter(runtimes.values()))
    architecture = str(config.get("architecture") or "model")
    model = ARCHITECTURES.get(architecture, architecture)
    beside = set(first["per_class"]) == set(published.TEST_SUPPORT)
    lines = [f"# {model}: {tables.part(metrics)}", "", *_opening(config, metrics, model, beside)]
    for name, entry in runtimes.items():
        lines += [f"## Per class, {RUNTIMES[name]}", ""]
        lines += tables.class_table(entry, published.RUNTIMES[name] if beside else None)
    lines += ["## Accuracy and averages", "", *tables.summary_table(runtimes, beside)]
    if beside:
        lines += _other_works()
    lines += _latency_table(runtimes, metrics.get("conversion"), beside)
    for key, groups in (metrics.get("subgroups") or {}).items():
        lines += [f"## {SUBGROUPS.get(key, key)}", "", *tables.subgroup_table(groups)]
    if measured := metrics.get("familiarity"):
        lines += ["## When it does not know", "", *tables.familiarity_lines(measured)]
    lines += ["## Figures", "", "![Confusion matrix](confusion.png)", ""]
    lines += ["![ROC curves](roc.png)", "", "![Reliability](reliability.png)", ""]
    if beside:
        lines += ["## Sources of the published figures", ""]
        lines += [f"- {published.cite(key)}" for key in ("P1", "ISIC2018", "HAM10000")] + [""]
    return "\n".join(lines)


def _opening(config, metrics, model, beside):
    entry = next(iter(tables.runtimes(metrics).values()))
    shape = config.get("input") or {}
    size = f" at {shape['height']}x{shape['width']}" if {"height", "width"} <= set(shape) else ""
    lines = [
        f"{model}{size}, measured on {entry['n']} images ({tables.counts(entry['support'])}). "
        f"{tables.drawn(entry)} It knows nothing of other clinics, cameras or skin types.",
        "",
    ]
    if beside:
        source = published.CITATIONS["P1"]["short"]
        if tables.comparable(metrics):
            lines.append(
                f"By number and class these are the {published.TEST_IMAGES} images of {source}: "
                "lesions with one image, 15 % drawn stratified by diagnosis. Our figures compare "
                "with theirs."
            )
        else:
            lines.append(
                f"**Not comparable**: the published figures were measured on other images, the "
                f"{published.TEST_IMAGES} of {source} ({tables.counts(published.TEST_SUPPORT)}). "
                "They stand here for orientation."
            )
        lines.append("")
    return lines + ["A research model measured on labelled pictures: no medical diagnosis.", ""]


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
        *tables.table(["model", "precision", "recall", "F1", "accuracy"], rows),
    ]


def _latency_table(runtimes, conversion, beside):
    timed = {name: entry["latency_ms"] for name, entry in runtimes.items() if "latency_ms" in entry}
    lines = ["## Time and size", ""] if timed or conversion else []
    if timed:
        keys = ("mean", "std", "min", "max", "median", "calls")
        rows = [
            [f"{RUNTIMES[name]}, one image", *(tables.short(times.get(key)) for key in keys)]
            for name, times in timed.items()
        ]
        if beside:
            for name, times in published.LATENCY_MS.items():
                times = times | {"calls": published.LATENCY_CALLS}
                rows.append([f"published {name}", *(tables.short(times.get(key)) for key in keys)])
        lines += tables.table(["milliseconds", *keys], rows)
        if beside:
            whole = ", ".join(f"{name} {ms} ms" for name, ms in published.WHOLE_CALL_MS.items())
            lines += [
                f"Published whole call, picture sent to result received: {whole}. The machines "
                "differ, so the times do not compare models.",
                "",
            ]
    return lines + ([tables.conversion_text(conversion), ""] if conversion else [])
