"""What quantisation changes, measured on the validation part of models with Keras weights.

    python -m results.variants                  runs/bundled and model/compact, writes
    python -m results.variants runs/A runs/B    results/variants.md

The network is written in every precision that convert.py offers, and with weights of 4 bits, which
it does not offer. Times are those of one thread, the precisions in turn. Leave the machine alone
meanwhile.

Temperature and the limits of prediction sets come from one half of the lesions of each class,
calibration error and coverage from the pictures of the other half, as in results/sets.py: once from
the answers of the file itself, and once from those of the float32 file, as for a file that
convert.py --also writes.
"""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import convert
from model.benchmark import measures
from model.data import dataset as data
from model.evaluation.agreement import AGREEMENT, answers
from model.evaluation.calibration import calibrated, fit_temperature
from model.evaluation.metrics import clusters_of, draws, interval
from model.folder import VARIANTS
from model.hub.tables import table, text
from model.sets import LEVEL
from results.reports import parser, refuse_final, run, signed, write_report
from results.sets import ValidationAnswers, over_halves, threshold

FOLDERS = ["runs/bundled", "model/compact"]
WHOLE, DEFAULT = "fp32", "dynamic_wi8_afp32"
PRECISIONS = (*VARIANTS, "dynamic_wi4_afp32")
HALVES, SEED = 500, 0
CALLS = 60  # timed, of each precision
BALANCED, MELANOMA = ("balanced_accuracy",), ("melanoma", "sensitivity")
# What `by_halves` measures: unit, scale and decimals in print, and the sign of a change for the
# worse.
FIGURES = {
    "log-loss": ("", 1, 3, 1),
    "calibration error": ("", 1, 3, 1),
    f"coverage of {LEVEL:.0%} sets": (", %", 100, 1, -1),
    "labels in a set": ("", 1, 2, 1),
}

# The headings of the tables.
FILES = [
    "MB",
    "ms",
    "same first answer, %",
    "balanced accuracy",
    "more",
    "melanoma recall, %",
    "more",
]
BY_HALVES = [each for name, (unit, *_) in FIGURES.items() for each in (f"{name}{unit}", "more")]


@dataclass(frozen=True)
class Measured:
    """A model's files in each precision: labels; truth [n], indices into them; lesions [n]; and by
    precision the logits [n, k] of the file's answers, its size in MB, and milliseconds of each of
    its calls."""

    labels: list[str]
    truth: np.ndarray
    lesions: np.ndarray
    logits: dict[str, np.ndarray]
    megabytes: dict[str, float]
    milliseconds: dict[str, list[float]]


def measure(folder: "str | Path", args) -> Measured:
    """Write the network of a model folder in every precision, and run the files on its validation
    part. Raises ModelFolderError without Keras weights, DatasetError, and UserError if the model
    was trained on that part."""
    from model.network.graph import float32_graph
    from model.network.network import backbone_of, load_network
    from model.network.quantization import quantized

    folder = Path(folder)
    network, config = load_network(folder)
    refuse_final(folder, config)
    rows = data.rows_of_model(config, args.dataset)
    images, truth, lesions = convert.validation_part(args, folder, config, rows)
    train = convert.training_pictures(args, folder, config, rows)
    graph = float32_graph(network, config, convert.reference_of(config, train))
    samples = data.evenly(train, convert.CALIBRATION_IMAGES)
    logits, megabytes, calls = {}, {}, {}
    with tempfile.TemporaryDirectory() as place:
        for precision in PRECISIONS:
            path = Path(place) / f"{precision}.tflite"
            path.write_bytes(quantized(graph, precision, backbone_of(network).name, samples))
            logits[precision] = answers(path, images)[2]
            megabytes[precision] = path.stat().st_size / 1e6
            calls[precision] = measures.tflite(path, threads=1)
        return Measured(config["labels"], truth, lesions, logits, megabytes, times(calls, images))


