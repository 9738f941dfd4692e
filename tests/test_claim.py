"""docs/claim.md: each item of the checklist has an answer, and links lead to sections there are."""

import re
from collections import Counter
from pathlib import Path

from scipy.stats import binomtest

from model.folder import BUNDLED, read_metrics
from results.failures import RARE

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "claim.md"
TEXT = PAGE.read_text("utf-8")
WORDS = re.sub(r"\s+", " ", TEXT)
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TEXT.splitlines()
    if re.match(r"\| \d+ \|", line)
]
ANSWERS = {"yes", "in part", "no", "does not apply"}


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings of a page; its lines of code do not count."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    headings = re.findall(r"^#+ (.+)$", outside, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_all_44_items_are_there_once_and_in_order():
    assert [int(item) for item, *_ in ROWS] == list(range(1, 45))


def test_each_item_has_a_topic_an_answer_and_a_sentence():
    for item, topic, answer, sentence in ROWS:
        assert topic and answer in ANSWERS, item
        assert len(sentence) > 20 and sentence.endswith("."), item


def test_an_item_that_is_answered_says_where():
    elsewhere = {"44"}  # no page names any funding, so nothing to link to
    for item, _, answer, sentence in ROWS:
        assert answer in ("no", "does not apply") or "](" in sentence or item in elsewhere, item


def test_the_answers_are_counted_right():
    counts = Counter(answer for _, _, answer, _ in ROWS)
    said = re.search(
        r"(\d+) items have the answer\s+\*yes\*, (\d+) \*in part\*, (\d+) \*no\*", TEXT
    )
    assert [int(n) for n in said.groups()] == [counts[a] for a in ("yes", "in part", "no")]


def test_links_to_sections_lead_to_headings():
    found = re.findall(r"\]\((?!https?:)([^)#]*)#([\w-]+)\)", TEXT)
    assert found
    for link, anchor in found:
        page = PAGE.parent / link if link else PAGE
        assert anchor in anchors(page.read_text("utf-8")), f"{link}#{anchor}"


def test_the_counts_of_confirmed_labels_are_those_of_the_report():
    parts = (ROOT / "results" / "parts.md").read_text("utf-8")

    def percent(row, column):
        (line,) = (line for line in parts.splitlines() if line.startswith(f"| {row} |"))
        return round(float(re.findall(r"\(([\d.]+) %\)", line)[column]))

    train, validation, test, every = range(4)
    by = "confirmed by"
    assert f"{percent(f'pictures {by} histopathology', every)} % show a lesion that was" in WORDS
    assert f"{percent(f'pictures {by} follow-up', every)} % a mole that did not change" in WORDS
    assert f"only {percent(f'lesions {by} histopathology', every)} % were" in WORDS
    assert f"{percent(f'pictures {by} histopathology', test)} % of its 828 pictures" in WORDS
    assert f"{percent(f'pictures {by} follow-up', test)} % are moles from follow-up" in WORDS

    counts = {
        line[0]: list(map(int, line[1:])) for line in rows_of(parts, "bkl df nv vasc".split())
    }
    harmless = [sum(column) for column in zip(*counts.values())]
    histopathology, follow_up, *_ = harmless
    said = f"Of its {sum(harmless)} harmless pictures {histopathology} were, and {follow_up} are"
    assert said in WORDS


def rows_of(text: str, names: list[str]) -> list[list[str]]:
    """The cells of the table rows whose first cell is one of `names`."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] in names]


def test_the_intervals_of_the_sample_size_are_those_of_its_command():
    for right, of in ((17, 34), (3, 6)):
        assert f"binomtest({right}, {of})" in TEXT
        low, high = binomtest(right, of).proportion_ci()
        assert f"is {low:.0%} to {high:.0%}".replace("%", "", 1).replace("%", " %") in WORDS


def test_the_warning_separates_less_well_within_each_source_than_over_all():
    assert "within each source the ROC AUC of the warning is lower than over all" in WORDS
    metrics = read_metrics(BUNDLED)
    over_all = metrics["tflite"]["suspicious"]["roc_auc"]["value"]
    for name, source in metrics["subgroups"]["dataset"].items():
        assert source["suspicious"]["roc_auc"]["value"] < over_all, name
    assert "though most of the intervals reach beyond it" in WORDS
    ends = [x["suspicious"]["roc_auc"]["high"] for x in metrics["subgroups"]["dataset"].values()]
    assert 2 * sum(end > over_all for end in ends) > len(ends)


def test_groups_are_named_as_the_report_has_them():
    assert "figures by clinic, sex, age and body site. No dermatologist" in WORDS
    sentences = {item: sentence for item, _, _, sentence in ROWS}
    assert all("age and body site" in sentences[item] for item in ("37", "39"))
    assert "0.01" in sentences["29"] and RARE == 0.01
