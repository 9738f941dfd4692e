"""The page for programs: gradio_client, HTTP and MCP. In a browser: test_page_browser.py."""

import ast
import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from made import drawing
from PIL import Image

import app
from model.benchmark import load
from model.classifier import Classifier
from model.folder import BUNDLED
from model.labels import LABELS, display_name
from model.page import pictures
from model.page.batch import MAX_BYTES
from model.page.bodies import MOST
from model.page.sets import sets_of
from model.page.texts import text
from model.page.uploads import sweep
from model.sets import prediction_set

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(*arguments, **environment):
    """The address of app.py, started on a free port."""
    port = free_port()
    output = tempfile.TemporaryFile()  # a pipe that nobody reads would block the server when full
    process = subprocess.Popen(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=os.environ | {"GRADIO_SERVER_PORT": str(port)} | environment,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if process.poll() is not None:
                output.seek(0)
                raise AssertionError(output.read().decode())
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url + "/config", timeout=5).status_code == 200:
                    break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        output.close()


@pytest.fixture(scope="module")
def page(trained, tmp_path_factory):
    """The page, whose model and folder for uploads are named by the environment."""
    folder = tmp_path_factory.getbasetemp() / "uploads"
    with served(MODEL=str(trained), GRADIO_TEMP_DIR=str(folder)) as url:
        yield url


@pytest.fixture(scope="module")
def client(page):
    return Client(page, verbose=False)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "lesion.png"
    drawing("vasc", 3).save(path)
    return path