def times(calls: dict, images: np.ndarray) -> dict[str, list[float]]:
    """Milliseconds of each of CALLS calls, {name: [CALLS]}, all of `calls` in turn."""
    found = {name: [] for name in calls}
    for image in images[np.arange(CALLS) % len(images)]:
        for name, call in calls.items():
            found[name] += measures.timed(partial(call, image[None]), 1, warm=1)
    return found


@dataclass(frozen=True)
class Calibration:
    """Temperature, and the limit of each class at LEVEL."""

    temperature: float
    limits: list[float]


def calibrate(answers: ValidationAnswers, logits: np.ndarray, chosen: np.ndarray) -> Calibration:
    """From the lesions `chosen`, bool. `answers`: their labels and lesions; logits [n, k]."""
    fitted = chosen[answers.clusters]
    temperature = fit_temperature(logits[fitted], answers.truth[fitted])
    scores = threshold(calibrated(logits, temperature))
    return Calibration(temperature, answers.limits(answers.by_lesion(scores), chosen, LEVEL))


def figures(
    answers: ValidationAnswers, logits: np.ndarray, calibration: Calibration, shown: np.ndarray
) -> list[float]:
    """FIGURES of the pictures `shown`, bool."""
    probabilities = calibrated(logits, calibration.temperature)
    drawn = draws(
        answers.labels,
        answers.truth[shown],
        probabilities[shown],
        answers.clusters[shown].astype(str),
        resamples=0,
    )
    within = answers.within(threshold(probabilities), calibration.limits)
    size, _, coverage, *_ = answers.figures(within, shown)
    return [drawn["log_loss",][0], drawn["ece",][0], coverage, size]


def by_halves(measured: Measured, halves: int) -> tuple[dict, dict]:
    """FIGURES of each precision, {precision: [halves, figures]}: calibrated on its own answers to
    the other half, and on those of the float32 file."""
    clusters = clusters_of(measured.lesions)
    own, kept = ({precision: [] for precision in measured.logits} for _ in range(2))
    answers = {
        precision: ValidationAnswers(measured.labels, measured.truth, calibrated(z), clusters)
        for precision, z in measured.logits.items()
    }
    for chosen in answers[WHOLE].halves(halves):
        shown = ~chosen[clusters]
        whole = calibrate(answers[WHOLE], measured.logits[WHOLE], chosen)
        for precision, logits in measured.logits.items():
            known = answers[precision]
            fitted = calibrate(known, logits, chosen)
            own[precision].append(figures(known, logits, fitted, shown))
            kept[precision].append(figures(known, logits, whole, shown))
    return tuple({key: np.array(rows) for key, rows in each.items()} for each in (own, kept))


def files_cells(measured: Measured, resamples: int) -> tuple[dict[str, list[str]], dict[str, dict]]:
    """The cells under FILES by precision, and how each precision's balanced accuracy differs from
    float32's."""
    options = {"resamples": resamples, "seed": SEED}
    drawn = {
        precision: draws(
            measured.labels, measured.truth, calibrated(logits), measured.lesions, **options
        )
        for precision, logits in measured.logits.items()
    }
    first = {precision: logits.argmax(axis=1) for precision, logits in measured.logits.items()}
    cells, differences = {}, {}
    for precision, figure in drawn.items():
        more = {
            path: interval(figure[path] - drawn[WHOLE][path])
            for path in (BALANCED, MELANOMA)
            if path in figure
        }
        differences[precision] = more[BALANCED]
        low, median, high = np.quantile(measured.milliseconds[precision], (0.025, 0.5, 0.975))
        cells[precision] = [
            f"{measured.megabytes[precision]:.1f}",
            text({"value": median, "low": low, "high": high}, decimals=1),
            f"{100 * (first[precision] == first[WHOLE]).mean():.1f}",
            text(interval(figure[BALANCED]), decimals=3),
            "–" if precision == WHOLE else signed(more[BALANCED], decimals=3),
            text(interval(figure[MELANOMA]), 100, 0) if MELANOMA in figure else "–",
            signed(more[MELANOMA], 100, 0) if precision != WHOLE and more.get(MELANOMA) else "–",
        ]
    return cells, differences


