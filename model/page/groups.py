"""The figures of groups of the test pictures as HTML, from `subgroups` of metrics.json.

The HTML is escaped.
"""

import re
from html import escape

from model.groups import CAUGHT, FLOOR, SPARED, TOP, gap, ordered, pictures, share
from model.page.texts import TEXTS, number, percent, text

# The columns in the order of the page. Others follow, with the name that the data set gives them.
KNOWN = ("sex", "age", "localization", "dataset")


def html(subgroups: dict[str, dict], kinds: dict[str, str] | None, language: str) -> str:
    """A closed part of the page with a table for each column; "" without groups. `kinds`: what the
    page calls a suspicious and a harmless lesion, or None if it gives another warning than was
    measured."""
    columns = [key for key in (*KNOWN, *subgroups) if key in subgroups]
    if not columns:
        return ""
    tables = [_table(key, subgroups[key], kinds, language) for key in dict.fromkeys(columns)]
    summary = escape(text(language, "groups_heading"))
    introduction = escape(text(language, "groups_introduction", floor=FLOOR))
    return (
        f'<details class="groups"><summary>{summary}</summary><p>{introduction}</p>'
        f"{''.join(tables)}</details>"
    )


def _table(column, groups, kinds, language):
    groups = ordered(groups)
    measures = {TOP: text(language, "groups_top")}
    if kinds and any("suspicious" in group for group in groups.values()):
        for path, kind in ((CAUGHT, "suspicious"), (SPARED, "harmless")):
            measures[path] = text(language, "groups_warned", kind=kinds[kind])
    title = TEXTS[language].get(f"groups_by_{column}")
    title = title or text(language, "groups_by", column=column)
    head = "".join(f'<th scope="col">{escape(measure)}</th>' for measure in measures.values())
    rows = "".join(
        f'<tr><th scope="row">{escape(_name(name, language))}{_size(group, language)}</th>'
        + "".join(f"<td>{_cell(group, path, language)}</td>" for path in measures)
        + "</tr>"
        for name, group in groups.items()
    )
    said = " ".join(_gaps(groups, measures, language))
    below = f"<p>{escape(said)}</p>" if said else ""
    return (
        f"<table><caption>{escape(title)}</caption><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>{below}"
    )


def _name(group, language):
    """A value of HAM10000's columns in words, any other as it is."""
    key = re.sub(r"\W+", "_", group.lower())
    return TEXTS[language].get(f"group_{key}", group)


def _size(group, language):
    """HTML: the number of pictures, and that of lesions where it is another."""
    n, lesions = group["n"], group.get("lesions", group["n"])
    size = _small(f"n = {number(n, language)}")
    if lesions == n:
        return size
    return size + _small(text(language, "groups_lesions", lesions=number(lesions, language)))


def _small(words):
    return f"<small>{escape(words)}</small>"


def _shown(group, path):
    """A share as the page counts: of harmless pictures, those with a warning."""
    figure = share(group, path)
    if figure is None or path != SPARED:
        return figure
    ends = {"value": "value", "low": "high", "high": "low"}
    return {end: None if figure[of] is None else 1 - figure[of] for end, of in ends.items()}


def _cell(group, path, language):
    """HTML: a share with its interval and number of pictures, or a count of few pictures."""
    figure = _shown(group, path) if path[0] in group else None
    if figure is None:
        return "–"
    n = pictures(group, path)
    if n < FLOOR:
        count = number(figure["value"] * n, language)
        return escape(text(language, "rates_of", count=count, n=n))
    ends = [figure["low"], figure["high"]]
    interval = ""
    if None not in ends:
        interval = _small("–".join(number(100 * end, language) for end in ends) + "%")
    below = "" if path == TOP else _small(f"n = {number(n, language)}")
    return f"{escape(percent(figure['value'], language))}{interval}{below}"


def _gaps(groups, measures, language):
    """Sentences on the largest gap in each measure, the worse group first."""
    said = []
    for path, measure in measures.items():
        found = gap(groups, path)
        if not found or found.overlap is None or found.lowest == found.highest:
            continue
        ends = {
            f"{place}_{word}": value
            for place, name in (("worst", found.lowest), ("best", found.highest))
            for word, value in (
                ("name", _name(name, language)),
                ("share", percent(_shown(groups[name], path)["value"], language)),
            )
        }
        key = "groups_gap_overlap" if found.overlap else "groups_gap_apart"
        said.append(text(language, key, measure=measure, **ends))
    return [text(language, "groups_gaps"), *said] if said else []
