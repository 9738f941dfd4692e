"""The private tab on a graphics processor. Chromium imitates one in software, which is slower than
the processor itself, so some tests pretend that it is real, or fast.

pytest -m nightly tests/test_private_gpu.py      with the small model; takes minutes
"""

import numpy as np
import pytest
from browsing import launched
from made import drawing, encode
from private_page import (  # noqa: F401
    ANSWER,
    HELPERS,
    START,
    Bare,
    bare_fixture,
    classifier_fixture,
    coded,
    needs_chromium,
)

from model.classifier import Classifier
from model.folder import BUNDLED, COMPACT

pytestmark = needs_chromium
IMITATED = "--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader --enable-features=Vulkan"
REAL = "hasGraphics = async () => true;"
FAST = REAL + "sooner = () => true;"


@pytest.fixture(scope="module")
def browser():
    with launched(*IMITATED.split()) as browser:
        yield browser


@pytest.fixture
def tab(browser, bare):
    tab = browser.new_page()
    opened(tab, bare)
    yield tab
    tab.close()


def opened(tab, server):
    tab.goto(server.url)
    tab.wait_for_function("window.page")
    tab.add_script_tag(content=HELPERS)
    if not tab.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
        pytest.skip("this Chromium imitates no graphics processor")


def off(answer: dict, prediction) -> float:
    """The largest difference of a probability."""
    return max(abs(answer["probabilities"][k] - p) for k, p in prediction.probabilities.items())


def test_it_computes_the_same_answer(tab, classifier):
    assert tab.evaluate(START, ["model", FAST]) == "webgpu"
    for dx in ("mel", "vasc", "nv"):
        data = encode(drawing(dx, 3, (320, 240)))
        answer = tab.evaluate(ANSWER, coded(data))
        assert answer["accelerator"] == "webgpu"
        assert off(answer, classifier.predict(data)) <= 0.01


WRONG = """
    const right = compiled;
    compiled = async (bytes, accelerator) => {
        const run = await right(bytes, accelerator);
        return accelerator === "wasm" ? run : async pixels => {
            const answer = await run(pixels);
            answer.probabilities[0] += 0.011;
            return answer;
        };
    };
"""


PARTLY = """
    const compiles = compiled;
    compiled = (...what) => {
        Object.defineProperty(CompiledModel.prototype, "isFullyAccelerated", {get: () => false});
        return compiles(...what);
    };
"""


@pytest.mark.parametrize(
    "code",
    {
        "imitated": "",
        "slower": REAL + "sooner = () => false;",
        "another answer": FAST + WRONG,
        "it cannot compute all": FAST + PARTLY,
    }.items(),
    ids=lambda item: item[0],
)
def test_else_the_processor_computes(tab, classifier, code):
    data = encode(drawing("mel", 3, (320, 240)))
    assert tab.evaluate(START, ["model", code[1]]) == "wasm"
    assert off(tab.evaluate(ANSWER, coded(data)), classifier.predict(data)) <= 0.01


def test_the_processor_takes_over_from_one_that_fails(tab, classifier):
    data = encode(drawing("mel", 3, (320, 240)))
    lose = "TASKS.lose = () => getWebGpuDevice().destroy();"
    assert tab.evaluate(START, ["model", FAST + lose]) == "webgpu"
    tab.evaluate("() => asking('lose')")
    answer = tab.evaluate(ANSWER, coded(data))
    assert answer["accelerator"] == "wasm"
    assert off(answer, classifier.predict(data)) <= 0.01


@pytest.mark.nightly
def test_the_small_model_gives_the_same_answer(browser):
    small = Classifier(COMPACT)
    with Bare(Classifier(BUNDLED)).serving() as server:
        tab = browser.new_page()
        tab.set_default_timeout(600_000)
        opened(tab, server)
        assert tab.evaluate(START, ["compact", FAST]) == "webgpu"
        differences = []
        for dx in ("mel", "nv", "bkl"):
            data = encode(drawing(dx, 3, (300, 225)))
            differences.append(off(tab.evaluate(ANSWER, coded(data)), small.predict(data)))
        print("largest differences", np.round(differences, 4))
        assert max(differences) <= 0.01
        tab.close()
