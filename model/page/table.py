"""The answers of the batch tab as HTML: how many there are of each kind, and a table of all.

The HTML is escaped.
"""

import base64
import io
from collections.abc import Sequence
from html import escape

from model.page.batch import BatchRow
from model.page.texts import distinct, name, probability, sentence, text

# What a row may be, besides an answer that is reliable and below the warning level. A picture may
# be both of the first two.
KINDS = ("flagged", "unsure", "failed")
MARKS = {"flagged": "▲", "unsure": "?"}


def _kinds(row: BatchRow) -> list[str]:
    holds = row.flagged, not (row.confident or row.reason), bool(row.reason)
    return [kind for kind, held in zip(KINDS, holds) if held]


def _counts(rows: Sequence[BatchRow]) -> dict[str, int]:
    return {kind: sum(kind in _kinds(row) for row in rows) for kind in KINDS}


def counts(rows: Sequence[BatchRow], language: str) -> str:
    """HTML: a sentence on how many pictures are above the warning level, have no reliable answer,
    or could not be read."""
    found = _counts(rows)
    pictures = len(rows) - found["failed"]
    points = [row.suspicious["threshold"] for row in rows if row.suspicious]
    said = []
    if points:
        values = {"total": pictures, "threshold": probability(points[0], language)}
        said.append(_count("flagged", found["flagged"], language, **values))
    elif pictures:
        said.append(_count("answered", pictures, language))
    said += [_count(kind, found[kind], language) for kind in ("unsure", "failed") if found[kind]]
    return f"<strong>{escape('; '.join(said))}.</strong>"


def _count(kind: str, n: int, language: str, **values) -> str:
    return text(language, f"batch_count_{kind}" + ("_one" if n == 1 else ""), n=n, **values)


def refusal(said: str) -> str:
    """HTML: why there is no table."""
    return f'<p class="box notice">{escape(said)}</p>'


def table(rows: Sequence[BatchRow], labels: list[str], language: str) -> str:
    """HTML: a choice of which rows to show, and the rows, in a region that scrolls both ways.
    page.css hides the other rows."""
    words = [escape(text(language, f"batch_{key}")) for key in ("name", "level", "top", "score")]
    words += [
        f'<abbr title="{escape(name(language, label))}">{escape(label)}</abbr>' for label in labels
    ]
    head = "".join(f'<th scope="col">{word}</th>' for word in words)
    body = "".join(_row(row, labels, language) for row in rows)
    caption = escape(text(language, "batch_caption"))
    explained = text(language, "batch_explained") if any(row.suspicious for row in rows) else ""
    return (
        f'{_filter(rows, language)}<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{caption}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f'</div><p class="small">{escape(explained)}</p>'
    )


def _filter(rows: Sequence[BatchRow], language: str) -> str:
    """Radio buttons for all rows and for each kind that there is; none if there is no choice."""
    found = {"all": len(rows)} | {kind: n for kind, n in _counts(rows).items() if n}
    if len(found) == 1:
        return ""
    choices = "".join(
        f'<label><input type="radio" name="batch_shown" value="{kind}"'
        f"{' checked' if kind == 'all' else ''}> {escape(text(language, f'batch_{kind}'))} "
        f"({n})</label>"
        for kind, n in found.items()
    )
    legend = escape(text(language, "batch_show"))
    return f'<fieldset class="filter"><legend>{legend}</legend>{choices}</fieldset>'


def _row(row: BatchRow, labels: list[str], language: str) -> str:
    kinds = _kinds(row)
    head = f"{_thumbnail(row.thumbnail)}<span>{escape(row.name)}</span>"
    html = f'<tr class="{" ".join(kinds)}"><th scope="row"><div>{head}</div></th>'
    if row.reason:
        said = f"<small>{escape(sentence(row.reason, language))}</small>"
        return f'{html}<td colspan="3">{said}</td>' + "<td></td>" * len(labels) + "</tr>"
    score = ""
    if row.suspicious:
        score, _ = distinct(row.suspicious["score"], row.suspicious["threshold"], language)
    top = f"{name(language, row.label)}, {probability(row.probability, language)}"
    cells = [top, score, *(probability(row.probabilities[label], language) for label in labels)]
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"{html}<td>{_level(row, kinds, language)}</td>{cells}</tr>"


def _level(row: BatchRow, kinds: list[str], language: str) -> str:
    """HTML: whether the score reaches the warning level, and what speaks against relying on it."""
    level = ""
    if row.suspicious:
        mark = MARKS[kinds[0]] if kinds else "○"
        words = escape(text(language, "batch_above" if row.flagged else "batch_below"))
        level = f'<span class="level"><span aria-hidden="true">{mark}</span> {words}</span>'
    notices = ", ".join(text(language, f"batch_notice_{notice}") for notice in row.notices)
    if not row.confident:
        notices = text(language, "batch_unreliable", notices=notices)
    return f"{level}<small>{escape(notices)}</small>" if notices else level


def _thumbnail(picture) -> str:
    if picture is None:
        return ""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="" src="data:image/webp;base64,{data}">'
