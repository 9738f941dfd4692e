"""What the server sends for the private tab. In a browser: test_private_tab.py."""

import gzip
import hashlib
import json
import re
import shutil

import pytest
from ai_edge_litert.interpreter import Interpreter
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient
from test_app import ROOT

from model import cam, quality
from model.classifier import Classifier
from model.folder import (
    BUNDLED,
    COMPACT,
    TFLITE,
    read_config,
    read_metrics,
    sha256,
    write_checksums,
)
from model.page.served import ADDRESS, BROWSER, ON_DEMAND, Files, offered
from model.page.settings import settings
from model.page.texts import TEXTS
from model.preprocessing import MAX_PIXELS

LITERT = BROWSER / "litert"
OWN = [path.name for path in BROWSER.glob("*.js")]
MODEL = {"id": "made", "revision": "1"}


@pytest.fixture
def classifier(trained):
    return Classifier(trained)


@pytest.fixture(scope="module")
def files(trained):
    return Files(Classifier(trained), MODEL)


@pytest.fixture(scope="module")
def client(files):
    app = Starlette(routes=[Route(f"{ADDRESS}/{{version}}/{{name}}", files.send)])
    return TestClient(app)


def test_litert_js_is_what_its_script_made():
    lines = (LITERT / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    for name, digest in sums.items():
        assert sha256(LITERT / name) == digest, name
    assert {path.name for path in LITERT.iterdir()} == {*sums, "SHA256SUMS", "vendor.sh"}
    version = re.search(r"^version=(\S+)$", (LITERT / "vendor.sh").read_text(), re.M)[1]
    assert f"@litertjs/core {version}," in (LITERT / "litert.js").read_text().splitlines()[0]
    licence = (LITERT / "LICENSE").read_text()
    assert licence.lstrip().startswith("Apache License")
    assert licence in (ROOT / "LICENSE").read_text()


def test_every_file_is_served_once_and_for_ever(files, client, trained):
    page = client.get(f"{ADDRESS}/{files.version}/page.en.json").json()
    assert set(page["files"]) == {*ON_DEMAND, "model"}
    for name, entry in page["files"].items():
        for accepted in ("gzip, br", "identity"):
            address = f"{ADDRESS}/{files.version}/{entry['name']}"
            got = client.get(address, headers={"accept-encoding": accepted})
            assert got.status_code == 200 and "immutable" in got.headers["cache-control"]
            assert hashlib.sha256(got.content).hexdigest() == entry["sha256"], name
            assert len(got.content) == entry["bytes"]
            sent = int(got.headers["content-length"])
            assert sent == (entry["transfer"] if accepted != "identity" else entry["bytes"])
    assert page["files"]["model"]["sha256"] == sha256(trained / TFLITE)
    # Compressed, the runtime is a third of its size.
    wasm = page["files"]["compat.wasm"]
    assert wasm["transfer"] < 0.32 * wasm["bytes"]


@pytest.mark.parametrize(
    "path",
    "config.json ../app.py ..%2Fapp.py %2E%2E/%2E%2E/app.py /etc/passwd SHA256SUMS "
    "litert%2Fvendor.sh model/page/page.py".split()
    + [""],
)
def test_nothing_else_is_served(files, client, path):
    got = client.get(f"{ADDRESS}/{files.version}/{path}")
    assert got.status_code == 404 and not got.content.startswith(b'"""')


def test_another_version_is_not_served(files, client):
    assert client.get(f"{ADDRESS}/0123456789abcdef/model").status_code == 404


def test_version_changes_with_the_model_and_with_the_code(files, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "copy")
    assert Files(Classifier(folder), MODEL).version == files.version
    with open(folder / TFLITE, "ab") as file:
        file.write(b"\0" * 16)
    write_checksums(folder)
    assert Files(Classifier(folder), MODEL).version != files.version
    browser = shutil.copytree(BROWSER, tmp_path / "browser")
    with open(browser / "worker.js", "a") as file:
        file.write("// changed\n")
    assert Files(Classifier(trained), MODEL, browser=browser).version != files.version


def test_settings_are_those_of_the_modules_and_of_the_model(classifier):
    calibration = classifier.config["calibration"]
    page = settings(classifier, MODEL, "en", offered(classifier, MODEL))
    page = json.loads(json.dumps(page))
    found = page["private"]
    assert found["most_pixels"] == MAX_PIXELS and found["longest"] == cam.LONGEST
    assert found["quality"]["codes"] == list(quality.CODES)
    (model,) = found["models"]
    assert model["file"] == "model" and model["own"]
    assert page | model["page"] == page and model["page"]["model"] == MODEL
    assert model["page"]["labels"] == classifier.labels
    assert model["page"]["suspicious"]["labels"] == calibration["suspicious"]
    assert model["page"]["suspicious"]["threshold"] == calibration["threshold"]
    assert set(model["tested"]) == {"caught", "alarmed"}
    assert model["familiar"] == classifier.config["familiarity"]["threshold"]

    def tested():
        page = settings(classifier, MODEL, "en", offered(classifier, MODEL))
        return page["private"]["models"][0]["tested"]

    measured = classifier.metrics
    classifier.metrics = {key: value for key, value in measured.items() if key != "tflite"}
    assert tested() is None  # measured before it was converted
    classifier.metrics = measured
    classifier.config = classifier.config | {"calibration": calibration | {"threshold": 0.5}}
    assert tested() is None  # at another level
    classifier.config = classifier.config | {"calibration": {"temperature": 1}, "familiarity": {}}
    classifier.metrics = {}
    (model,) = settings(classifier, MODEL, "en", offered(classifier, MODEL))["private"]["models"]
    assert model["page"]["suspicious"]["labels"] is None
    assert model["familiar"] is None and model["tested"] is None


def test_beside_the_bundled_model_the_small_one_is_offered_first():
    classifier = Classifier(BUNDLED)
    files = Files(classifier, {"id": "bundled", "revision": "1"})
    page = json.loads(gzip.decompress(files.sent["page.id.json"].content))
    small, own = page["private"]["models"]
    assert (small["file"], small["own"], own["file"], own["own"]) == (
        "compact",
        False,
        "model",
        True,
    )
    for model, folder in ((small, COMPACT), (own, BUNDLED)):
        config, entry = read_config(folder), page["files"][model["file"]]
        assert entry["sha256"] == sha256(folder / TFLITE)
        assert entry["transfer"] == (folder / TFLITE).stat().st_size
        assert model["page"]["model"]["id"] == folder.name
        assert model["page"]["suspicious"]["threshold"] == config["calibration"]["threshold"]
        assert model["input"].items() <= config["input"].items()
        assert model["familiar"] == config["familiarity"]["threshold"]
        rates = read_metrics(folder)["tflite"]["suspicious"]
        assert model["tested"]["caught"] == rates["sensitivity"]["value"]
        assert model["tested"]["alarmed"] == 1 - rates["specificity"]["value"]
    # The default: with the runtime, what the browser downloads at first.
    first = [page["files"][name] for name in ("compact", "compat.wasm", "compat.js", "litert")]
    assert sum(entry["transfer"] for entry in first) < 9e6


def test_no_sentence_of_the_page_stands_in_the_code_and_every_key_is_known():
    code = "\n".join((BROWSER / name).read_text(encoding="utf-8") for name in OWN)
    for texts in TEXTS.values():
        for key, words in texts.items():
            assert len(words) < 12 or words not in code, key
    used = set(re.findall(r'"((?:private|error)_\w+)"', code))
    used |= set(re.findall(r'\btext\("([\w.]+)"', code))
    assert len(used) > 20 and used <= set(TEXTS["en"])
    assert {key for key in TEXTS["en"] if key.startswith("private_")} <= used


def test_bundled_graph_has_no_free_dimension():
    """LiteRT.js compiles a graph with a batch dimension of -1, and then fails to run it."""
    interpreter = Interpreter(str(BUNDLED / TFLITE))
    for tensor in interpreter.get_tensor_details():
        assert -1 not in tensor["shape_signature"].tolist(), tensor["name"]


def test_compressed_runtime_is_whole():
    for path in LITERT.glob("*.gz"):
        assert gzip.decompress(path.read_bytes())[:4] == b"\0asm"