def halves_cells(found: dict[str, np.ndarray], whole: np.ndarray) -> dict[str, list[str]]:
    """The cells under BY_HALVES by precision; found, whole: of `by_halves`, the latter of
    float32."""
    cells = {}
    for precision, values in found.items():
        cells[precision] = row = []
        for at, (_, scale, decimals, _) in enumerate(FIGURES.values()):
            row.append(text(over_halves(values[:, at]), scale, decimals))
            more = over_halves(values[:, at] - whole[:, at])
            row.append("–" if precision == WHOLE else signed(more, scale, decimals))
    return cells


def grows(differences: np.ndarray) -> bool:
    """Whether at least 97.5 % of the differences [halves] are above 0."""
    low = over_halves(differences)["low"]
    return low is not None and low > 0


def findings(measured: Measured, differences: dict, kept: dict, whole: np.ndarray) -> list[str]:
    """Sentences on a model; the arguments as the tables have them."""
    others = [precision for precision in measured.logits if precision != WHOLE]
    median = {key: np.median(values) for key, values in measured.milliseconds.items()}
    first = {key: logits.argmax(axis=1) for key, logits in measured.logits.items()}
    agrees = {key: (first[key] == first[WHOLE]).mean() >= AGREEMENT for key in others}
    fit = [key for key in others if agrees[key]]
    said = [f"At least {AGREEMENT:.0%} of the first answers are float32's with: {listed(fit)}."]
    if DEFAULT in median:
        said.append(
            f"A picture takes {median[DEFAULT]:.1f} ms with the default, {DEFAULT}, and "
            f"{median[WHOLE]:.1f} ms in float32."
        )
    if fit:
        fastest = min(fit, key=median.get)
        said.append(
            f"The fastest of these, {fastest}, takes {median[fastest] / median[WHOLE]:.2f} of "
            "float32's time."
        )
    worse = {
        name: [key for key in others if grows(sign * (kept[key][:, at] - whole[:, at]))]
        for at, (name, (*_, sign)) in enumerate(FIGURES.items())
    }
    said.append(
        "With float32's temperature and limits, worse than float32 in at least 97.5% of the "
        "halves: " + "; ".join(f"{name} with {listed(keys)}" for name, keys in worse.items()) + "."
    )
    unclear = [
        key
        for key in others
        if differences[key]["low"] <= 0 <= differences[key]["high"]
        and any(key in keys for keys in worse.values())
    ]
    if unclear:
        said.append(
            "Of these, the interval of the difference in balanced accuracy includes 0 with "
            f"{listed(unclear)}."
        )
    return said


def listed(names: list[str]) -> str:
    """Names for a sentence."""
    return ", ".join(names) or "none"


@dataclass(frozen=True)
class Cells:
    """The cells of a model's tables by precision: under FILES, and under BY_HALVES as calibrated on
    its own answers and on float32's; and sentences on them."""

    files: dict[str, list[str]]
    own: dict[str, list[str]]
    kept: dict[str, list[str]]
    said: list[str]


def cells_of(measured: Measured, halves: int, resamples: int) -> Cells:
    """The cells of a model, from so many halves of its lesions and bootstrap resamples."""
    own, kept = by_halves(measured, halves)
    files, differences = files_cells(measured, resamples)
    said = findings(measured, differences, kept, own[WHOLE])
    return Cells(files, halves_cells(own, own[WHOLE]), halves_cells(kept, own[WHOLE]), said)


