"""Figures as PNG files: a training run, its data, and what evaluate.py measured.

With the setting `figures`, train.py writes distribution.png and the pictures. Those go into
`pictures/`, which stays on this machine: neither SHA256SUMS nor a push to the Hub includes it,
since the pictures belong to the data set, under its licence.
"""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay

from model.folder import replacing
from model.labels import display_name

# Okabe and Ito, Color universal design, 2008; without the yellow, too pale for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DPI = 150  # 8 inches make 1200 pixels, still readable at the 830 of a README
MANY = 20  # classes; with more, names and counts would overlap
PICTURES = "pictures"


def history_figure(rows: list[dict], path: Path) -> None:
    """Write the curves of history.csv: loss, then accuracy and balanced accuracy.

    rows: one dict of numbers per epoch, with `epoch` (counted from 1 if missing) and any of loss,
    accuracy, balanced_accuracy and their val_ counterparts.
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
    epochs = [row.get("epoch", index) for index, row in enumerate(rows, start=1)]
    for axes, column, label, colour, style in curves:
        values = [row.get(column, math.nan) for row in rows]
        points = [pair for pair in zip(epochs, values) if math.isfinite(pair[1])]
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
            # Below the axes, as a curve may run anywhere inside them.
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, fontsize=9)
    _save(figure, path)


def distribution_figure(before: dict, after: dict, balance: str, path: Path) -> None:
    """Write how many images each label has, and how many an epoch shows.

    before, after: {label: images}; balance: the setting `balance`, for the title.
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
    """Write up to nine pictures, uint8 [n, height, width, 3], with their names above."""
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
    """Write top-1 and balanced accuracy of models against the milliseconds of one image.

    points: dicts of name, ms, top_1, balanced_accuracy, and low and high of the latter; one without
    a figure is left out. baselines: what the most common class reaches, {top_1, ...}.
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
    # Names beside the points would overlap where two models are alike.
    if names:
        figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def blur_figure(noticed: dict, curves: dict[str, dict], path: Path) -> None:
    """Write what blur does to pictures and to models.

    noticed: {radius: share of the pictures with the notice}; curves: {name: {radius: figure}}. Both
    are 0 to 1.
    """
    figure = Figure(figsize=(8, 7), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    upper.plot(*zip(*noticed.items()), "o-", color=COLOURS[-1])
    for radius, share in noticed.items():
        label = {"xytext": (-2, 6), "textcoords": "offset points", "ha": "right", "fontsize": 9}
        upper.annotate(f"{share:.1%}", (radius, share), **label)
    upper.margins(x=0.08)
    upper.set(title="Pictures with the notice of blur", ylabel="share", ylim=(-0.05, 1.2))
    for index, (name, values) in enumerate(curves.items()):
        look = {"color": COLOURS[index], "marker": MARKERS[index], "label": name}
        lower.plot(*zip(*values.items()), STYLES[index % len(STYLES)], **look)
    lower.set(title="The models' answers to all pictures", ylabel="validation part", ylim=(0, 1))
    lower.set_xlabel("radius of the Gaussian, pixels of a picture 600 pixels wide")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    handles, names = lower.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def confusion_figure(metrics: dict, title: str, path: Path) -> None:
    """Write the confusion matrix of classification_metrics: counts, shaded by share of the row."""
    labels, counts = list(metrics["support"]), np.array(metrics["confusion"])
    many = len(labels) > MANY
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    figure = Figure(figsize=(8, 7), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    display = ConfusionMatrixDisplay(shares, display_labels=labels).plot(
        ax=axes,
        cmap="Blues",
        colorbar=False,
        include_values=not many,
        xticks_rotation=90 if len(labels) * max(map(len, labels)) > 60 else 0,
        im_kw={"vmin": 0, "vmax": 1},
        text_kw={"fontsize": 13 if len(labels) <= 8 else 8},
    )
    if many:
        axes.set(xticks=[], yticks=[])
    else:
        axes.set_yticklabels([f"{label} ({total})" for label, total in zip(labels, totals)])
        for cell, count, share in zip(display.text_.flat, counts.flat, shares.flat):
            cell.set(text=count, color="white" if share > 0.5 else "black")
    axes.set_title(f"Confusion matrix\n{title}")
    axes.set_xlabel("predicted")
    axes.set_ylabel("diagnosis" if many else "diagnosis (number of images)")
    figure.colorbar(display.im_, ax=axes, shrink=0.8, label="share of the row")
    _save(figure, path)


def roc_figure(metrics: dict, title: str, path: Path) -> None:
    """Write the ROC curve of each class of classification_metrics against all others."""
    figure = Figure(figsize=(8, 5.5), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    drawn = {name: values for name, values in metrics["per_class"].items() if values["roc_curve"]}
    many = len(drawn) > MANY
    for index, (label, values) in enumerate(drawn.items()):
        fpr, tpr = np.transpose(values["roc_curve"])
        area = values["roc_auc"]
        span = "" if area["low"] is None else f" ({area['low']:.2f}–{area['high']:.2f})"
        look = {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index % len(STYLES)]}
        look["label"] = f"{label}  {area['value']:.2f}{span}"
        look = {"color": COLOURS[0], "alpha": 0.25, "label": None} if many else look
        RocCurveDisplay(fpr=fpr, tpr=tpr).plot(axes, curve_kwargs=look)
    axes.set_title(f"ROC, each class against the others\n{title}")
    axes.set_xlabel("1 − specificity")
    axes.set_ylabel("sensitivity")
    axes.grid(alpha=0.3)
    if drawn and not many:
        _legend_outside(figure, axes, "right center", title="area under the curve")
    _save(figure, path)


def reliability_figure(metrics: dict, before: dict | None, title: str, path: Path) -> None:
    """Write accuracy against confidence, and how many images have which confidence.

    before: `ece` and `reliability` of the same model before temperature scaling, if measured.
    """
    figure = Figure(figsize=(8, 7.5), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="confidence equals accuracy")
    series = [(metrics, "calibrated" if before else "model", COLOURS[0], "o", "-")]
    series += [(before, "before temperature scaling", COLOURS[1], "s", "--")] if before else []
    for one, name, colour, marker, style in series:
        pairs = [(b["accuracy"], b["confidence"]) for b in one["reliability"] if b["n"]]
        display = CalibrationDisplay(*np.transpose(pairs), None)
        label = f"{name}, calibration error {one['ece']['value']:.3f}"
        look = {"color": colour, "marker": marker, "linestyle": style}
        display.plot(ax=upper, name=label, ref_line=False, **look)
    bins = metrics["reliability"]
    left, images = [b["lower"] for b in bins], [b["n"] for b in bins]
    look = {"color": COLOURS[0], "edgecolor": "white"}
    bars = lower.bar(left, images, width=1 / len(bins), align="edge", **look)
    lower.bar_label(bars, [n or "" for n in images], padding=1, fontsize=9)
    lower.margins(y=0.2)
    upper.set(title=f"Reliability\n{title}", xlabel="", ylabel="accuracy", ylim=(-0.02, 1.02))
    upper.grid(alpha=0.3)
    lower.set(xlabel="confidence (highest probability)", ylabel="images", xlim=(0, 1))
    _legend_outside(figure, upper, "lower center")
    _save(figure, path)


def risk_coverage_figure(decisions: dict, title: str, path: Path) -> None:
    """Write what happens when only a share of the pictures is answered, of `decisions` in
    metrics.json: the accuracy and, below, what becomes of the watched label's pictures."""
    measured = decisions["risk_coverage"]
    share, accuracy, low, high, *others = np.array(measured["curve"], float).T  # null becomes NaN
    watched = bool(others) and not np.isnan(others).any()
    figure = Figure(figsize=(8, 8.5 if watched else 5.5), dpi=DPI, layout="constrained")
    axes, *below = np.atleast_1d(figure.subplots(2 if watched else 1, 1, sharex=True))
    axes.axhline(accuracy[-1], color="#999999", linewidth=1, label="in random order (expected)")
    axes.fill_between(share, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
    area = measured["aurc"]["value"]
    name = f"most confident first, 95 % interval (AURC {area:.3f})"
    axes.plot(share, accuracy, color=COLOURS[0], label=name)
    sets = [one for one in decisions.get("sets", {}).get("at_most", []) if one["images"]]
    if sets:
        pairs = [(one["answered"]["value"], one["accuracy"]["value"]) for one in sets]
        look = {"color": COLOURS[1], "linestyle": "none", "marker": "s"}
        axes.plot(*zip(*pairs), label="prediction sets of at most 1, 2, ... labels", **look)
        for one, pair, before in zip(sets, pairs, [(-1, 0), *pairs]):
            if pair[0] - before[0] > 0.02:  # else the numbers would overlap
                place = {"xytext": (0, -14), "textcoords": "offset points", "ha": "center"}
                axes.annotate(str(one["labels"]), pair, color=COLOURS[1], **place)
    axes.set(title=f"Accuracy when the least sure are left out\n{title}", ylabel="accuracy")
    axes.margins(y=0.1)
    axes.grid(alpha=0.3)
    if watched:
        left, wrong = others
        names = ("answered correctly", "answered wrongly", "left out")
        parts = (1 - left - wrong, wrong, left)
        below[0].stackplot(share, *parts, labels=names, colors=(COLOURS[2], COLOURS[4], "#BBBBBB"))
        number = measured["points"][0]["watched"]["left_out"]["of"]
        title = f"{display_name(decisions['watched'])}, {number:g} images"
        below[0].set(title=title, ylabel="share", ylim=(0, 1))
    figure.axes[-1].set(xlabel="share of the pictures that are answered", xlim=(0, 1.02))
    entries = [each.get_legend_handles_labels() for each in figure.axes]
    handles, names = (sum(parts, []) for parts in zip(*entries))
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def decision_figure(decisions: dict, title: str, path: Path) -> None:
    """Write the net benefit against the threshold probability, of `decisions` in metrics.json."""
    figure = Figure(figsize=(8, 5.5), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    measured = decisions["decision_curve"]
    threshold, benefit, low, high, everything = np.array(measured["curve"], float).T
    axes.axhline(0, color="#999999", linewidth=1, label="excise none")
    axes.plot(threshold, everything, "--", color=COLOURS[1], label="excise all")
    axes.fill_between(threshold, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
    name = "excise where the model gives at least this probability, with 95 % interval"
    axes.plot(threshold, benefit, color=COLOURS[0], label=name)
    point = measured["point"]
    if point["net_benefit"]["value"] is not None:
        place = point["threshold"], point["net_benefit"]["value"]
        axes.plot(
            *place, "o", color=COLOURS[-1], label=f"the model's operating point, {place[0]:.3f}"
        )
    best = np.nanmax([*high, *benefit, 0.02])
    worst = min(-0.25 * best, 1.05 * np.nanmin(benefit))  # the line of all falls far below
    axes.set_ylim(worst, 1.05 * best)
    axes.set_title(f"Decision curve: net benefit of excising\n{title}")
    axes.set(xlabel="threshold probability", ylabel="net benefit, per picture")
    axes.grid(alpha=0.3)
    _legend_outside(figure, axes, "lower center")
    _save(figure, path)


def write_figures(folder: Path, settings, batches, labels: list[str]) -> None:
    """Write the figures of a run's data into a model folder: train.py --set figures=true.

    distribution.png: images of each label, before and after balancing; pictures/samples.png: nine
    training pictures; pictures/augmented.png: the same nine, augmented, if the run augments.

    settings: the arguments of train.py; batches: the run's TrainingBatches (model/data/batches.py).
    """
    import keras

    from model.data.augmentation import augmentation

    def counts(truth):
        return dict(zip(labels, np.bincount(truth, minlength=len(labels)).tolist()))

    shown = counts(batches.truth[batches.order])
    distribution_figure(counts(batches.truth), shown, settings.balance, folder / "distribution.png")
    rows = nine(batches.truth)
    (folder / PICTURES).mkdir(exist_ok=True)
    names, images = [labels[batches.truth[row]] for row in rows], batches.images[rows]
    pictures_figure(images, names, "Training pictures", folder / PICTURES / "samples.png")
    layers = augmentation(settings.augment, settings.seed, settings.colour)
    if not layers:
        return
    augmented = images.astype(np.float32)
    for layer in layers:
        augmented = layer(augmented, training=True)
    augmented = np.clip(keras.ops.convert_to_numpy(augmented), 0, 255).round().astype(np.uint8)
    pictures_figure(augmented, names, "The same, augmented", folder / PICTURES / "augmented.png")


def nine(truth: np.ndarray) -> list[int]:
    """Nine row numbers (all where there are fewer): the first of each label, the second, ..."""
    nth = np.zeros(len(truth), dtype=int)
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        nth[members] = np.arange(len(members))
    chosen = np.lexsort((truth, nth))[:9]
    return sorted(chosen.tolist(), key=lambda row: (truth[row], row))


def _legend_outside(figure, axes, place, **options):
    """A legend of the figure in place of the one that scikit-learn puts into the axes."""
    handles, names = axes.get_legend_handles_labels()
    if legend := axes.get_legend():
        legend.remove()
    figure.legend(handles, names, loc=f"outside {place}", frameon=False, **options)


def _save(figure, path):
    with replacing(path) as beside:
        figure.savefig(beside, format="png")
