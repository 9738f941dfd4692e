"""The most confident wrong answers of a model, and what they have in common.

    python -m results.failures model/bundled        writes docs/failures.md

The pictures are those of the validation part, answered as the page answers them: cropped to the
lens, with notices, warning, prediction set and evidence map. Text after the comment END of the
report survives, so notes by hand can follow it.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import hypergeom
from tqdm import tqdm

from model.classifier import Classifier
from model.data import dataset as data
from model.evaluation.metrics import age_band, bootstrap, clusters_of, interval
from model.folder import SPLIT, UserError, read_json
from model.hub.card import BEGIN, END
from model.hub.tables import table, text
from model.labels import DIAGNOSES
from model.sets import prediction_set
from model.warning import suspicious
from results.map import places
from results.reports import CONFIRMED, parser, refuse_final, run, write_report

WORST = 20
RARE = 0.01  # a count less likely than this by chance is marked
LEAST = 2  # a confusion that is rarer among the worst has no row of its own
BLANK = "no area stands out"
PLACES = ("corner", "border", "inside")  # what `places` of results/map.py tells apart
# Groups of features that all pictures of almost every lesion share. Only these can be judged by
# lesion: of the others, the chosen pictures may lack what another picture of their lesion has.
OF_LESIONS = ("clinic", "age", "sex", "site", "confirmed by")


@dataclass(frozen=True)
class Answer:
    """The answer to one picture, and what is known of the picture.

    truth, label: the true and the most probable code; probability: that of `label`
    suspicious: what model/warning.py's `suspicious` returns
    set: what model/sets.py's `prediction_set` returns
    notices: codes from model/quality.py's CODES
    place: where the evidence for `label` is strongest, one of PLACES, or BLANK
    middle: its share in the middle third of the picture's height and width; None if BLANK
    clinic, age, sex, site, confirmed: as in the data set; age in years, NaN if unknown
    """

    image_id: str
    lesion_id: str
    truth: str
    label: str
    probability: float
    suspicious: dict | None
    set: list[str] | None
    notices: list[str]
    place: str
    middle: float | None
    clinic: str
    age: float
    sex: str
    site: str
    confirmed: str

    @property
    def wrong(self) -> bool:
        return self.label != self.truth

    @property
    def pair(self) -> str:
        return f"{self.truth} taken for {self.label}"

    @property
    def warned(self) -> bool:
        return bool(self.suspicious and self.suspicious["flag"])


def answers(classifier: Classifier, rows: data.Rows) -> list[Answer]:
    """What the model answers to each row. Raises PictureError."""
    found = []
    for i in tqdm(range(len(rows)), "pictures", file=sys.stdout, mininterval=5):
        prediction = classifier.predict(rows.encoded(i))
        label, probability = prediction.top()[0]
        shown = classifier.map(prediction)
        values = shown.strengths[..., classifier.labels.index(label)]
        known = {key: values[i] for key, values in rows.metadata.items()}
        found.append(
            Answer(
                image_id=str(rows.image_id[i]),
                lesion_id=str(rows.units("lesion")[i]),
                truth=str(rows.dx[i]),
                label=label,
                probability=probability,
                suspicious=suspicious(prediction, classifier.config),
                set=prediction_set(prediction.probabilities, classifier.config),
                notices=list(prediction.notices),
                place=place(values),
                middle=middle(values, shown.extent),
                clinic=str(known.get("dataset", "unknown")),
                age=float(known.get("age", np.nan)),
                sex=str(known.get("sex", "unknown")),
                site=str(known.get("localization", "unknown")),
                confirmed=str(known.get("dx_type", "unknown")),
            )
        )
    return found


def place(strengths: np.ndarray) -> str:
    """Which of PLACES holds the strongest of `strengths` [h, w], or BLANK."""
    return PLACES[places([strengths]).index(1.0)] if strengths.any() else BLANK


def middle(strengths: np.ndarray, extent: tuple[float, float]) -> float | None:
    """The share of `strengths` [h, w] in areas whose middle lies in the middle third of the
    picture's height and width; None if there are none. `extent`: that of `Map`."""
    if not strengths.any():
        return None
    inside = [
        np.abs((np.arange(n) + 0.5) / n - 0.5) * share <= 1 / 6
        for n, share in zip(strengths.shape, extent)
    ]
    return float(strengths[np.ix_(*inside)].sum() / strengths.sum())


def worst(found: list[Answer]) -> list[Answer]:
    """The WORST most confident wrong answers, most confident first."""
    wrong = sorted((each for each in found if each.wrong), key=lambda one: -one.probability)
    return wrong[:WORST]


