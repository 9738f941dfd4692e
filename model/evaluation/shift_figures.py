"""Figures of dataset shift as PNG files, from what model/evaluation/shift.py measured."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model.evaluation.figures import COLOURS, DPI, MARKERS, STYLES
from model.folder import replacing

LEVEL = "0.9"  # of the sets that are drawn
CLINIC = (
    (f"Coverage of the {100 * float(LEVEL):.0f} % sets", ("coverage", LEVEL)),
    ("Sensitivity of the warning", ("sensitivity",)),
    ("Specificity of the warning", ("specificity",)),
    ("Calibration error (ECE)", ("ece",)),
)
CORRUPTION = (
    ("balanced accuracy", "balanced_accuracy"),
    ("sensitivity of the warning", "sensitivity"),
    ("specificity of the warning", "specificity"),
    ("pictures without a reliable answer", "refused"),
)


def clinic_figure(clinics: dict, title: str, path: Path, many: str = "clinics") -> None:
    """Write a point with its interval for each clinic and calibration; clinics: what `clinics` of
    model/evaluation/shift.py returns; many: what they are called."""
    figure = Figure(figsize=(8, 2.5 + 0.9 * len(clinics)), dpi=DPI, layout="constrained")
    figure.suptitle(title)
    names = [f"{name}\n{entry['n']} pictures" for name, entry in clinics.items()]
    for axes, (heading, (key, *level)) in zip(figure.subplots(2, 2, sharey=True).flat, CLINIC):
        for index, (calibration, label) in enumerate(
            (("others", f"calibrated on the other {many}"), ("all", f"calibrated on all {many}"))
        ):
            look = {"color": COLOURS[index]}
            label = {"label": label}
            for row, entry in enumerate(clinics.values()):
                found = entry[calibration][key]
                found = found[level[0]] if level else found
                if found["value"] is None:
                    continue
                place = row + 0.3 * index - 0.15
                if found["low"] is not None:
                    axes.plot([found["low"], found["high"]], [place] * 2, **look)
                axes.plot(found["value"], place, MARKERS[index], **look, **label)
                label = {}
        if level:
            axes.axvline(float(LEVEL), color="#999999", linewidth=1, linestyle="--")
        axes.set(title=heading, xlim=(-0.02, 1.02))
        axes.grid(axis="x", alpha=0.3)
        axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.invert_yaxis()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    save(figure, path)


def corruption_figure(measured: dict, title: str, path: Path) -> None:
    """Write the figures of each kind by strength; measured: what `corruptions` of
    model/evaluation/shift.py returns."""
    kinds = [kind for kind in measured if kind != "none"]
    columns = 3
    rows = -(-len(kinds) // columns)
    figure = Figure(figsize=(8, 1.2 + 2.2 * rows), dpi=DPI, layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(kinds) :]:
        axes.set_axis_off()
    for axes, kind in zip(grid.flat, kinds):
        entries = [measured["none"], *measured[kind]]
        for index, (label, key) in enumerate(CORRUPTION):
            points = [
                (strength, *(entry[key][end] for end in ("value", "low", "high")))
                for strength, entry in enumerate(entries)
                if entry.get(key, {}).get("value") is not None
            ]
            if not points:
                continue
            strengths, values, low, high = zip(*points)
            look = {"color": COLOURS[index], "marker": MARKERS[index], "markersize": 4}
            axes.plot(strengths, values, STYLES[index], label=label, **look)
            if None not in (*low, *high):
                axes.fill_between(strengths, low, high, color=COLOURS[index], alpha=0.15, lw=0)
        axes.set(title=kind, ylim=(-0.02, 1.02))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("strength (0: none)")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    with replacing(path) as beside:
        figure.savefig(beside, format="png")
