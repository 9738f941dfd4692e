"""The tab for several pictures in a real Chromium."""

import csv
import re
import shutil
import zipfile

import pytest
from browsing import launched
from made import drawing
from PIL import ImageFilter
from test_app import served

from model.classifier import Classifier
from model.labels import LABELS
from model.page.batch import classify_many, most_urgent_first
from model.page.table import counts
from model.page.texts import TEXTS

pytestmark = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed (apt-get install chromium)"
)

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PHONES = [PHONE, {"width": 412, "height": 915}, {"width": 430, "height": 932}]
WORDS = TEXTS["en"]
# Whether an element is in the window, all of it.
IN_WINDOW = """e => {
    const {top, bottom} = e.getBoundingClientRect();
    return top >= -1 && bottom <= innerHeight + 1;
}"""
# Keeps whether the progress was in the window when it first appeared.
WATCH_PROGRESS = f"""() => new MutationObserver(() => {{
    const bar = document.querySelector("#counts [role=progressbar]");
    if (bar) window.progressSeen ??= ({IN_WINDOW})(bar);
}}).observe(document.body, {{childList: true, subtree: true}})"""


@pytest.fixture(scope="module")
def page(trained):
    with served("--model", str(trained)) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """50 files: pictures of all kinds, one that is none, and a zip with one picture."""
    folder = tmp_path_factory.mktemp("files")
    for i in range(48):
        picture = drawing(LABELS[i % 7], 101 + i, (640, 480) if i % 3 else (80, 60))
        if i % 12 == 5:
            picture = picture.resize((20, 15)).filter(ImageFilter.GaussianBlur(2))
        picture.save(folder / f"ISIC_{i:07}.png")
    (folder / "letter.jpg").write_bytes(b"no picture")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(folder / "ISIC_0000000.png", "inside.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def rows(trained, files):
    rows = most_urgent_first(classify_many(Classifier(trained), files))
    assert {row.flagged for row in rows} == {row.confident for row in rows} == {True, False}
    return rows


@pytest.fixture
def visit(browser, page):
    """Opens the tab for several pictures in a window of a size. No script may fail there."""
    contexts, errors = [], []

    def opened(viewport, scheme="light"):
        context = browser.new_context(locale="en-US", viewport=DESKTOP, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(page)
        tab.get_by_role("tab", name=WORDS["tab_many"]).click()
        tab.get_by_text(re.compile("At most .* pictures and .* MB")).wait_for()
        tab.set_viewport_size(viewport)  # now, as a narrow window may keep the tab in a menu
        tab.evaluate("scrollTo(0, 0)")  # a click that Playwright repeats may have scrolled
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def choose(tab, files):
    tab.locator("#files input[type=file]").set_input_files(files)
    tab.locator("#files td.filename").nth(len(files) - 1).wait_for()


def classify(tab, files):
    choose(tab, files)
    tab.get_by_role("button", name=WORDS["batch_classify"]).click()
    tab.locator("#table tbody tr").first.wait_for()


def names(tab) -> list[str]:
    """Of the rows that are shown."""
    return tab.locator("#table tbody tr:visible th").all_inner_texts()


def serious(tab) -> list:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab).response["violations"]
    return [v["id"] for v in found if v["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("window", [DESKTOP, *PHONES], ids=lambda window: f"{window['width']}")
def test_buttons_progress_and_answer_of_fifty_files_are_in_the_window(visit, files, window):
    tab = visit(window)
    choose(tab, files)
    assert tab.evaluate("scrollY") == 0
    for place in ("#batch", "#counts"):
        assert tab.locator(place).evaluate(IN_WINDOW), place
    tab.evaluate(WATCH_PROGRESS)
    tab.get_by_role("button", name=WORDS["batch_classify"]).click()
    tab.locator("#table tbody tr").first.wait_for()
    tab.wait_for_function("progressSeen !== undefined")
    assert tab.evaluate("progressSeen")
    tab.wait_for_function(f"({IN_WINDOW})(document.querySelector('#table .scroll'))")
    for place in ("#batch", "#counts", "#table fieldset"):
        assert tab.locator(place).evaluate(IN_WINDOW), place


@pytest.mark.parametrize(
    "window, scheme", [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
def test_table_filter_and_csv(visit, files, rows, window, scheme):
    tab = visit(window, scheme)
    classify(tab, files)
    assert names(tab) == [row.name for row in rows]
    assert tab.locator("#counts").inner_html().count(counts(rows, "en")) == 1
    assert tab.locator("#counts [aria-live=polite]").count() == 1
    assert tab.locator("#table [aria-live]").count() == 0
    assert tab.locator("#table img").count() == 49
    assert WORDS["error_unreadable"] in tab.locator("#table tr.failed").inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth") <= window["width"]
    assert serious(tab) == []

    # By the keyboard alone: from the last button to the choice, and along it.
    tab.get_by_text(WORDS["batch_csv"]).focus()
    tab.keyboard.press("Tab")
    assert tab.locator("#table [value=all]").evaluate("e => e === document.activeElement")
    for kind in ("flagged", "unsure", "failed"):
        tab.keyboard.press("ArrowRight")
        held = {
            "flagged": [row.name for row in rows if row.flagged],
            "unsure": [row.name for row in rows if not row.confident and not row.reason],
            "failed": [row.name for row in rows if row.reason],
        }[kind]
        assert names(tab) == held and held
        assert f"({len(held)})" in tab.locator("#table label:has(:checked)").inner_text()
    assert serious(tab) == []
    tab.keyboard.press("Tab")
    assert tab.locator("#table .scroll").evaluate("e => e === document.activeElement")

    with tab.expect_download() as download:
        tab.get_by_text(WORDS["batch_csv"]).click()
    assert download.value.path().read_bytes().startswith(b"\xef\xbb\xbf")
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == [row.name for row in rows]


def test_heading_and_names_stay_while_the_table_scrolls(visit, files):
    tab = visit(PHONE)
    classify(tab, files)
    region = tab.locator("#table .scroll")
    assert region.evaluate("e => e.scrollWidth > e.clientWidth && e.scrollHeight > e.clientHeight")
    first, head = tab.locator("#table tbody th").first, tab.locator("#table thead th").nth(3)
    left, top = first.bounding_box()["x"], head.bounding_box()["y"]
    # What tells most is visible without scrolling: picture, name and level.
    level = tab.locator("#table tbody td").first.bounding_box()
    box = region.bounding_box()
    assert level["x"] + level["width"] <= box["x"] + box["width"]
    region.evaluate("e => e.scrollTo(250, 400)")
    assert abs(first.bounding_box()["x"] - left) < 1
    assert abs(head.bounding_box()["y"] - top) < 1
    # However many notices a row has and however long an error is, no row is taller than five lines.
    rows = tab.locator("#table tbody tr").all()
    assert max(row.bounding_box()["height"] for row in rows) <= 115
    said = tab.locator("#table .failed small").bounding_box()
    assert said["x"] + said["width"] <= box["x"] + box["width"] + 250


def test_the_smallest_window_scrolls_only_within_the_table(visit, files):
    tab = visit({"width": 320, "height": 568})
    classify(tab, files)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320


def test_why_there_is_no_table_stays_on_the_page_and_the_old_one_goes(visit, files):
    tab = visit(DESKTOP)
    classify(tab, files[:3])
    tab.get_by_role("button", name="Clear").last.click()
    tab.get_by_role("button", name=WORDS["batch_classify"]).click()
    tab.locator("#counts").get_by_text(WORDS["error_batch_none"], exact=True).wait_for()
    assert tab.locator("#table table").count() == 0
    assert tab.get_by_text(WORDS["error_batch_none"]).count() == 1
    assert tab.get_by_text(WORDS["batch_csv"]).is_disabled()


def test_a_file_whose_ending_the_system_does_not_know_is_judged_by_its_content(visit, files):
    def sent(name, content, kind=""):
        return {"name": name, "mimeType": kind, "buffer": content}

    picture = files[0].read_bytes()
    tab = visit(DESKTOP)
    classify(
        tab, [sent("x.hif", picture), sent("x.txt", b"hello", "text/plain"), sent("x", picture)]
    )
    assert names(tab) == ["x.hif", "x", "x.txt"]
    assert tab.locator("#table img").count() == 2
    assert WORDS["error_unreadable"] in tab.locator("#table tbody tr").nth(2).inner_text()
