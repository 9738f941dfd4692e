"""Bad input of every kind (hostile.py): each file once through Python, every fourth through the
batch and a running page. Nightly, everything goes everywhere."""

import html
import http.server
import json
import os
import re
import threading
import time
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import pytest
from hostile import (
    ANSWER,
    EITHER,
    SENTENCE,
    SHAPES,
    Case,
    cuts,
    outside,
    pictures,
    rotated,
    saved,
    zips,
)
from made import drawing, encode
from PIL import Image
from test_app import served

from model.classifier import Classifier
from model.page.batch import BatchError, classify_many
from model.page.texts import text
from model.preprocessing import PictureError, load_picture, open_picture, to_array

# The most that one call may take: CPU seconds, since the machine may be busy, and memory above what
# the idle page holds.
SECONDS, MEGABYTES = 2.0, 600
PATIENCE = 60  # wall-clock seconds: nothing may hang
GOOD = encode(drawing("vasc", 3, (320, 240)))

some_and_all = pytest.mark.parametrize(
    "step", [pytest.param(4, id="some"), pytest.param(1, id="all", marks=pytest.mark.nightly)]
)


@cache
def classifier():
    return Classifier()


def expected(case: Case) -> dict:
    return classifier().predict(case.like if case.like is not None else case.data).probabilities


def check_sentence(said):
    assert isinstance(said, str) and re.fullmatch(r"[A-Z].{10,400}[.]", said, re.DOTALL), said
    assert not re.search(r"Traceback|File \"|line \d+, in|site-packages|0x[0-9a-f]{6}|/tmp", said)


def check_refused(said):
    """`said` is our sentence, or None: Gradio refuses some requests itself, without a word."""
    if said is not None:
        check_sentence(said)


def check(case: Case, got: dict | str):
    """`got` is an answer (probabilities by code) or a sentence, whichever the case calls for."""
    kind = SENTENCE if isinstance(got, str) else ANSWER
    assert case.outcome in (kind, EITHER), f"{case.name}: {got}"
    if kind == SENTENCE:
        check_sentence(got)
    else:
        assert sum(got.values()) == pytest.approx(1, abs=0.01), case.name
        # A copy that was saved as JPEG again differs a little.
        assert got == pytest.approx(expected(case), abs=0.1 if case.like else 1e-3), case.name


def test_every_file_through_python(tmp_path):
    path = tmp_path / "case"
    for case in [*cuts(), *pictures()]:
        path.write_bytes(case.data)
        start = time.process_time()
        try:
            got = classifier().predict(path).probabilities
        except PictureError as error:
            got = str(error)
        seconds = time.process_time() - start
        check(case, got)
        assert seconds < SECONDS, f"{case.name}: {seconds:.1f} s"


@some_and_all
def test_files_through_the_batch(tmp_path, step):
    # These two are opened as zips: a row for each picture in them.
    cases = [case for case in [*cuts(), *pictures()] if case.name not in ("zip", "zip bomb")]
    cases = cases[::step]
    paths = [tmp_path / f"{i:04}" for i in range(len(cases))]
    for case, path in zip(cases, paths):
        path.write_bytes(case.data)
    rows = []
    for i in range(0, len(paths), 100):
        rows += classify_many(classifier(), paths[i : i + 100])
    for case, row in zip(cases, rows, strict=True):
        check(case, row.error or row.probabilities)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF"])
def test_all_eight_rotations_are_the_upright_picture(kind):
    upright = drawing("bcc", 4, (160, 120))
    whole = load_picture(upright, 96, 128).astype(int)
    first = load_picture(rotated(upright, 1, kind), 96, 128).astype(int)
    for orientation in range(1, 9):
        ours = load_picture(rotated(upright, orientation, kind), 96, 128)
        for other, close in ((first, 1.5), (whole, 4)):
            away = np.abs(ours - other)
            assert away.mean() <= (0 if kind in ("PNG", "TIFF") else close), orientation


@pytest.mark.parametrize(
    "mode",
    ["RGBA", "P", "I;16"]
    + [pytest.param(mode, marks=pytest.mark.nightly) for mode in ("RGB", "L", "F", "CMYK")],
)
def test_a_very_large_picture_is_what_it_is_at_a_fraction(mode):
    drawn = drawing("mel", 1, (32, 24)).resize((4100, 3075), Image.Resampling.BICUBIC)
    if mode == "I;16":
        large = Image.fromarray(np.asarray(drawn.convert("L")).astype(np.uint16) * 257)
    else:
        large = drawn.convert("RGB" if mode == "P" else "L" if mode == "F" else mode)
        large = large.quantize(64) if mode == "P" else large.convert(mode)
    exif = Image.Exif()
    exif[274] = 3
    stored = saved(large, "TIFF", exif=exif.tobytes(), compression="tiff_adobe_deflate")
    grey = mode in ("L", "I;16", "F")
    plain = large.convert("RGB") if not grey else drawn.convert("L").convert("RGB")
    whole = to_array(plain.transpose(Image.Transpose.ROTATE_180), 96, 128)
    away = np.abs(load_picture(stored, 96, 128).astype(int) - whole)
    assert away.mean() < 1 and open_picture(stored, 96, 128).width < 600