def test_import_of_the_page_needs_no_training_packages():
    code = (
        "import sys, app, model.page.page; "
        "bad = {'tensorflow', 'keras', 'datasets', 'sklearn', 'jax'} & set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert not list(ROOT.glob("model/page/*.pyi"))  # Gradio writes one for a component of our own


def expected_answer(folder, picture) -> dict:
    """What /predict answers, in its order."""
    top = Classifier(folder).predict(picture).top(len(LABELS))
    return {display_name(label): pytest.approx(p, abs=1e-4) for label, p in top}


def test_predict_gives_the_models_probabilities_under_full_names(client, trained, picture):
    answer = client.predict(handle_file(picture), api_name="/predict")
    assert answer == expected_answer(trained, picture)
    assert set(answer) == {display_name(label) for label in LABELS}
    assert list(answer.values()) == sorted(answer.values(), reverse=True)


@pytest.mark.parametrize(
    "content, sentence",
    [(b"hello", "not a picture"), (b"", "not a picture"), (None, "Choose a picture")],
)
def test_bad_input_gives_a_sentence_and_the_next_answer_is_right(
    client, tmp_path, picture, content, sentence
):
    bad = None
    if content is not None:
        (tmp_path / "bad.jpg").write_bytes(content)
        bad = handle_file(tmp_path / "bad.jpg")
    with pytest.raises(Exception, match=sentence) as caught:
        client.predict(bad, api_name="/predict")
    assert "Traceback" not in str(caught.value)
    assert len(client.predict(handle_file(picture), api_name="/predict")) == len(LABELS)


@pytest.mark.parametrize(
    "data",
    [
        [],
        ["x"],
        [{"path": 1}],
        [{"path": "/etc/passwd"}],
        [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}],
        [{"path": "\0"}],
        [{"path": {}}],
        [{"url": 1, "path": "/etc/passwd"}],
        [{"url": "data:image/png;base64,!"}],
        [{}, {}],
    ],
)
def test_nonsense_is_refused_without_a_stack_trace(page, data):
    reply = httpx.post(page + "/gradio_api/run/predict", json={"data": data})
    assert reply.status_code == 500 and set(reply.json()) >= {"error"}
    assert "Traceback" not in reply.text and "root:" not in reply.text


def test_a_request_can_name_an_upload_or_hold_a_picture_and_nothing_else(tmp_path):
    uploads, beside = tmp_path / "uploads", tmp_path / "uploads2"
    for folder in (uploads, beside):
        folder.mkdir()
        (folder / "x.jpg").write_bytes(b"x")
    (uploads / "link.jpg").symlink_to(beside / "x.jpg")
    path = str(uploads / "x.jpg")
    assert pictures.sent({"path": path}, uploads, "en") == path
    assert (
        pictures.sent({"url": "data:image/jpeg;base64,eA==", "path": "/x"}, uploads, "en") == b"x"
    )
    assert pictures.sent({"url": "data:image/jpeg;base64,e"}, uploads, "en") == b""
    outside = [beside / "x.jpg", uploads / "link.jpg", uploads / "../uploads2/x.jpg", "/etc/passwd"]
    for code, wrong in (
        ("error_none", [None, {}, "", [], {"url": "http://localhost/x.jpg"}, {"path": ""}]),
        ("error_request", ["x", 1, [1], {"path": 1}, {"path": "\0"}, {"path": {"a": 1}}]),
        ("error_request", [{"path": str(path)} for path in outside]),
    ):
        for picture in wrong:
            for language in ("en", "id"):
                with pytest.raises(gr.Error) as caught:
                    pictures.sent(picture, uploads, language)
                assert caught.value.message == text(language, code)


def test_page_names_model_data_and_measured_accuracy(page, trained):
    text = str(httpx.get(page + "/config").json())
    classifier = Classifier(trained)
    assert "not a medical diagnosis" in text
    data = classifier.config["data"]
    assert (
        "The model is CNN of Conv 16, 32. It sees each picture at 32 x 24 pixels. It was trained "
        f"on {data['trained_on']} pictures of {data['dataset']}. It started from random weights."
    ) in text
    assert f"{classifier.metrics['tflite']['top_1']['value']:.1%}" in text


def test_without_a_choice_the_bundled_model_is_served(monkeypatch):
    monkeypatch.setenv("MODEL", "")
    assert app.parse([]).model == str(BUNDLED)
    monkeypatch.setenv("MODEL", "runs/mine")
    assert app.parse([]).model == "runs/mine"
    assert app.parse(["--model", "runs/other"]).model == "runs/other"


def test_broken_model_folder_ends_in_a_sentence(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "model.tflite").write_bytes(b"junk")
    for folder, sentence in (
        (copy, "does not match its checksum"),
        (tmp_path, "not a model folder"),
    ):
        with pytest.raises(SystemExit, match=sentence):
            app.main(["--model", str(folder)])


def test_a_folder_for_uploads_that_cannot_be_made_ends_in_a_sentence(trained, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/sys/uploads")  # where not even root may write
    with pytest.raises(SystemExit) as ended:
        app.main(["--model", str(trained)])
    assert re.fullmatch(
        r"app\.py: Pictures cannot be kept in /sys/uploads: (Operation not permitted|Permission "
        r"denied)\. Set GRADIO_TEMP_DIR to a folder that you can write to, on a disk with some "
        r"room\.",
        str(ended.value.code),
    )


def test_analyze_gives_all_there_is_under_stable_keys(client, trained, picture):
    answer = client.predict(handle_file(picture), api_name="/analyze")
    assert set(answer) == {
        "model",
        "codes",
        "labels",
        "probabilities",
        "suspicious",
        "set",
        "sets",
        "confident",
        "notices",
        "milliseconds",
    }
    assert answer["codes"] == LABELS == list(answer["probabilities"]) == list(answer["labels"])
    assert answer["probabilities"] == pytest.approx(
        Classifier(trained).predict(picture).probabilities
    )
    assert answer["model"]["id"] == trained.name
    assert re.fullmatch("sha256:[0-9a-f]{12}", answer["model"]["revision"])
    calibration = Classifier(trained).config["calibration"]
    score = sum(answer["probabilities"][label] for label in calibration["suspicious"])
    assert answer["suspicious"]["score"] == pytest.approx(score)
    assert answer["suspicious"]["threshold"] == calibration["threshold"]
    assert answer["suspicious"]["flag"] is (score >= calibration["threshold"])
    config = Classifier(trained).config
    assert answer["set"] == prediction_set(answer["probabilities"], config)
    assert answer["sets"] == sets_of(answer["probabilities"], config)
    assert isinstance(answer["confident"], bool) and answer["milliseconds"] > 0
    json.dumps(answer)


@pytest.mark.parametrize("kind", ["portrait", "landscape", "transparent", "grey"])
def test_a_picture_and_its_rgb_copy_get_the_same_answer(client, tmp_path, kind):
    size = (60, 80) if kind == "portrait" else (80, 60)
    picture = drawing("mel", 5, size)
    if kind == "transparent":
        picture = picture.convert("RGBA")
    if kind == "grey":
        picture = picture.convert("L")
    picture.save(tmp_path / "one.png")
    if kind in ("portrait", "landscape"):  # lies as a phone stores it, upright by its EXIF
        exif = Image.Exif()
        exif[274] = 6
        picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "one.png", exif=exif)
    picture.convert("RGB").save(tmp_path / "two.png")
    one, two = (
        client.predict(handle_file(tmp_path / f"{name}.png"), api_name="/analyze")["probabilities"]
        for name in ("one", "two")
    )
    assert one == pytest.approx(two, abs=1e-6)


def mcp_tools(page, call):
    """The result of `call(session)`, an MCP client's session with the page."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def work():
        async with streamablehttp_client(page + "/gradio_api/mcp/") as (read, write, _):
            async with ClientSession(read, write) as session:
                await session.initialize()
                return await call(session)

    return asyncio.run(work())


def test_both_endpoints_are_mcp_tools(page, trained, picture):
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()

    async def call(session):
        tools = (await session.list_tools()).tools
        answers = [await session.call_tool(tool.name, {"picture": url}) for tool in tools]
        bad = await session.call_tool("analyze", {"picture": "data:image/png;base64,aGVsbG8="})
        return tools, answers, bad

    tools, answers, bad = mcp_tools(page, call)
    assert [tool.name for tool in tools] == ["predict", "analyze"]
    assert all("not a medical diagnosis" in tool.description for tool in tools)
    for tool in tools:
        assert tool.inputSchema == {
            "type": "object",
            "properties": {
                "picture": {
                    "type": "string",
                    "format": "Gradio File Input - a http or https url to a file",
                    "description": "JPEG, PNG or WebP of one lesion",
                }
            },
            "required": ["picture"],
        }
    first, second = (ast.literal_eval(answer.content[0].text) for answer in answers)
    expected = expected_answer(trained, picture)
    assert first == expected and list(first) == list(expected)
    assert second["probabilities"] == pytest.approx(
        Classifier(trained).predict(picture).probabilities
    )
    assert bad.isError and "not a picture" in bad.content[0].text


def test_the_model_card_is_an_mcp_resource_and_an_endpoint(page, client, trained):
    async def call(session):
        return (await session.list_resources()).resources, await session.read_resource(
            "card://model"
        )

    (resource,), read = mcp_tools(page, call)
    card = (trained / "README.md").read_text("utf-8")
    assert (str(resource.uri), resource.name, resource.mimeType) == (
        "card://model",
        "model_card",
        "text/markdown",
    )
    assert [content.text for content in read.contents] == [card]
    assert client.predict(api_name="/model_card") == card


@pytest.mark.parametrize("language", ["en", "id"])
def test_a_picture_that_was_deleted_meanwhile_gets_one_sentence(page, picture, language):
    caller = load.Caller(httpx.URL(page).port)
    sent = caller.upload(picture.read_bytes())
    Path(sent["path"]).unlink()
    table = caller.queued([sent], f"answer_many_{language}")
    assert text(language, "error_missing") in table
    assert str(Path(sent["path"]).parent) not in table
    assert caller.shown(sent, language) == {"error": text(language, "error_missing")}
    for endpoint in ("predict", "analyze"):
        with pytest.raises(load.LoadError) as caught:
            caller.queued(sent, endpoint)
        assert str(caught.value) == text("en", "error_missing")


def test_a_system_without_mime_types_refuses_no_picture_by_its_ending(trained, picture, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import mimetypes; mimetypes.init(files=[])")
    with served("--model", str(trained), PYTHONPATH=str(tmp_path)) as url:
        fields = httpx.get(url + "/config").json()["components"]
        types = [f["props"].get("file_types") for f in fields if f["type"] == "file"]
        assert types == [None, None]  # English, Indonesian
        caller, sent = load.Caller(httpx.URL(url).port), []
        for name in ("x.jfif", "x.hif", "x.heic", "x", "x.txt"):
            content = b"hello" if name == "x.txt" else picture.read_bytes()
            reply = httpx.post(url + "/gradio_api/upload", files={"files": (name, content)})
            (path,) = reply.json()
            sent.append({"path": path, "meta": {"_type": "gradio.FileData"}})
            if name != "x.txt":
                assert len(caller.queued(sent[-1], "predict")) == len(LABELS)
        table = caller.queued(sent, "answer_many_en")
        assert table.count("<img") == 4 and text("en", "error_unreadable") in table


def test_only_three_endpoints_are_public_and_nothing_is_kept_of_a_run(page):
    endpoints = httpx.get(page + "/gradio_api/info").json()["named_endpoints"]
    assert list(endpoints) == ["/predict", "/analyze", "/model_card"]
    assert all("This is not a medical diagnosis." in e["description"] for e in endpoints.values())
    for name in ("/predict", "/analyze"):
        (parameter,) = endpoints[name]["parameters"]
        assert parameter["parameter_name"] == "picture"
        assert parameter["python_type"]["type"] == "filepath"
    (returned,) = endpoints["/predict"]["returns"]
    assert returned["python_type"]["type"] == "dict(str, float)"
    config = httpx.get(page + "/config").json()
    assert config["analytics_enabled"] is False and config.get("run_history") is not True
    assert httpx.get(page + "/monitoring").status_code >= 400


def test_every_file_of_a_run_lies_in_the_folder_that_is_swept(
    page, client, tmp_path, tmp_path_factory
):
    (folder,) = (tmp_path_factory.getbasetemp() / "uploads").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    drawing("bcc", 17).save(tmp_path / "x.png")
    sent = (tmp_path / "x.png").read_bytes()
    client.predict(handle_file(tmp_path / "x.png"), api_name="/predict")
    data = "data:image/png;base64," + base64.b64encode(sent).decode()
    mcp_tools(page, lambda session: session.call_tool("predict", {"picture": data}))
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert kept.count(sent) >= 2  # the upload, and what MCP made of the data
    sweep(folder, keep=-1)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("route", ["run/predict", "api/analyze", "queue/join", "upload", "mcp/"])
def test_a_body_larger_than_any_picture_is_refused_on_every_route(page, route):
    large = 300_000_000 if route == "upload" else MOST + 1
    headers = {"content-type": "application/json", "content-length": str(large)}
    # Only the beginning is sent: the answer must not wait for the rest.
    with socket.create_connection(page.removeprefix("http://").split(":"), timeout=20) as sent:
        lines = [f"POST /gradio_api/{route} HTTP/1.1", "host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        sent.sendall(("\r\n".join(lines) + '\r\n\r\n{"data": [').encode())
        status, *_, said = sent.recv(65536).decode().split("\r\n")
        said = said or sent.recv(65536).decode()
    sentence = said if route == "upload" else json.loads(said)["error"]
    assert status.split()[1] == "413" and re.fullmatch(r"[A-Z][^{}]+ MB.+\.", sentence)


def test_an_upload_larger_than_any_batch_is_still_refused_by_gradio(page):
    size = MAX_BYTES + 1
    reply = httpx.post(page + "/gradio_api/upload", files={"files": bytes(size)}, timeout=60)
    assert reply.status_code == 413
    assert reply.text == f"File size exceeded maximum allowed size of {MAX_BYTES} bytes."


def test_a_second_page_behind_a_proxy_on_a_taken_port(page, client, trained, picture, tmp_path):
    """It starts, says where it is, has a folder of its own, and removes it at the end."""
    folder, taken = tmp_path / "parent", page.rpartition(":")[2]
    folder.mkdir(mode=0o777)
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"}
    process = subprocess.Popen(
        [sys.executable, "-u", "app.py", "--model", str(trained)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | proxies | {"GRADIO_SERVER_PORT": taken, "GRADIO_TEMP_DIR": str(folder)},
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Port "):
                break
        said = re.fullmatch(rf"Port {taken} is taken; the page is at (http://\S+)\n", lines[-1])
        assert said, "".join(lines)
        second = Client(said[1], verbose=False)
        assert second.predict(handle_file(picture), api_name="/predict") == expected_answer(
            trained, picture
        )
        (own,) = folder.iterdir()
        assert own.stat().st_mode & 0o777 == 0o700 and own.name.startswith("lesion-page-")
    finally:
        process.terminate()
        said = process.communicate(timeout=30)[0]
    assert list(folder.iterdir()) == [] and "Traceback" not in said
    if importlib.util.find_spec("socksio") is None:
        assert lines[0] == (
            "The proxy in ALL_PROXY is not used. It must begin with http:// or https://, or with "
            "socks5:// once the package socksio is installed.\n"
        )


def test_predict_over_http_is_plain_json_most_probable_first(page, trained, picture):
    with open(picture, "rb") as file:
        (path,) = httpx.post(page + "/gradio_api/upload", files={"files": file}).json()
    sent = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    (answer,) = httpx.post(page + "/gradio_api/run/predict", json=sent).json()["data"]
    expected = expected_answer(trained, picture)
    assert answer == expected and list(answer) == list(expected)


@pytest.mark.parametrize("name", [None, "my lesion.jpg", """lesion [1], "it's"; 2.jpg"""])
def test_snippets_of_the_documentation_run(page, trained, picture, tmp_path, name):
    """Every block that talks to a running page prints the most probable diagnosis and its
    probability, as it stands but for the address, and with a picture of one's own."""
    address, blocks = "http://127.0.0.1:7860", []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        found = re.findall(r"^```(python|bash)\n(.*?)^```", path.read_text("utf-8"), re.M | re.S)
        blocks += [(kind, code) for kind, code in found if address in code]
    for client in ("gradio_client", "curl", "mcp"):
        assert any(client in code for _, code in blocks), f"no snippet for {client}"
    if name:
        shutil.copy(picture, tmp_path / name)
    example = "model/page/examples/ISIC_0024644.webp"
    ((top, p),) = Classifier(trained).predict(picture if name else ROOT / example).top()
    for kind, code in blocks:
        assert f'"{example}"' in code
        code = code.replace(address, page)
        if name:
            quoted = repr(name) if kind == "python" else shlex.quote(name)
            code = code.replace(f'"{example}"', quoted)
        command = [sys.executable, "-c", code] if kind == "python" else ["bash", "-ec", code]
        where = tmp_path if name else ROOT
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=120)
        said = f"{code}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0 and display_name(top) in done.stdout, said
        numbers = [float(number) for number in re.findall(r"\d\.\d+(?:e-\d+)?", done.stdout)]
        assert any(number == pytest.approx(p, abs=1e-4) for number in numbers), said


def test_the_start_says_where_the_page_is_and_how_to_share_it_and_what_it_cannot_read(
    trained, tmp_path
):
    port, examples = free_port(), tmp_path / "examples"
    options = ["--port", port, "--host", "localhost", "--examples", examples]
    process = subprocess.Popen(
        [sys.executable, "-u", "app.py", "--model", trained, *map(str, options)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"GRADIO_SERVER_PORT": "1", "GRADIO_SERVER_NAME": "192.0.2.1"},
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("A public link"):
                break
        said = f"The example pictures are the bundled ones. There is no folder {examples}.\n"
        assert said in lines, "".join(lines)
        assert lines[-2:] == [
            f"The page is at http://localhost:{port}/\n",
            "A public link: python app.py --share\n",
        ]
        assert httpx.get(f"http://localhost:{port}/config").status_code == 200
    finally:
        process.terminate()
        said = "".join(lines) + process.communicate(timeout=30)[0]
    assert "launch()" not in said and "Traceback" not in said


def test_the_address_comes_from_the_options_or_the_environment(monkeypatch):
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    assert (app.parse([]).host, app.parse([]).port) == ("127.0.0.1", None)
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert app.parse([]).host == "0.0.0.0"
    assert app.parse(["--host", "localhost"]).host == "localhost"


def test_options_that_cannot_be_followed_end_in_a_sentence(trained, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        for options, sentence in (
            (["--port", str(taken)], f"Port {taken} is taken or reserved: choose another --port."),
            (["--port", "0"], "There is no port '0': choose a number from 1 to 65535."),
            (["--port", "web"], "There is no port 'web': choose a number from 1 to 65535."),
            (
                ["--host", "192.0.2.1"],
                "The page cannot listen at 192.0.2.1: give a name or an IPv4 address of this "
                "machine as --host, or 0.0.0.0 for all of them.",
            ),
            (
                ["--model", ""],
                "--model is empty: name a folder, such as model/compact, or USER/NAME.",
            ),
        ):
            with pytest.raises(SystemExit) as ended:
                app.main(["--model", str(trained), *options])
            assert ended.value.code == f"app.py: {sentence}"
    monkeypatch.setenv("GRADIO_SERVER_PORT", "99999")
    with pytest.raises(SystemExit) as ended:
        app.main(["--model", str(trained)])
    assert ended.value.code == "app.py: There is no port '99999': choose a number from 1 to 65535."
