"""The private tab's numbers compared with Python's, for the models it offers, in Chromium, Firefox.

pytest -s -m nightly tests/test_private_browser.py      prints the agreement on HAM10000
"""

import base64
import io
import json
import statistics

import numpy as np
import pytest
from hostile import chunk
from made import drawing, encode, through_lens
from PIL import Image, ImageFilter
from private_page import (  # noqa: F401
    ANSWER,
    HELPERS,
    START,
    bare_fixture,
    browser_file,
    chromium_fixture,
    coded,
    firefox_fixture,
    needs_chromium,
)
from profiles import colours, grey, stored_as
from test_app import ROOT

from model import cam, quality
from model.classifier import Classifier
from model.evaluation.outliers import KINDS, generate
from model.folder import BUNDLED, COMPACT
from model.lens import within_lens
from model.page.answer import for_page
from model.page.sets import sets_of
from model.page.settings import RULES
from model.page.texts import TEXTS, number, probability
from model.preprocessing import load_picture, open_picture, to_array, turned, upright

pytestmark = needs_chromium
DATA = ROOT.parent / "shared/ham10000"


@pytest.fixture(scope="module")
def classifier():
    return Classifier(BUNDLED)


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def numbers(request, bare, classifier):
    """numbers(code, argument) runs JavaScript in a tab that has loaded picture.js and worker.js."""
    browser = request.getfixturevalue(request.param)
    code = browser_file("worker.js").replace("onmessage", "self.unused")
    code += HELPERS + f"tab = {json.dumps(RULES)}"
    if request.param == "firefox":
        browser.go(bare.url)
        browser.wait("window.page")
        browser.add_script(browser_file("picture.js") + code)
        yield browser.evaluate
        return
    tab = browser.new_page()
    tab.goto(bare.url)
    tab.wait_for_function("window.page")
    tab.add_script_tag(content=browser_file("picture.js") + code)
    yield tab.evaluate
    tab.close()


def picture_of(array: np.ndarray) -> dict:
    return {"data": coded(array.tobytes()), "width": array.shape[1], "height": array.shape[0]}


def decoded(data: str, *shape) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(shape)


@pytest.mark.parametrize(
    "size", [(600, 450), (451, 601), (37, 53), (128, 96), (127, 97), (1, 1), (9, 500), (1023, 7)]
)
def test_resize_is_that_of_pil_to_the_bit(numbers, size):
    array = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    array[: size[1] // 2] = array[: size[1] // 2] // 128 * 255
    for height, width in ((96, 128), (75, 101), (64, 64)):
        found = numbers(
            "([p, h, w]) => coded(toArray({...p, data: bytes(p.data)}, h, w))",
            [picture_of(array), height, width],
        )
        expected = to_array(Image.fromarray(array), height, width)
        assert (decoded(found, height, width, 3) == expected).all()


def stored(picture: Image.Image, kind: str, **more) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **more)
    return buffer.getvalue()