def features(found: list[Answer]) -> list[tuple[str, str, Callable[[Answer], bool]]]:
    """(group, name, whether an answer has it) for each row of the table of what is common. The
    rows of a group are those that occur among all answers, of the confusions those that occur at
    least LEAST times among the worst."""
    chosen = worst(found)
    rows = []
    pairs = [pair for pair, n in Counter(one.pair for one in chosen).most_common() if n >= LEAST]
    rows += [("confusion", pair, lambda one, pair=pair: one.pair == pair) for pair in pairs]
    rows.append(("confusion", "any other", lambda one: one.wrong and one.pair not in pairs))
    for group, value in (
        ("clinic", lambda one: one.clinic),
        ("age", lambda one: age_band(one.age)),
        ("sex", lambda one: one.sex),
        ("site", lambda one: one.site),
        ("confirmed by", lambda one: CONFIRMED.get(one.confirmed, one.confirmed)),
    ):
        for name in sorted({value(one) for one in found}):
            rows.append((group, name, lambda one, v=value, name=name: v(one) == name))
    rows.append(("answer", "with a warning", lambda one: one.warned))
    if found[0].set:
        rows.append(("answer", "truth in the set at 90 %", lambda one: one.truth in one.set))
    rows.append(("answer", "with a notice", lambda one: bool(one.notices)))
    for name in (*PLACES, BLANK):
        rows.append(("evidence strongest", name, lambda one, name=name: one.place == name))
    return rows


def unusual(count: int, drawn: int, having: int, total: int) -> bool:
    """Whether `count` or fewer, or `count` or more, of `drawn` lesions would have a feature with a
    probability below RARE, if they were drawn by chance from `total` of which `having` have it."""
    chance = hypergeom(total, having, drawn)
    return bool(min(chance.cdf(count), chance.sf(count - 1)) < RARE)


def common(found: list[Answer], resamples: int) -> tuple[list[list[str]], dict[str, list[str]]]:
    """The rows of the table of what the worst have in common, and what is unusual, in words:
    {"more": those that are more common than among all pictures, "less": less common}."""
    chosen, rows = worst(found), features(found)
    wrong = [one for one in found if one.wrong]
    has = np.array([[test(one) for one in found] for _, _, test in rows], np.float64)
    shares = bootstrap(
        lambda weights: {"share": (has @ weights / weights.sum(axis=0)).T},
        clusters_of([one.lesion_id for one in found]),
        resamples,
        0,
    )["share"]
    body, words, last = [], {"more": [], "less": []}, None
    for row, (group, name, test) in enumerate(rows):
        count, everywhere = sum(map(test, chosen)), interval(100 * shares[:, row])
        marked = group in OF_LESIONS and unusual(
            *lesions_with(test, chosen), *lesions_with(test, found)
        )
        body.append(
            [
                group if group != last else "",
                f"**{name}**" if marked else name,
                f"{count} ({100 * count / len(chosen):.0f} %)",
                f"{100 * np.mean([test(one) for one in wrong]):.0f}",
                text(everywhere, 1, 1),
            ]
        )
        last = group
        if marked:
            way = "more" if 100 * count / len(chosen) > everywhere["value"] else "less"
            words[way].append(
                f"{group} *{name}* ({count} of {len(chosen)}; of all pictures "
                f"{everywhere['value']:.0f} %)"
            )
    return body, words


def lesions_with(test: Callable[[Answer], bool], of: list[Answer]) -> tuple[int, int]:
    """Of how many lesions a picture passes the test, and how many lesions there are."""
    return len({one.lesion_id for one in of if test(one)}), len({one.lesion_id for one in of})


def listing(chosen: list[Answer]) -> list[list[str]]:
    """The rows of the table of the worst."""
    body = []
    for number, one in enumerate(chosen, 1):
        where = one.place if one.middle is None else f"{one.place}, {100 * one.middle:.0f} %"
        score = "–"
        if one.suspicious:
            score = f"{one.suspicious['score']:.2f}, {'warned' if one.warned else 'no warning'}"
        body.append(
            [
                number,
                one.image_id,
                one.lesion_id,
                one.truth,
                f"{one.label} {one.probability:.2f}",
                score,
                ", ".join(one.set) if one.set else "–",
                ", ".join(one.notices) or "–",
                where,
                one.clinic,
                "–" if np.isnan(one.age) else f"{one.age:.0f}",
                one.sex,
                one.site,
                CONFIRMED.get(one.confirmed, one.confirmed),
            ]
        )
    return body


def story(found: list[Answer], alarming: list[str], words: dict[str, list[str]]) -> list[str]:
    """What the counts say, in sentences. `alarming`: the suspicious labels; `words`: what is
    unusual, from `common`."""
    chosen = worst(found)
    n, lesions = len(chosen), len({one.lesion_id for one in chosen})
    pairs = Counter(one.pair for one in chosen).most_common()
    top = [f"{pair} ({count})" for pair, count in pairs if count >= LEAST]
    lines = [
        f"The {n} pictures show {lesions} lesions. "
        + (f"Most common: {', '.join(top)}." if top else "No confusion occurs twice."),
        "",
    ]
    missed = [one for one in chosen if one.truth in alarming and not one.warned]
    alarms = [one for one in chosen if one.truth not in alarming and one.warned]
    if alarming:
        ids = f" ({', '.join(one.image_id for one in missed)})" if missed else ""
        named = sum(one.truth in (one.set or []) for one in missed)
        lines += [
            f"**No warning** comes with {len(missed)} pictures of suspicious lesions{ids}; the "
            f"prediction set of {named} of them holds the truth. {len(alarms)} pictures of "
            f"harmless lesions have a warning. Of all {n}, the set of "
            f"{sum(one.truth in (one.set or []) for one in chosen)} holds the truth, and "
            f"{sum(bool(one.notices) for one in chosen)} have a notice.",
            "",
        ]
    for way, named in words.items():
        listed = "; ".join(named) or "nothing clearly"
        lines += [f"{way.title()} common than among all pictures: {listed}.", ""]
    return lines


