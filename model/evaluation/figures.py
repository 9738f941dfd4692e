"""Figures: training curves, classes, pictures, confusion matrix, ROC, reliability, time."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from model.folder import replacing

# Okabe and Ito, Color universal design, 2008; the yellow left out, too pale for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DPI = 150  # 8 inches make 1200 pixels, still readable at the 830 of a README
MANY = 20  # classes; above it, names and counts would overlap


def history_figure(rows: list[dict], path: Path) -> None:
    """Writes the curves of history.csv as a PNG: loss, then accuracy and balanced accuracy.

    rows: one dict an epoch, numbers or their text, with `epoch` (else counted from 1) and any of
    loss, accuracy, balanced_accuracy, val_loss, val_accuracy, val_balanced_accuracy.
    """
    figure = Figure(figsize=(8, 4.5), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    curves = (
        (left, "loss", "training", 0, "-"),
        (left, "val_loss", "validation", 1, "--"),
        (right, "accuracy", "training accuracy", 0, "-"),
        (right, "val_accuracy", "validation accuracy", 1, "--"),
        (right, "balanced_accuracy", "training balanced accuracy", 3, "-."),
        (right, "val_balanced_accuracy", "validation balanced accuracy", 2, ":"),
    )
    epochs = [_number(row.get("epoch"), index) for index, row in enumerate(rows, start=1)]
    for axes, column, label, colour, style in curves:
        values = [_number(row.get(column)) for row in rows]
        points = [pair for pair in zip(epochs, values) if pair[1] is not None]
        if points:
            marker = "o" if len(points) < 30 else None
            look = {"color": COLOURS[colour], "marker": marker, "markersize": 3}
            axes.plot(*zip(*points), style, label=label, **look)
    for axes, title in ((left, "Loss"), (right, "Accuracy")):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        whole = MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10], min_n_ticks=1)
        axes.xaxis.set_major_locator(whole)
        axes.grid(alpha=0.3)
        if epochs:
            axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        if axes.lines:
            # Below the axes, for a curve may run anywhere inside them.
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, fontsize=9)
    _save(figure, path)


def distribution_figure(before: dict, after: dict, balance: str, path: Path) -> None:
    """Writes how many images each label has, and how many of them an epoch shows.

    before, after: {label: images}; balance: how the one became the other, in the title.
    """
    labels = list(before)
    many = len(labels) > MANY
    figure = Figure(figsize=(8, 4.5), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, counts, title, colour in (
        (left, before, "Images of the training part", COLOURS[0]),
        (right, after, f"Shown in an epoch\n(balance: {balance})", COLOURS[1]),
    ):
        bars = axes.barh(range(len(labels)), list(counts.values()), color=colour)
        if not many:
            axes.bar_label(bars, [f"{count:,}" for count in counts.values()], padding=3)
        axes.set_title(f"{title}\n{sum(counts.values()):,} in all")
        axes.set_xlabel("images")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        axes.margins(x=0.2)
    left.set_yticks([] if many else range(len(labels)), [] if many else labels)
    left.invert_yaxis()
    _save(figure, path)


def pictures_figure(images, names: list[str], title: str, path: Path) -> None:
    """Writes up to nine pictures, uint8 [n, height, width, 3], with their names above them."""
    height, width = images.shape[1:3]
    figure = Figure(figsize=(8, 8 * height / width + 1), dpi=DPI, layout="constrained")
    figure.suptitle(title)
    for axes in figure.subplots(3, 3).flat:
        axes.set_axis_off()
    for axes, image, name in zip(figure.axes, images, names):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(name, fontsize=10)
    _save(figure, path)


def time_figure(points: list[dict], baselines: dict, path: Path) -> None:
    """Writes top-1 and balanced accuracy of models against the milliseconds of one image.

    points: dicts of name, ms, top_1, balanced_accuracy, and low and high of the latter; one that
    lacks a figure is left out. baselines: what the most common class reaches, {top_1, ...}.
    """
    figure = Figure(figsize=(8, 8), dpi=DPI, layout="constrained")
    for axes, key, title in zip(
        figure.subplots(2, 1, sharex=True),
        ("top_1", "balanced_accuracy"),
        ("Top-1 accuracy", "Balanced accuracy, with its 95 % interval"),
    ):
        known = [p for p in points if None not in (p["ms"], p[key])]
        for index, p in enumerate(sorted(known, key=lambda p: p["ms"])):
            colour = COLOURS[index % len(COLOURS)]
            if key == "balanced_accuracy" and None not in (p["low"], p["high"]):
                axes.plot([p["ms"]] * 2, [p["low"], p["high"]], color=colour, linewidth=1)
            axes.plot(p["ms"], p[key], MARKERS[index % len(MARKERS)], color=colour, label=p["name"])
        if key in baselines:
            look = {"color": "#999999", "linewidth": 1, "linestyle": "--"}
            axes.axhline(baselines[key], label="always the most common class", **look)
        axes.set_title(title)
        axes.set_ylabel("test part")
        axes.grid(alpha=0.3)
        axes.margins(x=0.15, y=0.15)
    if any(p["ms"] for p in points):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("one image in model.tflite, milliseconds")
    handles, names = axes.get_legend_handles_labels()
    # Names beside the points would lie over each other where two models are alike.
    if names:
        figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def confusion_figure(metrics: dict, title: str, path: Path) -> None:
    """Writes the confusion matrix of classification_metrics: counts, shaded by share of the row."""
    labels, counts = list(metrics["support"]), metrics["confusion"]
    k = len(labels)
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    figure = Figure(figsize=(8, 7), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title(f"Confusion matrix\n{title}")
    axes.set_xlabel("predicted")
    axes.set_ylabel("diagnosis (number of images)" if k <= MANY else "diagnosis")
    if k <= MANY:
        turned = 90 if k * max(map(len, labels)) > 60 else 0
        axes.set_xticks(range(k), labels, rotation=turned)
        axes.set_yticks(range(k), [f"{label} ({sum(row)})" for label, row in zip(labels, counts)])
        size = 13 if k <= 8 else 8
        for row in range(k):
            for column in range(k):
                colour = "white" if shares[row][column] > 0.5 else "black"
                axes.text(
                    column,
                    row,
                    counts[row][column],
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=size,
                )
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the row")
    _save(figure, path)


def roc_figure(metrics: dict, title: str, path: Path) -> None:
    """Writes the ROC curve of each class of classification_metrics against all others."""
    figure = Figure(figsize=(8, 5.5), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    drawn = {name: values for name, values in metrics["per_class"].items() if values["roc_curve"]}
    many = len(drawn) > MANY
    for index, (label, values) in enumerate(drawn.items()):
        area = values["roc_auc"]
        span = "" if area["low"] is None else f" ({area['low']:.2f}–{area['high']:.2f})"
        axes.plot(
            *zip(*values["roc_curve"]),
            color=COLOURS[0] if many else COLOURS[index % len(COLOURS)],
            linestyle="-" if many else STYLES[index % len(STYLES)],
            alpha=0.25 if many else 1,
            label=None if many else f"{label}  {area['value']:.2f}{span}",
        )
    axes.set_title(f"ROC, each class against the others\n{title}")
    axes.set_xlabel("1 − specificity")
    axes.set_ylabel("sensitivity")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    if drawn and not many:
        figure.legend(loc="outside right center", title="area under the curve", frameon=False)
    _save(figure, path)


def reliability_figure(metrics: dict, before: dict | None, title: str, path: Path) -> None:
    """Writes accuracy against confidence, and how many images have which confidence.

    before: `ece` and `reliability` of the same model before temperature scaling, if measured.
    """
    figure = Figure(figsize=(8, 7.5), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="confidence equals accuracy")
    series = [(metrics, "calibrated" if before else "model", COLOURS[0], "o-")]
    if before:
        series.append((before, "before temperature scaling", COLOURS[1], "s--"))
    for one, name, colour, style in series:
        bins = [single for single in one["reliability"] if single["n"]]
        upper.plot(
            [single["confidence"] for single in bins],
            [single["accuracy"] for single in bins],
            style,
            color=colour,
            label=f"{name}, calibration error {one['ece']['value']:.3f}",
        )
    bins = metrics["reliability"]
    bars = lower.bar(
        [single["lower"] for single in bins],
        [single["n"] for single in bins],
        width=1 / len(bins),
        align="edge",
        color=COLOURS[0],
        edgecolor="white",
    )
    lower.bar_label(bars, [single["n"] or "" for single in bins], padding=1, fontsize=9)
    lower.margins(y=0.2)
    upper.set_title(f"Reliability\n{title}")
    upper.set_ylabel("accuracy")
    upper.set_ylim(-0.02, 1.02)
    upper.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    lower.set_xlim(0, 1)
    lower.set_xlabel("confidence (highest probability)")
    lower.set_ylabel("images")
    _save(figure, path)


def _save(figure, path):
    with replacing(path) as beside:
        figure.savefig(beside, format="png")


def _number(value, otherwise=None):
    try:
        number = float(value)
    except (TypeError, ValueError):
        return otherwise
    return number if number - number == 0 else otherwise  # neither NaN nor infinite