def made_files() -> dict[str, bytes]:
    lesion = drawing("bkl", 3, (241, 173))
    fading = lesion.convert("RGBA")
    fading.putalpha(Image.linear_gradient("L").resize(lesion.size))
    clear = lesion.quantize(32)
    grey = np.linspace(0, 65535, 173 * 241).reshape(173, 241).astype(np.uint16)
    files = {
        "png": stored(lesion, "PNG"),
        "webp": stored(lesion, "WEBP", lossless=True),
        "gif": stored(clear, "GIF"),
        "bmp": stored(lesion, "BMP"),
        "portrait": stored(drawing("mel", 4, (173, 241)), "PNG"),
        "grey": stored(lesion.convert("L"), "PNG"),
        "palette": stored(clear, "PNG"),
        "grey and alpha": stored(fading.convert("LA"), "PNG"),
        "alpha": stored(fading, "PNG"),
        "palette and alpha": stored(clear, "PNG", transparency=3),
        "16 bit": stored(Image.fromarray(grey), "PNG"),
        "jpeg 4:2:0": stored(lesion, "JPEG", quality=92),
        "jpeg grey": stored(lesion.convert("L"), "JPEG"),
        "jpeg 4:4:4": stored(lesion, "JPEG", quality=92, subsampling=0),
        "jpeg progressive": stored(lesion, "JPEG", progressive=True),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        files[f"rotation {orientation}"] = stored(lesion, "JPEG", quality=95, exif=exif)
    return files


@pytest.mark.parametrize("kind", made_files())
def test_files_are_opened_as_python_opens_them(numbers, classifier, kind):
    data = made_files()[kind]
    size = classifier.height, classifier.width
    code = """async ([data, height, width]) => {
        const {whole} = await opened(new Blob([bytes(data)]));
        return [whole.width, whole.height, coded(toArray(whole, height, width))];
    }"""
    width, height, pixels = numbers(code, [coded(data), *size])
    assert (width, height) == open_picture(data).size
    difference = np.abs(decoded(pixels, *size, 3).astype(int) - load_picture(data, *size))
    # Browsers cut 16 bits off to 8, where Python rounds; each has its own rounding of transparency.
    rounded = kind == "16 bit" or "alpha" in kind
    assert difference.max() <= 1 and difference.mean() < (0.6 if rounded else 0.1)


def profiled_files() -> dict[str, bytes]:
    lesion = drawing("bkl", 3, (241, 173))
    files = {}
    for name in ("sRGB", "Display P3", "Adobe RGB"):
        camera, profile = stored_as(lesion, name), {"icc_profile": colours(name)}
        files[f"jpeg {name}"] = stored(camera, "JPEG", quality=95, **profile)
        files[f"png {name}"] = stored(camera, "PNG", **profile)
        files[f"webp {name}"] = stored(camera, "WEBP", lossless=True, **profile)
    files["grey"] = stored(lesion.convert("L"), "PNG", icc_profile=grey(1.8))
    files["broken"] = stored(lesion, "JPEG", quality=95, icc_profile=colours("Adobe RGB")[:300])
    png = stored(lesion, "PNG")
    gamma = chunk(b"gAMA", (100_000).to_bytes(4, "big"))
    code = chunk(b"cICP", bytes([12, 13, 0, 1]))
    primaries = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    chromas = chunk(b"cHRM", b"".join(value.to_bytes(4, "big") for value in primaries))
    files["no profile, but a gamma"] = png[:33] + gamma + chromas + png[33:]
    files["no profile, but a code"] = png[:33] + code + png[33:]
    return files


@pytest.mark.parametrize("kind", profiled_files())
def test_profiles_are_heeded_as_by_python(numbers, classifier, kind):
    data, size = profiled_files()[kind], (classifier.height, classifier.width)
    code = """async ([data, height, width]) => {
        const {whole, shown} = await opened(new Blob([bytes(data)]));
        return [coded(toArray(whole, height, width)), coded(toArray(shown, height, width))];
    }"""
    expected = load_picture(data, *size)
    for pixels in numbers(code, [coded(data), *size]):
        difference = np.abs(decoded(pixels, *size, 3).astype(int) - expected)
        assert difference.max() <= 3 and difference.mean() < 0.5


def test_notices_are_those_of_python(numbers):
    rules = RULES["quality"]
    pictures = [generate(KINDS[i % len(KINDS)], i, (160, 120)) for i in range(24)]
    lesion = drawing("nv", 1, (300, 225))
    pictures += [
        lesion,
        lesion.resize((59, 70)),
        lesion.resize((60, 60)),
        lesion.resize((300, 150)),
        lesion.resize((301, 150)),
        *(lesion.point(lambda v, k=k: int(min(255, v * k))) for k in (0.1, 0.2, 0.3, 0.4, 2, 3)),
        # Little detail, and only coarse detail: the two rules about blur.
        *(lesion.filter(ImageFilter.GaussianBlur(r)) for r in (0.5, 1, 1.5, 2, 2.5, 3, 4, 8)),
        lesion.resize((60, 45)).resize((300, 225)),
    ]
    found = [
        numbers(
            "([p, rules]) => qualityNotices({...p, data: bytes(p.data)}, rules)",
            [picture_of(np.asarray(picture)), rules],
        )
        for picture in pictures
    ]
    assert found == [quality.quality_notices(picture) for picture in pictures]
    others = {"lens", "unfamiliar"}  # which the rules of quality.py do not give
    assert {code for codes in found for code in codes} == set(quality.CODES) - others


@pytest.mark.parametrize("size", [(300, 225), (225, 300), (84, 84), (320, 180)])
def test_a_lens_is_cropped_as_python_crops_it(numbers, size):
    lesion = drawing("mel", 5, size)
    for outside in (0.05, 0.2, 0.3, 0.5, 0.7, 0.9):
        for aside in ((0, 0), (0.06, -0.04), (0.2, 0.1)):
            picture = through_lens(lesion, outside, aside)
            code = """async data => {
                const {whole, cropped} = await opened(new Blob([bytes(data)]));
                return [cropped, whole.width, whole.height, coded(whole.data)];
            }"""
            cropped, width, height, pixels = numbers(code, coded(stored(picture, "PNG")))
            part = within_lens(picture)
            assert (cropped, width, height) == (part is not picture, *part.size)
            assert (decoded(pixels, height, width, 4)[..., :3] == np.asarray(part)).all()


MAPS = [((160, 120), (3, 4)), ((120, 160), (3, 4)), ((90, 91), (5, 2))]


@pytest.mark.parametrize("size, shape", MAPS)
def test_strengths_are_those_of_python(numbers, size, shape):
    values, half = np.random.default_rng(1).normal(0, 3, (2, *shape, 7)).astype(np.float32)
    picture = drawing("df", 5, size)
    quarter = turned(picture, 96, 128)
    pair = [upright(each, picture, 96, 128) for each in (values, half)]
    blank = float(np.sort(cam.agreed(*pair).max(axis=(0, 1)))[2:4].mean())
    code = """([values, half, shape, quarter, blank, size, stride]) => {
        const kept = agreed(values, half, shape[2]);
        const {maps, width, height} = strengths(kept, shape, quarter, blank);
        const pixels = halfTurn(Uint8Array.from([1, 2, 3, 4, 5, 6]));
        return [maps.map(map => [...map]), height, width,
            extent(shape, size, quarter, stride), [...pixels]];
    }"""
    lists = values.ravel().tolist(), half.ravel().tolist(), [*values.shape]
    given = quarter, blank, {"height": 96, "width": 128}, 20
    maps, height, width, shares, pixels = numbers(code, [*lists, *given])
    ours = np.moveaxis(np.array(maps).reshape(7, height, width), 0, -1)
    theirs = cam.strengths(*pair, blank)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert theirs.any(axis=(0, 1)).sum() == 4 and pixels == [4, 5, 6, 1, 2, 3]
    expected = [min(1, n * 20 / side) for n, side in zip(shape, (96, 128))]
    assert shares == pytest.approx(expected[::-1] if quarter else expected)


def test_numbers_are_written_as_python_writes_them(numbers):
    rng = np.random.default_rng(2)
    values = [*rng.uniform(0, 1, 200).tolist(), 0, 0.01, 0.125, 0.375, 0.99, 1, 0.9901, 0.00999]
    for language in TEXTS:
        for digits in range(3):
            code = """async ([values, digits, language, words]) => {
                const {speaker} = await import(base + "words.js");
                const {probability, number} = speaker({language, words});
                return values.map(p => [probability(p, digits), number(p * 1e5, digits)]);
            }"""
            found = numbers(code, [values, digits, language, TEXTS[language]])
            assert found == [
                [probability(p, language, digits), number(p * 1e5, language, digits)]
                for p in values
            ]


@pytest.fixture(scope="module", params=["compact", "model"])
def agreement(request, numbers):
    """agreement(what, pictures): how often the browser and Python name the same first diagnosis and
    give the same notices, and how far their probabilities differ. Also printed. Its attributes
    are `classifier`, Python's, and `answer`, from a picture's bytes to the browser's answer."""
    classifier = Classifier(COMPACT if request.param == "compact" else BUNDLED)
    numbers(START, [request.param, ""])

    def answer(data: bytes) -> dict:
        return numbers(ANSWER, coded(data))

    def measure(what: str, pictures: list[bytes]) -> dict:
        same, differences, milliseconds, notices = [], [], [], []
        for data in pictures:
            theirs = classifier.predict(data)
            ours = answer(data)
            p, q = (
                np.array(list(a.values())) for a in (ours["probabilities"], theirs.probabilities)
            )
            same.append(p.argmax() == q.argmax())
            differences.append(float(np.abs(p - q).max()))
            notices.append(ours["notices"] == theirs.notices)
            milliseconds.append(ours["milliseconds"])
        found = {
            "top-1": float(np.mean(same)),
            "notices": float(np.mean(notices)),
            "median": statistics.median(differences),
            "largest": max(differences),
        }
        print(
            f"\n{request.param}, {len(same)} {what}: same first diagnosis in "
            f"{found['top-1']:.1%}, same notices in {found['notices']:.1%}; "
            f"largest probability difference of a picture: median "
            f"{found['median']:.5f}, largest {found['largest']:.4f}; one thread, median "
            f"{statistics.median(milliseconds):.1f} ms"
        )
        return found

    measure.classifier, measure.answer = classifier, answer
    return measure


@pytest.mark.parametrize("size", [(300, 225), (225, 300), (900, 700)])
def test_answer_is_that_of_the_server(agreement, size):
    data = encode(drawing("mel", 4, size))
    prediction = agreement.classifier.predict(data)
    theirs, ours = for_page(prediction, agreement.classifier), agreement.answer(data)
    assert set(ours) == {*theirs, "accelerator"} and ours["accelerator"] == "wasm"
    assert list(ours["probabilities"]) == list(theirs["probabilities"])
    for key in ("confident", "notices"):
        assert ours[key] == theirs[key]
    assert ours["sets"] == sets_of(ours["probabilities"], agreement.classifier.config)
    for key in ("threshold", "flag"):
        assert ours["suspicious"][key] == theirs["suspicious"][key]
    assert ours["suspicious"]["score"] == pytest.approx(theirs["suspicious"]["score"], abs=0.01)
    for key in ("height", "width"):
        assert ours["evidence"][key] == theirs["evidence"][key]
    for label, strengths in theirs["evidence"]["maps"].items():
        assert ours["evidence"]["maps"][label] == pytest.approx(strengths, abs=0.05)
    pictures = [np.asarray(picture_in(answer)).astype(int) for answer in (ours, theirs)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 4


def picture_in(answer: dict) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["picture"].partition(",")[2])))


