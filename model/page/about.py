"""What the page says about its model: how it was made, what was measured, how often the warning is
right. Every figure comes from the model folder's config.json and metrics.json."""

import re
from html import escape

from model.groups import FLOOR
from model.labels import BINARY, LABELS
from model.network.backbones import title_of
from model.page import groups
from model.page.texts import listed, name, number, percent, text

# Data sets as they are called in print; ours have the size of their pictures in the folder's name.
DATA_SETS = {
    "ham10000": "HAM10000",
    "skin_cancer": "HAM10000",
    "isic2017": "ISIC 2017",
    "isic2019": "ISIC 2019",
    "tiny_imagenet": "Tiny ImageNet",
}


def html(classifier, language: str) -> str:
    """HTML: `about` below its heading, and the test's figures by group."""
    heading = escape(text(language, "about_heading"))
    paragraphs = (f"<p>{escape(paragraph)}</p>" for paragraph in about(classifier, language))
    tables = ""
    if _test(classifier):
        kinds = _kinds(classifier, language) if tested_point(classifier) else None
        tables = groups.html(classifier.metrics.get("subgroups") or {}, kinds, language)
    return f"<h2>{heading}</h2>{''.join(paragraphs)}{tables}"


def about(classifier, language: str) -> list[str]:
    """Paragraphs on how the model was made, its test, its warning, and its limits."""
    parts = (_made, _tested, _warning, _limits)
    return [said for part in parts if (said := " ".join(part(classifier, language)))]


def rates(classifier, language: str) -> list[str]:
    """Sentences on how often the warning is right, for the place beside the verdict: as measured on
    the test part, or else on the validation part; [] for a model without an operating point."""
    calibration = classifier.config["calibration"]
    if not _warns(calibration):
        return []
    kinds = _kinds(classifier, language)

    def hundred(share):
        return number(100 * share, language)

    if point := tested_point(classifier):
        cleared = point["specificity"]
        alarmed = {
            end: None if cleared[of] is None else 1 - cleared[of]
            for end, of in (("value", "value"), ("low", "high"), ("high", "low"))
        }
        counts = _figures(hundred, language, caught=point["sensitivity"], alarmed=alarmed)
        tested = text(language, "rates_test", **kinds, **counts)
        return [tested, *_sources(classifier, point["labels"], language, kinds)]
    for chosen in calibration.get("points") or []:
        # An inherited calibration was measured with the weights of another run.
        if chosen["threshold"] == calibration["threshold"] and "inherited" not in calibration:
            caught, alarmed = hundred(chosen["sensitivity"]), hundred(1 - chosen["specificity"])
            return [text(language, "rates_validation", **kinds, caught=caught, alarmed=alarmed)]
    return [text(language, "rates_unmeasured")]


def _kinds(classifier, language):
    """What the page calls the lesions that it should warn about, and the others."""
    kinds = {"suspicious": "rates_suspicious", "harmless": "rates_harmless"}
    if classifier.labels == BINARY:
        kinds = {"suspicious": "rates_malignant", "harmless": "rates_benign"}
    return {kind: text(language, key) for kind, key in kinds.items()}


def sets(classifier, language: str) -> dict[str, str]:
    """{"0.9": a sentence on the prediction sets at that level, as measured on the test part}; {} if
    they were not measured, or on pictures that the model was trained on."""
    metrics = classifier.metrics
    data = metrics.get("data", {})
    if data.get("part") != "test" or (data.get("seen") or {}).get("trained"):
        return {}
    levels = (metrics.get("sets") or {}).get("levels") or {}
    return {
        level: _measured_sets(figures, language)
        for level, figures in levels.items()
        if figures["coverage"]["value"] is not None  # of no pictures
    }


def _measured_sets(figures, language):
    # The lesions are unknown where the data set was split by picture.
    unit, key = ("lesions", "lesions") if figures.get("lesions") else ("pictures", "n")
    coverage, size = figures["coverage"], figures["size"]
    said = text(
        language,
        "set_measured",
        tested=text(language, f"set_tested_{unit}", n=number(figures[key], language)),
        **_figures(lambda share: percent(share, language), language, coverage=coverage),
        **_figures(lambda mean: number(mean, language, 2), language, size=size),
    )
    return " ".join([said, *_brackets(language, coverage, size)])


def _made(classifier, language):
    config = classifier.config
    data = config["data"]
    size = {"height": classifier.height, "width": classifier.width}
    yield text(language, "about_model", architecture=title_of(config["architecture"]), **size)

    without = data.get("unlabelled") or []
    sets = [data["dataset"], *(one["dataset"] for one in [*(data.get("extra") or []), *without])]
    images = data.get("trained_on") or sum(data.get("counts", {}).get("train", {}).values())
    own = _pictures(images, " + ".join(sets), language)
    if images:
        yield text(language, "about_trained", pictures=own)
    for one in without:
        pictures = _pictures(one["images"], one["dataset"], language)
        yield text(language, "about_unlabelled", pictures=pictures)
    if teachers := (config.get("training") or {}).get("teachers"):
        taught = [
            text(
                language,
                "about_teacher",
                architecture=title_of(teacher["architecture"]),
                datasets=_data_sets(teacher["dataset"], language),
            )
            for teacher in teachers
        ]
        yield text(language, "about_teachers", teachers=listed(taught, language))

    yield from _start(config.get("weights") or {}, own, language)


def _start(weights, own, language):
    """What the weights had learned before: other pictures than the model's `own`."""
    steps = []
    while "dataset" in weights:
        step = _pictures(weights["images"], weights["dataset"], language)
        if step not in (own, *steps):
            steps.append(step)
        weights = weights.get("before") or {}
    if steps:
        yield text(language, "about_before", pictures=listed(steps, language))
    start = weights.get("start")
    if start in ("imagenet", "none"):
        yield text(language, f"about_start_{start}")
    elif start:
        yield text(language, "about_start", start=start)


