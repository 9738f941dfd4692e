"""How the browser shows an answer: verdict, bars, map, warning level and report. In a real
Chromium, on a page with nothing but the modules of model/page/browser."""

import base64
import contextlib
import io
import json
import re
import shutil

import pytest
from browsing import launched, serving
from made import drawing
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from model.classifier import Classifier
from model.labels import BINARY, LABELS
from model.page import answer
from model.page.served import BROWSER
from model.page.settings import settings
from model.page.texts import TEXTS, text
from model.quality import CODES

pytestmark = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed (apt-get install chromium)"
)

DESKTOP, PHONES = (1280, 900), [(390, 844), (412, 915), (430, 932)]
HTML = """<!doctype html><html lang="LANGUAGE"><meta charset="utf-8"><title>view</title>
<link rel="stylesheet" href="/page/page.css">
<style>
    :root { --color-accent: #0f766e; --neutral-500: #64748b; --border-color-primary: #ccc;
        --stat-background-fill: #0f766e; --background-fill-secondary: #f8fafc; }
    button { outline: none; }
</style>
<main>
    <h1>view</h1>
    <div class="whole"><div class="result answer"></div><div class="result"></div></div>
    <div class="whole"><div class="result answer"></div><div class="result"></div></div>
    <div class="tab"></div>
</main>
<script type="module">
    import {show, showBusy} from "/page/browser/answer.js";
    const page = await (await fetch("/LANGUAGE.json")).json();
    const [first, second] = document.querySelectorAll(".whole");
    Object.assign(window, {
        show: (whole, answer) => show(...whole.children, answer, page),
        showBusy: whole => showBusy(...whole.children, page),
        page, first, second,
    });
</script>"""
# As a model folder and its figures would give them.
POINTS = [
    {"threshold": 0.02, "sensitivity": 0.99, "specificity": 0.45},
    {"threshold": 0.11, "sensitivity": 0.944, "specificity": 0.843},
    {"threshold": 0.5, "sensitivity": 0.7, "specificity": 0.97},
]
GIVEN = {
    "suspicious": {"labels": ["akiec", "bcc", "mel"], "threshold": 0.11, "points": POINTS},
    "sets": {
        "level": "0.9",
        "quantiles": {level: {} for level in ("0.8", "0.9", "0.95")},
        "always": {"0.8": {}, "0.9": {"df": 7}, "0.95": {"df": 7, "vasc": 1, "bcc": 8}},
        "measured": {"0.9": "In our test it was 91%."},
    },
    "rates": ["Of 100 suspicious lesions it warned about 94."],
    "model": {"id": "ann/lesions", "revision": "0123abc"},
    "examples": [],
}


@pytest.fixture(scope="module")
def classifier():
    return Classifier()


@pytest.fixture(scope="module")
def url(classifier):
    def html(request):
        return HTMLResponse(HTML.replace("LANGUAGE", request.path_params.get("language", "en")))

    def words(request):
        language = request.path_params["language"]
        return JSONResponse(settings(classifier, {}, language, {}) | GIVEN)

    pages = StaticFiles(directory=BROWSER.parent)
    places = [Route("/{language}.json", words), Mount("/page", pages), Route("/{language}", html)]
    with serving(Starlette(routes=places)) as url:
        yield url


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


@contextlib.contextmanager
def opened(chromium, url, language="en", size=DESKTOP):
    """A tab on the bare page, which must end without an error."""
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce"
    )
    # What a frame would print, for a browser without a printer.
    context.add_init_script("window.print = () => { top.printed = document.body.innerText; }")
    tab, errors = context.new_page(), []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(f"{url}/{language}")
    tab.wait_for_function("!!window.showBusy")
    try:
        yield tab
        assert errors == []
    finally:
        context.close()


@pytest.fixture
def tab(chromium, url):
    with opened(chromium, url) as tab:
        yield tab