def test_sets_hold_the_first_label_and_those_within_their_quantile_at_each_level(numbers):
    labels = ["mel", "nv", "bcc", "df"]
    ranked = [["nv", 0.5], ["mel", 0.3], ["bcc", 0.15], ["df", 0.05]]
    quantiles = {
        "0.8": [0.69, 0.1, 0.85, 0.9],
        "0.9": [0.7, 0.6, 0.8, 0.99],
        "0.95": [0.9, 0.6, 0.9, 1],
    }
    limits = {level: dict(zip(labels, values)) for level, values in quantiles.items()}
    sets = {"method": "threshold", "quantiles": limits}
    found = numbers("([ranked, sets]) => setsOf(ranked, sets)", [ranked, sets])
    assert found == sets_of(dict(ranked), {"calibration": {"sets": sets}})
    first, second = ["nv", "bcc"], ["nv", "mel", "df"]
    assert found == {"0.8": first, "0.9": second, "0.95": [label for label, _ in ranked]}
    assert numbers("ranked => setsOf(ranked, null)", ranked) is None


def test_agreement_on_made_pictures(agreement):
    pictures = [drawing(dx, i, (300, 225)) for i, dx in enumerate(("mel", "nv", "vasc", "bkl"))]
    files = [encode(one) for one in pictures]
    files += [stored(generate(kind, i), "PNG") for i, kind in enumerate(KINDS)]
    lesion = drawing("mel", 4, (1200, 900))
    files += [encode(through_lens(lesion, outside, (0.03, 0.02))) for outside in (0.2, 0.4)]
    found = agreement("made pictures", files)
    assert found["top-1"] == found["notices"] == 1 and found["median"] <= 0.01
    unlike = ["unfamiliar" in agreement.classifier.predict(data).notices for data in files]
    assert any(unlike) and not all(unlike)