def _tested(classifier, language):
    measured = _test(classifier)
    if not measured:
        yield text(language, "about_unmeasured")
        return
    seen = (classifier.metrics["data"].get("seen") or {}).get("trained")
    key, known = ("about_seen", {"seen": number(seen, language)}) if seen else ("about_unseen", {})
    yield text(language, key, n=number(measured["n"], language), **known)
    figures = {"top": measured["top_1"], "balanced": measured["balanced_accuracy"]}
    yield from _brackets(language, *figures.values())

    def tenths(share):
        return percent(share, language, 1)

    yield text(language, "about_measured", **_figures(tenths, language, **figures))
    if always := measured.get("baseline"):
        yield text(
            language,
            "about_baseline",
            name=name(language, always["label"]),
            top=tenths(always["top_1"]["value"]),
            balanced=tenths(always["balanced_accuracy"]["value"]),
        )
    named = measured.get("melanoma", {}).get("sensitivity", {})
    if named.get("value") is not None:
        shares = _figures(lambda share: percent(share, language), language, named=named)
        yield text(language, "about_melanoma", **shares)
    if times := measured.get("latency_ms"):
        milliseconds = number(times["median"], language)
        yield text(language, "about_time", milliseconds=milliseconds, calls=times["calls"])


def _warning(classifier, language):
    calibration = classifier.config["calibration"]
    if not _warns(calibration):
        return
    suspects = [name(language, label) for label in calibration["suspicious"]]
    yield text(language, "about_suspicious", names=listed(suspects, language))
    if calibration.get("sensitivity"):
        shares = {k: percent(calibration[k], language) for k in ("threshold", "sensitivity")}
        yield text(language, "about_threshold", **shares)
    yield from rates(classifier, language)
    yield text(language, "about_use")


def _limits(classifier, language):
    if set(classifier.labels) == set(LABELS):
        yield text(language, "about_limits")
    classes = classifier.config["data"].get("classes") or {}
    if sorted(sum(classes.values(), [])) == LABELS:
        counted = {
            kind: listed([name(language, label) for label in labels], language)
            for kind, labels in classes.items()
        }
        yield text(language, "about_limits_binary", **counted)
    measured_on = classifier.metrics.get("data", {}).get("dataset") or ""
    if _test(classifier) and _data_sets(measured_on, language) == "HAM10000":
        yield text(language, "about_skin")


def _warns(calibration):
    return calibration.get("threshold") is not None and bool(calibration.get("suspicious"))


def _test(classifier):
    """The figures of model.tflite on the test part; {} if it was not measured on one."""
    metrics = classifier.metrics
    return metrics.get("tflite") or {} if metrics.get("data", {}).get("part") == "test" else {}


def tested_point(classifier) -> dict | None:
    """The test's sensitivity and specificity of the warning, or None. Those of another warning
    level are not those of this warning."""
    point = _test(classifier).get("suspicious")
    if not point or point["threshold"] != classifier.config["calibration"].get("threshold"):
        return None
    known = None not in (point["sensitivity"]["value"], point["specificity"]["value"])
    return point if known else None


def _sources(classifier, suspects, language, kinds):
    """A sentence on how much the sources of the test pictures differ, if there are several."""
    caught, cleared = [], []
    for group in classifier.metrics.get("subgroups", {}).get("dataset", {}).values():
        positive = sum(group["support"][label] for label in suspects)
        for shares, key, n in (
            (caught, "sensitivity", positive),
            (cleared, "specificity", group["n"] - positive),
        ):
            if n and "suspicious" in group:
                shares.append((group["suspicious"][key]["value"], n))
    if len({share for share, _ in caught}) < 2 or len({share for share, _ in cleared}) < 2:
        return
    counts = {
        "least_caught": min(caught),
        "most_caught": max(caught),
        "least_alarmed": (1 - max(cleared)[0], max(cleared)[1]),
        "most_alarmed": (1 - min(cleared)[0], min(cleared)[1]),
    }
    shares = {
        key: text(
            language,
            "rates_of_few" if n < FLOOR else "rates_of",
            count=number(share * n, language),
            n=number(n, language),
        )
        for key, (share, n) in counts.items()
    }
    yield text(language, "rates_sources", **kinds, **shares)


def _figures(write, language, **figures):
    """Each {value, low, high}, written by `write`: the value under NAME, the interval under
    NAME_interval, "" if it was not computed (evaluate.py --resamples 0)."""
    written = {}
    for key, figure in figures.items():
        written[key], written[f"{key}_interval"] = write(figure["value"]), ""
        if _has_interval(figure):
            ends = {end: write(figure[end]) for end in ("low", "high")}
            written[f"{key}_interval"] = text(language, "interval", **ends)
    return written


def _has_interval(figure):
    return None not in (figure["low"], figure["high"])


def _brackets(language, *figures):
    """What brackets hold, if any of `figures` has an interval."""
    if any(map(_has_interval, figures)):
        yield text(language, "intervals")


def _pictures(images, data_sets, language):
    datasets = _data_sets(data_sets, language)
    return text(language, "about_pictures", images=number(images, language), datasets=datasets)


def _data_sets(names, language):
    """ "ham10000 + isic2019_84px" as "HAM10000 and ISIC 2019"."""
    plain = [re.sub(r"_\d+(px|x\d+)$", "", each.split("/")[-1]) for each in names.split(" + ")]
    return listed([DATA_SETS.get(each, each) for each in plain], language)