def data_url() -> str:
    buffer = io.BytesIO()
    drawing("mel", 3, (320, 240)).save(buffer, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


PICTURE = data_url()
# Melanoma in the four cells of the middle, moles hardly anywhere, nothing else.
MAPS = {label: [0.0] * 12 for label in LABELS} | {
    "mel": [0.1, 0.5, 0.6, 0.1, 0.1, 0.9, 1.0, 0.1, 0, 0, 0, 0],
    "nv": [0.2] * 12,
}
SHARES = {"akiec": 0.01, "bcc": 0.03, "bkl": 0.15, "df": 0.02, "mel": 0.3, "nv": 0.45, "vasc": 0.04}


def made_answer(shares=SHARES, threshold=0.11, suspects=("akiec", "bcc", "mel"), **changes) -> dict:
    score = sum(shares.get(label, 0) for label in suspects)
    return {
        "probabilities": shares,
        "suspicious": {"score": score, "threshold": threshold, "flag": score >= threshold},
        "confident": True,
        "notices": [],
        "sets": None,
        "milliseconds": 41.0,
        "evidence": {"height": 3, "width": 4, "maps": MAPS},
        "picture": PICTURE,
    } | changes


CALM = SHARES | {"mel": 0.03, "nv": 0.72}
# Those of SHARES at three levels: bkl is missing at 90 %, though it is more probable than vasc.
SETS = {
    "0.8": ["nv"],
    "0.9": ["nv", "mel", "vasc", "df"],
    "0.95": ["nv", "mel", "bkl", "vasc", "bcc", "df"],
}
COULD = "Could be: melanocytic nevus, melanoma, vascular lesion"


def show(tab, answer, place="first"):
    tab.evaluate(f"answer => show({place}, answer)", answer)
    return tab.locator(".whole").nth(["first", "second"].index(place))


def choose(place, name):
    """Choose the diagnosis of the map by its bar."""
    place.locator("label.share").filter(has_text=name).click()


def size(locator) -> float:
    return locator.evaluate("node => parseFloat(getComputedStyle(node).fontSize)")


def test_the_verdict_is_first_and_largest_and_what_it_resembles_comes_second(tab):
    place = show(tab, made_answer())
    box, likeness = place.locator(".said .suspicious"), place.locator(".likeness")
    assert box.locator("h2").inner_text() == "Show this lesion to a doctor soon"
    assert box.locator("p").all_inner_texts() == [
        "Actinic keratosis or Bowen's disease, basal cell carcinoma and melanoma together: 34%. "
        "The warning level is 11%. It may well be harmless: only an examination can tell.",
        "Of 100 suspicious lesions it warned about 94.",
    ]
    assert likeness.inner_text() == "Most similar to: Melanocytic nevus (nv), 45%"
    assert size(box.locator("h2")) > 1.2 * size(likeness) > size(box.locator("p").first)
    assert box.bounding_box()["y"] < likeness.bounding_box()["y"]
    assert " ms" not in place.inner_text()


def test_below_the_warning_level_comes_with_its_caution(chromium, url):
    with opened(chromium, url, "id") as tab:
        said = show(tab, made_answer(CALM)).locator(".said .benign").inner_text()
    assert text("id", "sum_benign") in said and text("id", "sum_benign_caution") in said
    assert "melanoma seluruhnya: 7%. Batas peringatannya 11%." in said


def test_scores_near_the_level_are_told_apart(tab):
    answer = made_answer(SHARES | {"mel": 0.0702, "nv": 0.6798})
    assert "together: 11.02%. The warning level is 11.00%." in show(tab, answer).inner_text()


@pytest.mark.parametrize("shares, warned", [(SHARES, True), (CALM, False)])
def test_a_refused_picture_has_one_box_with_all_reasons_and_no_headline(tab, shares, warned):
    answer = made_answer(
        shares, confident=False, notices=["blurred", "too_dark", "lens"], sets=SETS
    )
    place = show(tab, answer)
    box = place.locator(".said .unsure")
    assert box.locator("h2").inner_text() == "No reliable answer"
    assert box.locator("li").all_inner_texts() == [
        text("en", "notice_blurred"),
        text("en", "notice_too_dark"),
    ]
    worried = "If the spot worries you, show it to a doctor."
    even_so = "Even so, the suspicious diagnoses add up to 34%, above the warning level of 11%. "
    assert box.locator("p").all_inner_texts() == [
        "Do not rely on the figures below.",
        (even_so if warned else "") + worried,
    ]
    assert place.locator(".likeness, .levels").count() == 0
    assert "Most similar" not in place.inner_text() and "Could be" not in place.inner_text()
    assert place.locator(".notice").all_inner_texts() == [text("en", "notice_lens")]


def test_a_lens_alone_is_a_remark(tab):
    place = show(tab, made_answer(notices=["lens"]))
    assert place.locator(".said .suspicious").count() == 1
    assert place.locator(".likeness").count() == 1
    assert place.locator(".notice").all_inner_texts() == [text("en", "notice_lens")]


def notes(place):
    """What is said about the set."""
    return place.locator(".meaning p").all_inner_texts()


def means(level, n):
    return text("en", "set_means", level=level, n=n)


def test_a_set_of_several_takes_the_place_of_one(tab):
    place = show(tab, made_answer(sets=SETS))
    assert place.locator(".likeness").inner_text() == COULD
    assert "true diagnosis of at least 90 of 100 lesions of each diagnosis" in means("90%", 90)
    rare = text("en", "set_rare", names="dermatofibroma (7 lesions)")
    assert notes(place) == [
        f"{means('90%', 90)} {text('en', 'set_own')}",
        rare,
        "In our test it was 91%.",
    ]
    # No more probable diagnosis is missing here. What is in every set makes no set of several.
    place = show(tab, made_answer(sets=SETS | {"0.9": ["nv", "mel"]}))
    assert notes(place)[0] == means("90%", 90)
    place = show(tab, made_answer(SHARES | {"df": 0.4}, sets=SETS | {"0.9": ["nv", "df"]}))
    assert "Most similar to: Melan" in place.locator(".likeness").inner_text()
    assert notes(place)[:2] == [means("90%", 90), rare]
    # Unless it is the most probable.
    shares = SHARES | {"df": 0.45, "nv": 0.02}
    place = show(tab, made_answer(shares, sets=SETS | {"0.9": ["df", "mel"]}))
    assert place.locator(".likeness").inner_text() == "Could be: dermatofibroma, melanoma"
    assert "too few lesions" not in place.inner_text()


def test_limits_of_another_run_promise_nothing_of_this_one(tab):
    tab.evaluate("page.sets.inherited = true")
    place = show(tab, made_answer(sets=SETS | {"0.8": ["nv", "mel"]}))
    assert notes(place)[0] == text("en", "set_own")
    place.get_by_role("radio", name="80%").check()
    assert notes(place) == []


def test_the_level_of_the_set_is_in_the_visitors_hand_and_takes_no_request(tab):
    requests = []
    place = show(tab, made_answer(sets=SETS))
    other = show(tab, made_answer(CALM, sets=SETS), "second")
    tab.on("request", lambda request: requests.append(request.url))
    group = place.get_by_role("group", name="Level of the set")
    assert group.locator("label").all_inner_texts() == ["80%", "90%", "95%"]
    assert group.get_by_role("radio", name="90%").is_checked()
    group.get_by_role("radio", name="90%").focus()
    tab.keyboard.press("ArrowLeft")
    likeness = place.locator(".likeness")
    assert likeness.inner_text() == "Most similar to: Melanocytic nevus (nv), 45%"
    assert notes(place) == [f"{text('en', 'set_alone', level='80%')} {means('80%', 80)}"]
    for _ in range(2):
        tab.keyboard.press("ArrowRight")
    most = group.get_by_role("radio", name="95%")
    assert most.evaluate("node => node === document.activeElement")
    assert "solid 3px" in most.evaluate("node => getComputedStyle(node).outline")
    assert likeness.inner_text() == "Could be: melanocytic nevus, melanoma, benign keratosis"
    assert likeness.get_attribute("aria-live") == "polite"
    # This level was not measured.
    names = (
        "vascular lesion (1 lesion), basal cell carcinoma (8 lesions), dermatofibroma (7 lesions)"
    )
    assert notes(place) == [means("95%", 95), text("en", "set_rare", names=names)]
    # It holds for the answer beside it and for the next one, and the verdict stays.
    assert other.get_by_role("radio", name="95%").is_checked()
    assert "benign keratosis" in other.locator(".likeness").inner_text()
    place = show(tab, made_answer(sets=SETS))
    assert place.locator(".levels").get_by_role("radio", name="95%").is_checked()
    assert place.locator(".said h2").inner_text() == "Show this lesion to a doctor soon"
    assert requests == []


def test_without_a_warning_level_the_set_is_the_verdict_and_its_level_can_be_chosen(tab):
    place = show(tab, made_answer(suspicious=None, sets=SETS))
    assert place.locator(".said").inner_text() == COULD
    place.get_by_role("radio", name="80%").check()
    said = "Most similar to: Melanocytic nevus (nv), 45%"
    assert place.locator(".said").inner_text() == said
    assert place.locator(".likeness").count() == 1


def test_without_sets_there_is_no_choice_of_their_level(tab):
    for given in (GIVEN["sets"], None):
        tab.evaluate("sets => { page.sets = sets }", given)
        place = show(tab, made_answer())
        assert place.locator(".levels").count() == 0 and notes(place) == []
        assert place.locator(".likeness").inner_text().startswith("Most similar to: Melan")


def test_models_with_other_labels_and_without_a_warning_level(tab):
    tab.evaluate("labels => { page.suspicious.labels = labels }", ["malignant"])
    tab.evaluate("names => Object.assign(page.names, names)", {"malignant": "Malignant"})
    shares = {"benign": 0.6, "malignant": 0.4}
    evidence = {"height": 3, "width": 4, "maps": {label: [0.6] * 12 for label in BINARY}}
    place = show(tab, made_answer(shares, suspects=["malignant"], evidence=evidence))
    assert "Malignant: 40%. The warning level is 11%." in place.locator(".said").inner_text()
    refused = made_answer(
        shares, suspects=["malignant"], evidence=evidence, confident=False, notices=["uniform"]
    )
    said = "Even so, malignant has a probability of 40%, above the warning level of 11%."
    assert said in show(tab, refused).inner_text()

    tab.evaluate("Object.assign(page.names, {'<i>cat': '<i>cat', $name: '$name'})")
    tab.evaluate("page.suspicious = {labels: null, threshold: null, points: null}")
    shares = {"<i>cat": 0.3, "$name": 0.7}
    evidence["maps"] = {label: [0.6] * 12 for label in shares}
    place = show(tab, made_answer(shares, suspicious=None, evidence=evidence))
    assert place.locator(".said").inner_text() == "Most similar to: $name, 70%"
    assert place.locator(".box, .level").count() == 0
    choose(place, "<i>cat")
    assert place.locator("figcaption").inner_text().endswith("<i>cat")
    assert place.locator(".told").inner_text() == ""


def test_the_bars_choose_the_diagnosis_of_the_map(tab):
    place = show(tab, made_answer())
    group = place.get_by_role("group", name="Probability of each diagnosis")
    names = [
        words.split("\n")[0].replace("\u00a0▲", "")
        for words in group.locator("label").all_inner_texts()
    ]
    assert [re.search(r"\((\w+)\)", name)[1] for name in names] == sorted(
        SHARES, key=SHARES.get, reverse=True
    )
    assert place.locator("select").count() == 0
    assert place.locator("figcaption").inner_text().endswith("12 areas Melanocytic nevus (nv)")
    group.get_by_role("radio").first.focus()
    tab.keyboard.press("ArrowDown")
    assert group.get_by_role("radio").nth(1).is_checked()
    assert place.locator("figcaption").inner_text() == (
        "The model's evidence, in 12 areas Melanoma (mel)"
    )
    assert place.locator(".told strong").inner_text() == "Melanoma (mel)"
    assert place.locator(".told p").inner_text().startswith("If it is this: A cancer of the pig")
    ring = group.locator("label").nth(1).evaluate("node => getComputedStyle(node).outline")
    assert "solid 3px" in ring


def test_no_text_says_that_no_treatment_is_needed():
    for language, words in (("en", "needs no treatment"), ("id", "tidak perlu diobati")):
        assert not [t for t in TEXTS[language].values() if words in t.lower()]


def test_the_map_draws_cells_and_a_line_round_the_strongest(tab):
    place = show(tab, made_answer())
    choose(place, "Melanoma (mel)")
    cells = place.locator(".view rect")
    assert cells.count() == 12
    strongest = cells.nth(6)
    assert [strongest.get_attribute(key) for key in ("x", "y", "fill", "fill-opacity")] == [
        "2",
        "1",
        "#fde725",
        "1.000",
    ]
    path = place.locator(".view path").first.get_attribute("d")
    edges = {"M1 0h1", "M2 0h1", "M1 2h1", "M2 2h1", "M1 0v1", "M1 1v1", "M3 0v1", "M3 1v1"}
    assert set(re.findall(r"M\d \d[hv]1", path)) == edges
    assert text("en", "map_line") in place.locator(".legend").inner_text()
    assert "evidence for Melanoma (mel)" in place.locator(".view img").get_attribute("alt")
    # A mole's evidence is weak everywhere: cells, but no line. A fibroma has none.
    choose(place, "Melanocytic nevus (nv)")
    assert text("en", "map_line") not in place.locator(".legend").inner_text()
    choose(place, "Dermatofibroma (df)")
    assert "No area of the picture stands out for Dermatofibroma (df)." in place.inner_text()
    assert place.locator(".legend").count() == place.locator(".view svg").count() == 0
    assert not place.get_by_label("From the picture to the map").is_visible()


def test_cells_may_leave_out_the_border_of_the_picture(tab):
    evidence = {"height": 3, "width": 4, "maps": MAPS, "extent": [0.75, 1]}
    place = show(tab, made_answer(evidence=evidence))
    place.locator(".view img").evaluate("node => node.decode()")
    picture, cells = (place.locator(f".view {tag}").bounding_box() for tag in ("img", "svg"))
    assert cells["height"] == pytest.approx(0.75 * picture["height"], abs=1)
    assert cells["width"] == pytest.approx(picture["width"], abs=1)
    margin = 0.125 * picture["height"]
    assert cells["y"] - picture["y"] == pytest.approx(margin, abs=1)


def test_a_slider_leads_from_the_picture_to_the_map(tab):
    place = show(tab, made_answer())
    slider = place.get_by_label("From the picture to the map")

    def look():
        return [
            place.locator(selector).first.evaluate(f"node => getComputedStyle(node).{of}")
            for selector, of in ((".view g", "opacity"), (".view img", "filter"))
        ]

    assert look() == ["0.65", "grayscale(1)"]
    slider.focus()
    tab.keyboard.press("Home")
    assert look() == ["0", "grayscale(0)"]
    tab.keyboard.press("End")
    assert look() == ["1", "grayscale(1)"]
    assert slider.evaluate("node => node.ariaValueText") == "100%"


@pytest.mark.parametrize("able", [True, False])
def test_full_screen_enlarges_the_picture_and_keeps_the_legend(tab, able):
    place = show(tab, made_answer())
    if not able:
        tab.evaluate("Element.prototype.requestFullscreen = undefined")
    picture, legend = place.locator(".view img"), place.locator(".legend")
    picture.evaluate("node => node.decode()")
    tab.set_viewport_size({"width": 1600, "height": 1000})
    before = picture.bounding_box()["width"]
    place.get_by_role("button", name="Full screen").click()
    close = place.get_by_role("button", name="Close")
    close.wait_for()
    now = picture.bounding_box()
    assert now["width"] > 1.5 * before and now["y"] + now["height"] < 1000
    assert now["width"] / now["height"] == pytest.approx(4 / 3, abs=0.01)
    assert legend.is_visible() and legend.bounding_box()["y"] < 1000
    assert tab.locator("dialog").count() == (0 if able else 1)
    close.click()
    place.get_by_role("button", name="Full screen").wait_for()
    assert picture.bounding_box()["width"] == pytest.approx(before, abs=1)
    assert place.locator(".told").bounding_box()["y"] > legend.bounding_box()["y"]


def test_the_picture_can_be_zoomed_and_then_scrolled_by_key(tab):
    place = show(tab, made_answer())
    picture, pane = place.locator(".view img"), place.locator(".pane")
    picture.evaluate("node => node.decode()")
    before = picture.bounding_box()["width"]
    assert place.get_by_role("button", name="Zoom out").is_disabled()
    for _ in range(4):
        place.get_by_role("button", name="Zoom in").click()
    assert picture.bounding_box()["width"] == pytest.approx(4 * before, rel=0.01)
    assert place.get_by_role("button", name="Zoom in").is_disabled()
    shown = pane.evaluate("p => (p.scrollLeft + p.clientWidth / 2) / p.scrollWidth")
    assert shown == pytest.approx(0.5, abs=0.01)
    pane.focus()
    left = pane.evaluate("p => p.scrollLeft")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("left => document.querySelector('.pane').scrollLeft > left", arg=left)


def test_the_warning_level_is_in_the_visitors_hand(tab):
    place, other = show(tab, made_answer()), show(tab, made_answer(CALM), "second")
    place.locator(".level summary").click()
    slider, level = place.locator(".level input"), place.locator(".level")
    rates = "of 100 suspicious validation pictures it would warn about"
    assert "Warning level: 11% (set by the model)" in level.inner_text()
    assert (
        f"At this level: {rates} 94, of 100 harmless ones also about 16. The" in level.inner_text()
    )
    assert level.locator("option").get_attribute("value") == "1"
    slider.focus()
    tab.keyboard.press("ArrowRight")
    said = place.locator(".said")
    assert said.locator("h2").inner_text() == "Below the warning level"
    assert "You chose this level. At the model's own level, 11%, it would warn." in (
        said.inner_text()
    )
    assert f"{rates} 70" in said.inner_text() and GIVEN["rates"][0] not in said.inner_text()
    assert "Warning level: 50% (your own)" in level.inner_text()
    assert slider.evaluate("node => node.ariaValueText") == "Warning level: 50%, your own"
    # It holds for the answer beside it and for the next one.
    assert "You chose this level." in other.locator(".said").inner_text()
    assert "You chose this level." in show(tab, made_answer()).locator(".said").inner_text()
    assert tab.evaluate("localStorage.length + sessionStorage.length") == 0
    place.get_by_role("button", name="Back to the model's level").click()
    assert "You chose" not in place.inner_text() + other.inner_text()
    assert place.locator(".level input").evaluate("node => node === document.activeElement")
    # Left, where it warns of more.
    other.locator(".level summary").click()
    other.locator(".level input").focus()
    tab.keyboard.press("ArrowLeft")
    assert other.locator("h2").inner_text() == "Show this lesion to a doctor soon"
    assert "At the model's own level, 11%, it would not warn." in other.inner_text()


def test_without_points_there_is_no_choice_of_the_level(tab):
    tab.evaluate("page.suspicious.points = null")
    assert show(tab, made_answer()).locator(".level").count() == 0


NAME = '<img src=x onerror="alert(1)">&amp;$&' + 60 * "abc " + ".jpg"


@pytest.mark.parametrize("language", ["en", "id"])
def test_a_report_holds_everything_loads_nothing_and_prints_to_one_page(
    chromium, url, tmp_path, language
):
    answer = made_answer(name=NAME, sets=SETS, notices=CODES)
    with opened(chromium, url, language) as tab:
        place = show(tab, answer)
        choose(place, "Melanoma (mel)")
        place.get_by_role("radio", name="95%").check()
        place.locator(".level summary").click()
        place.locator(".level input").focus()
        tab.keyboard.press("ArrowRight")
        with tab.expect_download() as download:
            place.get_by_role("button", name=text(language, "report_save")).click()
        assert re.fullmatch(r"lesion-\d{8}-\d{6}\.html", download.value.suggested_filename)
        saved = tmp_path / "report.html"
        download.value.save_as(saved)
        place.get_by_role("button", name=text(language, "report_print")).click()
        tab.wait_for_function("!!window.printed")
        printed = tab.evaluate("printed")

        context = chromium.new_context(offline=True)
        report, requests = context.new_page(), []
        report.on("request", lambda request: requests.append(request.url))
        report.goto(saved.as_uri())
        words = report.locator("body").inner_text()
        pdf = report.pdf(prefer_css_page_size=True)
        loaded = report.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        context.close()
    assert words.split() == printed.split()
    assert loaded
    html = saved.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//|@import|<script|<link", re.sub(r"data:[^\"]*", "", html))
    assert requests == [saved.as_uri(), *[url for url in requests if url.startswith("data:")]]
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    wanted = ["sum_benign", "no_diagnosis", "report_heading", "map_line", "sum_benign_caution"]
    wanted += [f"notice_{code}" for code in CODES]
    for key in wanted:
        assert text(language, key) in words, key
    assert text(language, "point_own_suspicious", stored="11%") in words
    assert text(language, "set_means", level="95%", n=95) in words
    assert NAME in words and "ann/lesions, 0123abc" in words
    assert re.search(r"20\d\d.* (UTC|GMT\S*)", words)
    shown = {"en": "45.0%", "id": "45,0%"}[language]
    for part in ("(akiec)", "(bcc)", "(bkl)", "(df)", "(mel)", "(nv)", "(vasc)", shown):
        assert part in words, part


def test_an_error_stays_in_place_of_the_answer(tab):
    show(tab, made_answer())
    place = show(tab, {"error": "This is <b>no</b> picture."})
    assert place.get_by_role("alert").inner_text() == "This is <b>no</b> picture."
    assert place.inner_text().strip() == "This is <b>no</b> picture."
    show(tab, made_answer())
    assert place.get_by_role("alert").count() == 0
    tab.evaluate("show(first, null)")
    assert place.inner_text().strip() == TEXTS["en"]["answer_empty"]


def test_while_an_answer_is_computed_nothing_jumps(tab):
    place = show(tab, made_answer())
    before = place.bounding_box()["height"]
    tab.evaluate("showBusy(first)")
    assert place.locator(".answer").first.get_attribute("aria-busy") == "true"
    assert place.inner_text().strip() == "Classifying …"
    assert place.bounding_box()["height"] == pytest.approx(before, abs=1)
    show(tab, {"error": "No."})
    assert place.locator(".answer").first.get_attribute("aria-busy") is None
    assert place.bounding_box()["height"] < before / 2


def test_screen_readers_hear_the_verdict_and_not_the_table(tab):
    tab.evaluate("show(first, null)")
    live = tab.locator(".answer").first.get_by_role("status")
    live.evaluate("node => { node.known = true }")
    show(tab, made_answer())
    assert live.evaluate("node => node.known")  # an element that is new would not be announced
    assert "Show this lesion" in live.inner_text() and "Vascular" not in live.inner_text()
    assert tab.locator(".answer [aria-live]").count() == 0


def test_compare_names_the_level_of_the_sets_and_follows_it(tab):
    tab.evaluate(
        """async answers => {
            const {fill} = await import("/page/browser/compare.js");
            for (const node of [first, second]) node.remove();
            const server = {classify: async () => answers.shift()}, upload = async () => ({});
            fill(document.querySelector(".tab"), page, "", {server, upload});
        }""",
        [made_answer(sets=SETS), made_answer(CALM, sets=SETS | {"0.95": ["nv"]})],
    )
    change, file = tab.locator(".change"), {"mimeType": "image/jpeg", "buffer": b"x"}
    for side, section in enumerate(tab.locator(".sides section").all()):
        section.locator("input[type=file]").first.set_input_files({"name": f"{side}.jpg"} | file)
        section.get_by_role("button", name="Classify").click()
        section.locator(".said h2").wait_for()
    row = change.locator("tr").last
    assert row.locator("th").inner_text() == "Resembles (set at the 90% level)"
    assert row.locator("td").all_inner_texts() == [COULD, COULD]
    tab.get_by_role("radio", name="95%").first.check()
    row = change.locator("tr").last
    assert row.locator("th").inner_text() == "Resembles (set at the 95% level)"
    assert row.locator("td").all_inner_texts() == [
        "Could be: melanocytic nevus, melanoma, benign keratosis",
        "Most similar to: Melanocytic nevus (nv), 72%",
    ]


@pytest.mark.parametrize("viewport", [*PHONES, DESKTOP], ids=str)
def test_an_answer_comes_into_view(chromium, url, viewport):
    with opened(chromium, url, size=viewport) as tab:
        tab.evaluate(
            """async answer => {
                const {fill} = await import("/page/browser/one.js");
                for (const node of [first, second]) node.remove();
                const server = {classify: async () => answer};
                fill(document.querySelector(".tab"), page, "", {server, upload: async () => ({})});
                document.querySelector(".source").style.minHeight = "700px";
            }""",
            made_answer(),
        )
        file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"x"}
        tab.locator("input[type=file]").first.set_input_files(file)
        tab.get_by_role("button", name="Classify").click()
        tab.locator(".said h2").wait_for()
        place = tab.locator(".said .box").bounding_box()
    assert 0 <= place["y"] and place["y"] + place["height"] <= viewport[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_a_narrow_phone_needs_no_scrolling_aside(chromium, url, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with opened(chromium, url, size=(320, 700)) as tab:
        if scheme == "dark":
            tab.evaluate("document.body.className = 'dark'")
        answers = [
            made_answer(sets=SETS, notices=["lens"]),
            made_answer(confident=False, notices=["blurred", "uniform"]),
            {"error": "No picture."},
        ]
        for answer_ in answers:
            place = show(tab, answer_)
            place.locator("summary").evaluate_all("all => all.forEach(e => { e.open = true })")
            found = Axe().run(tab).response["violations"]
            ours = [(v["id"], v["nodes"][0]["html"]) for v in found]
            assert [v for v in ours if v[0] != "region"] == []
            assert tab.evaluate("document.documentElement.scrollWidth") <= 320


def test_view_gives_what_the_answer_needs(classifier):
    given = answer.view(classifier, "id")
    calibration = classifier.config["calibration"]
    assert given["names"]["mel"] == "Melanoma (mel)" and given["labels"] == classifier.labels
    assert given["suspicious"] == {
        "labels": calibration["suspicious"],
        "threshold": calibration["threshold"],
        "points": calibration.get("points"),
    }
    assert all(sentence.endswith(".") for sentence in given["rates"])
    assert {"colours", "half"} <= set(given["look"])
    json.dumps(given)