# --- a started page


class Asked:
    """A page started as a user starts it, called over plain HTTP; each call is measured."""

    def __init__(self, url):
        self.http = httpx.Client(base_url=url, timeout=PATIENCE)
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        self.process = Path("/proc", children[-1])
        config = self.http.get("/config").json()
        names = [d["api_name"] for d in config["dependencies"]]
        elements = {c["props"].get("elem_id"): c["id"] for c in config["components"][::-1]}
        self.place = elements["one"]
        self.functions = {name: i for i, name in enumerate(names)}
        self.good = self.upload(GOOD)
        self.right = self.analyze(self.good)["probabilities"]
        self.idle, self.most, self.slowest = self.memory("VmRSS"), 0, 0.0

    def memory(self, key):
        return int(re.search(rf"{key}:\s+(\d+)", (self.process / "status").read_text())[1]) / 1024

    def cpu(self):
        fields = (self.process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measured(self, name, call):
        """Returns what `call` returns, once it kept the bounds and the next answer is right."""
        (self.process / "clear_refs").write_text("5")  # resets the peak, VmHWM
        start = self.cpu()
        got = call()
        seconds, peak = self.cpu() - start, self.memory("VmHWM") - self.idle
        self.most, self.slowest = max(self.most, peak), max(self.slowest, seconds)
        assert seconds < SECONDS, f"{name}: {seconds:.1f} s"
        assert peak < MEGABYTES, f"{name}: {peak:.0f} MB"
        assert self.analyze(self.good)["probabilities"] == pytest.approx(self.right), name
        return got

    def upload(self, data, name="lesion.jpg"):
        reply = self.http.post("/gradio_api/upload", files={"files": (name, data)})
        assert reply.status_code == 200, f"{name[:30]}: {reply.text[:200]}"
        return reply.json()[0]

    def post(self, endpoint, body):
        reply = self.http.post(
            f"/gradio_api/run/{endpoint}",
            content=body,
            headers={"content-type": "application/json"},
        )
        return reply.status_code, reply.json()

    def ask(self, endpoint, path):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        status, reply = self.post(endpoint, json.dumps({"data": [file]}))
        return reply["data"][0] if status == 200 else reply["error"]

    def analyze(self, path):
        return self.ask("analyze", path)

    def asked(self, function, data):
        """Calls a function of the tab "One picture" as the page in a browser does."""
        body = {"session_hash": "x" * 9, "component_id": self.place, "fn_name": function}
        return self.http.post("/gradio_api/component_server", json=body | {"data": data})

    def shown(self, path):
        return self.asked("classify", {"path": path, "language": "en"}).json()

    def queued(self, function, data):
        """Calls a function as the page in a browser does: its outputs, or its error."""
        session = os.urandom(8).hex()
        body = {"data": data, "fn_index": self.functions[function], "session_hash": session}
        reply = self.http.post("/gradio_api/queue/join", json=body)
        assert reply.status_code == 200, reply.text[:300]
        with self.http.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as lines:
            for line in lines.iter_lines():
                event = json.loads(line.partition(":")[2]) if line.startswith("data:") else {}
                if event.get("msg") == "process_completed":
                    output = event["output"]
                    return output["data"] if event["success"] else output["error"]
        raise AssertionError("the page said nothing")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sent")
    with served("--model", "model/bundled", GRADIO_TEMP_DIR=str(folder)) as url:
        asked = Asked(url)
        asked.folder = folder
        yield asked


@some_and_all
def test_files_through_every_endpoint(page, capsys, step):
    cases = pictures()[::step]
    for case in cases:
        path = page.measured(case.name, lambda: page.upload(case.data, case.file))
        assert Path(path).resolve().is_relative_to(page.folder)
        everything = page.measured(case.name, lambda: page.analyze(path))
        check(case, everything if isinstance(everything, str) else everything["probabilities"])
        shares = page.measured(case.name, lambda: page.ask("predict", path))
        shown = page.measured(case.name, lambda: page.shown(path))
        if isinstance(everything, str):
            assert shares == everything and shown == {"error": everything}
        else:
            best = next(iter(shares.values()))
            assert best == pytest.approx(max(everything["probabilities"].values()), abs=1e-3)
            assert shown["probabilities"] == everything["probabilities"]
    long = page.http.post("/gradio_api/upload", files={"files": ("y" * 9000, GOOD)})
    assert long.status_code == 413 and "Headers exceeded" in long.text
    with capsys.disabled():
        print(
            f"\n{len(cases)} files, 3 endpoints: slowest call {page.slowest:.2f} s of CPU time, "
            f"highest peak {page.most:.0f} MB above {page.idle:.0f} MB"
        )


@some_and_all
def test_files_cut_off_anywhere_through_the_page(page, step):
    for case in cuts()[:: 5 * step]:
        path = page.upload(case.data)
        got = page.measured(case.name, lambda: page.analyze(path))
        check(case, got if isinstance(got, str) else got["probabilities"])


@some_and_all
def test_requests_of_the_wrong_shape(page, step):
    for body in SHAPES[::step]:
        for endpoint in ("predict", "analyze"):
            status, reply = page.measured(body[:60], lambda: page.post(endpoint, body))
            if status == 500:
                check_refused(reply["error"])
            else:  # what was wrong with the JSON, from FastAPI
                assert status in (400, 422), (body[:60], reply)
                assert reply["detail"] and "Traceback" not in str(reply)
    for data in ([], [1], ["x"], [{}] * 9, [{"path": 1}], [[["x"]]])[::step]:
        said = page.measured("answer_many", lambda: page.queued("answer_many_en", data))
        check_refused(said)
        for shape in (data, {"path": data}, {"path": "x", "language": data}, None, 1, "x"):
            reply = page.measured("classify", lambda: page.asked("classify", shape))
            assert reply.status_code == 200
            check_sentence(reply.json()["error"])
    for data in ({}, None):
        function = page.functions["answer_many_en"]
        body = {"data": data, "fn_index": function, "session_hash": "x" * 9}
        assert page.http.post("/gradio_api/queue/join", json=body).status_code == 422


@some_and_all
def test_nothing_outside_the_upload_folder_and_nothing_of_the_inner_network(page, tmp_path, step):
    asked = []

    class Inside(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(302 if self.path == "/redirect" else 200)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            self.wfile.write(GOOD)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Inside)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    secret = tmp_path / "patient.jpg"
    secret.write_bytes(GOOD)
    try:
        for body in outside(server.server_port, secret)[::step]:
            for endpoint in ("predict", "analyze"):
                status, reply = page.measured(body[:80], lambda: page.post(endpoint, body))
                assert status == 500, (body[:200], reply)
                check_refused(reply["error"])
                assert "passwd" not in str(reply) and "patient" not in str(reply)
            (file,) = json.loads(body)["data"]
            path = file.get("path") if isinstance(file, dict) else file
            check_sentence(page.measured(body[:80], lambda: page.shown(path))["error"])
            said = page.measured(body[:80], lambda: page.queued("answer_many_en", [[file]]))
            assert "patient" not in str(said), body
            refusals = re.findall('<small>(.*?)</small>|notice">(.*?)</p>', str(said))
            if said is None or isinstance(said, str):
                check_refused(said)
            else:
                assert refusals, body
                for refusal in refusals:
                    check_sentence(html.unescape("".join(refusal)))
    finally:
        server.shutdown()
    assert asked == []
    for path in ("/etc/passwd", "app.py", str(secret), "model/bundled/config.json"):
        reply = page.http.get(f"/gradio_api/file={path}")
        assert reply.status_code in (403, 404) and "root:" not in reply.text


def test_zips_through_the_batch_tab(page, tmp_path):
    before = set(Path("/tmp").iterdir()) | set(Path("/etc").iterdir())
    for name, data in zips().items():
        path = page.upload(data, "many.zip")
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        got = page.measured(name, lambda: page.queued("answer_many_en", [[file]]))
        assert "Traceback" not in str(got)
        (tmp_path / "x.zip").write_bytes(data)
        try:
            rows = classify_many(classifier(), [tmp_path / "x.zip"])
        except BatchError as error:
            assert got[:2] == ["", f'<p class="box notice">{error}</p>']
            check_sentence(str(error))
            continue
        assert got[0].count("<tr") == 1 + len(rows)
        for error in filter(None, (row.error for row in rows)):
            check_sentence(error)
    file = {"path": page.good, "meta": {"_type": "gradio.FileData"}}
    phone = page.upload(saved(drawing("nv", 7), "HEIF"), "IMG_0001.HEIC")
    phone = {"path": phone, "meta": {"_type": "gradio.FileData"}}
    assert "IMG_0001.HEIC" in str(page.queued("answer_many_en", [[phone]]))
    many = page.measured("1000 files", lambda: page.queued("answer_many_en", [[file] * 1000]))
    assert many[1] == f'<p class="box notice">{text("en", "error_batch_many", pictures=200)}</p>'
    made = (set(Path("/tmp").iterdir()) | set(Path("/etc").iterdir())) - before
    assert not [path for path in made if "slip" in path.name]