def test_agreement_on_pictures_with_a_profile(agreement):
    found = agreement("made pictures with a profile", list(profiled_files().values()))
    assert found["top-1"] == found["notices"] == 1
    # The small model answers more to colours, which the browser converts a little differently.
    assert found["largest"] <= (0.01 if agreement.classifier.folder == BUNDLED else 0.015)


@pytest.mark.nightly
@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not there")
def test_agreement_on_real_test_pictures(request, agreement):
    from model.data.dataset import load_rows

    rows = load_rows(str(DATA))
    test = json.loads((BUNDLED / "split.json").read_text())["test"]
    count = 200 if "chromium" in request.node.name else 40
    ids = test[:: len(test) // count][:count]
    cells = [rows.tables[table][int(row)]["image"] for table, row in rows.index[rows.find(ids)]]
    pictures = [cell["bytes"] for cell in cells]
    assert len(pictures) == count
    found = agreement("test pictures of HAM10000", pictures)
    assert found["top-1"] >= 0.99 and found["median"] <= 0.01
    # As large as phones' pictures, which the server decodes at a fraction of their size.
    large = [Image.open(io.BytesIO(data)).resize((3000, 2250)) for data in pictures[:: count // 5]]
    large = [stored(one, "JPEG", quality=90) for one in large]
    assert agreement("of them enlarged to 3000 x 2250", large)["median"] <= 0.02