def report_lines(
    name: str, found: list[Answer], alarming: list[str], resamples: int, folder: str
) -> list[str]:
    """The lines of failures.md between BEGIN and END. Raises UserError if no answer is wrong."""
    chosen = worst(found)
    if not chosen:
        raise UserError(f"{folder} answers all pictures of its validation part right.")
    right = sum(not one.wrong for one in found)
    bound = ""
    if alarming and chosen[0].suspicious:
        at = chosen[0].suspicious["threshold"]
        bound = f" ({', '.join(alarming)}), with a warning from {at:.2f} on"
    body, words = common(found, resamples)
    codes = ", ".join(f"{code} {DIAGNOSES[code]}" for code in DIAGNOSES)
    shown = [one.middle for one in chosen if one.middle is not None]
    everywhere = [one.middle for one in found if one.middle is not None]
    means = [f"{100 * np.mean(values):.0f} %" if values else "–" for values in (shown, everywhere)]
    return [
        "# Confident and wrong",
        "",
        f"Made by `python -m results.failures {folder}`: the {len(chosen)} most confident wrong "
        f"answers of the model {name} among the {len(found):,} pictures of its validation part, of "
        f"which it answers {right:,} right. All are answered as on the page. Temperature, warning "
        "and prediction sets were fitted to this part, so warnings and sets do better here than "
        "they would on new pictures. The pictures are not here; the data set has them under "
        "their ids.",
        "",
        *story(found, alarming, words),
        "## The pictures",
        "",
        f"*Score*: the summed probability of the suspicious labels{bound}. *Set*: the diagnoses "
        "that stay possible at 90 %. *Evidence*: where the map of the answer is strongest (corner, "
        "border or inside of its areas), and its share in the middle third of height and width. "
        f"Codes: {codes}.",
        "",
        *table(
            ["", "image", "lesion", "truth", "answer", "score", "set", "notices", "evidence"]
            + ["clinic", "age", "sex", "site", "confirmed by"],
            listing(chosen),
        ),
        "## What they have in common",
        "",
        f"The {len(chosen)} beside all {len(found) - right:,} wrong answers and all {len(found):,} "
        "pictures, the latter with 95 % intervals from a bootstrap over lesions. In bold: so many "
        f"or so few of the {lesions_with(bool, chosen)[1]} lesions would have it with a "
        f"probability below {RARE:g}, if they were drawn from all lesions by chance. Only "
        f"{', '.join(OF_LESIONS[:-1])} and confirmation are judged so, since all pictures of "
        "almost every lesion share them; confusions, answers and evidence differ between pictures "
        "and are never bold. A lesion with several pictures has more chances to be here, which the "
        "probability leaves out, and with so many rows, one may be bold by chance.",
        "",
        *table(["", "", f"the {len(chosen)}", "all wrong answers, %", "all pictures, %"], body),
        f"Mean share of the evidence in the middle third: {means[0]} in the {len(chosen)}, "
        f"{means[1]} in all pictures.",
        "",
    ]


def kept(path: "str | Path") -> list[str]:
    """The lines after END of an earlier report at `path`. Raises UserError if it lacks the
    comment."""
    if not Path(path).exists():
        return [""]
    _, comment, after = Path(path).read_text(encoding="utf-8").partition(END)
    if not comment:
        raise UserError(f"{path} lacks the comment {END}, so notes by hand cannot be told apart.")
    return after.removeprefix("\n").split("\n")


def main(arguments=None) -> str:
    """Measure the model that `arguments` name and write the report; returns it."""
    options = parser(__doc__, "docs/failures.md")
    options.add_argument("folder", metavar="MODEL_FOLDER")
    args = options.parse_args(arguments)
    after = kept(args.output)
    classifier = Classifier(args.folder)
    refuse_final(args.folder, classifier.config)
    rows = data.rows_of_model(classifier.config, args.dataset)
    rows = rows.take(rows.find(read_json(classifier.folder / SPLIT)["validation"]))
    alarming = (classifier.config.get("calibration") or {}).get("suspicious") or []
    name = classifier.config.get("name") or classifier.folder.resolve().name
    found = answers(classifier, rows)
    lines = report_lines(name, found, alarming, args.resamples, args.folder)
    return write_report(args.output, [BEGIN, *lines, END, *after])


if __name__ == "__main__":
    run("failures", main)