def summary(models: dict[str, Cells]) -> list[str]:
    """The lines of one table of all models and precisions."""
    shown = {title: FILES.index(title) for title in ("MB", "ms", "balanced accuracy")}
    by_halves = [title for title in BY_HALVES if title.startswith(("calibration", "coverage"))]
    rows = [
        [name, precision]
        + [cells.files[precision][at] for at in shown.values()]
        + [cells.own[precision][BY_HALVES.index(title)] for title in by_halves]
        for name, cells in models.items()
        for precision in cells.files
    ]
    return table(["model", "precision", *shown, *by_halves], rows)


def model_lines(name: str, cells: Cells) -> list[str]:
    """The lines on one model."""

    def lines(titles, by_precision):
        return table(["precision", *titles], [[key, *row] for key, row in by_precision.items()])

    return [
        f"## {name}",
        "",
        *lines(FILES, cells.files),
        "Calibrated on the file's own answers:",
        "",
        *lines(BY_HALVES, cells.own),
        "With float32's temperature and limits:",
        "",
        *lines(BY_HALVES, cells.kept),
        *(line for said in cells.said for line in (said, "")),
    ]


def instructions() -> str:
    """Whether the processor has the instructions for int8 of Intel and AMD, as Linux tells."""
    from model.network.network import CPUINFO

    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.is_file() else []
    flags = next((line for line in lines if line.startswith("flags")), None)
    if flags is None:
        return "Whether the processor has instructions for int8 is not known."
    has = [name.upper() for name in ("vnni", "amx") if name in flags]
    lacks = [name.upper() for name in ("vnni", "amx") if name not in flags]
    return f"Its instructions for int8: {listed(has)}; it lacks: {listed(lacks)}."


def report_lines(
    measured: dict[str, Measured], command: str, machine: str, halves: int, resamples: int
) -> list[str]:
    """The lines of variants.md; measured: by the model's name; machine: what the times are of."""
    lines = [
        "# Quantised variants",
        "",
        f"Made by `{command}`. The network of each model in each precision "
        "([model/network/quantization.py](../model/network/quantization.py)), on the validation "
        "part only. `model.tflite` is `dynamic_wi8_afp32` unless `convert.py --quantize` says "
        "otherwise. `dynamic_wi4_afp32` has weights of 4 bits; `convert.py` does not offer it.",
        "",
        "**Files.** *ms*: one picture with one thread, the median and the range of 95 % of "
        f"{CALLS} calls, the precisions in turn. *Same first answer*: as the float32 file. *More*: "
        "than the float32 file. Brackets hold 95 % intervals from a bootstrap over lesions, paired "
        "for the differences.",
        "",
        f"{machine} The load is that at the start.",
        "",
        "**Calibration.** Temperature and limits come from a random half of the lesions of each "
        f"class, the figures from the pictures of the other half, {halves} times; brackets hold "
        "the range of 95 % of the halves, which is not a confidence interval. First each file is "
        "calibrated on its own answers, as `convert.py` does with `model.tflite`. Then it keeps "
        "float32's temperature and limits, as somebody would who only exchanges the file. *More*: "
        "than float32 with its own, in the same halves.",
        "",
    ]
    models = {name: cells_of(each, halves, resamples) for name, each in measured.items()}
    lines += ["## All", "", "Each file calibrated on its own answers.", "", *summary(models)]
    for name, cells in models.items():
        lines += model_lines(name, cells)
    return lines


def main(arguments=None) -> str:
    """Measure the models that `arguments` name and write the report; returns it."""
    options = parser(__doc__, "results/variants.md")
    options.add_argument("folders", nargs="*", metavar="MODEL_FOLDER", default=FOLDERS)
    options.add_argument("--halves", type=int, default=HALVES, help="default: %(default)s")
    args = options.parse_args(arguments)
    machine = f"{measures.machine().strip()} {instructions()}"
    measured = {Path(folder).resolve().name: measure(folder, args) for folder in args.folders}
    command = f"python -m results.variants {' '.join(args.folders)}"
    lines = report_lines(measured, command, machine, args.halves, args.resamples)
    return write_report(args.output, lines)


if __name__ == "__main__":
    run("variants", main)
