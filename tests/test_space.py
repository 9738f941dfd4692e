"""The Space: its front matter, what its publication sends, and its start as on the Hub.

Front matter and commands come from README.md. The commands run unchanged, but for the ids and the
address of a Hub on localhost. The nightly tests install requirements.txt into a new environment.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest
import yaml
from gradio_client import Client, handle_file
from hostile import saved
from hub_server import CLIENT_ENV, HubServer
from huggingface_hub import SpaceCard
from made import drawing

from model.folder import BUNDLED, CONFIG, METRICS, SUMS, TFLITE, WEIGHTS, write_checksums
from model.hub.pull import PAGE, README
from model.labels import display_name
from model.page.examples import bundled

ROOT = Path(__file__).resolve().parents[1]
SPACE, MODEL = "ann/page", "ann/lesions"
START = 400  # seconds for a page to come up, even on a very busy machine
NEEDED = {"app.py", "README.md", "LICENSE", "requirements.txt"}
# What a checkout may hold and a publication must leave out.
STRAY = """
    .env .git/config .venv/lib/site.py .ci/run runs/trial/config.json lesion.jpg
    patients/0001.png tests/test_secret.py model/bundled/scan.png model/.notes.py
    model/__pycache__/labels.cpython-311.pyc model/bundled/model.weights.h5 app.pyi
    model/components.pyi model/bundled/.partial-7-model.tflite train.py requirements-dev.txt
    screenshot.png
""".split()
# The environment of a Space with the Gradio SDK, by the Hub's page on Docker Spaces.
SPACE_ENV = {
    "SYSTEM": "spaces",
    "SPACE_ID": SPACE,
    "PYTHONUNBUFFERED": "1",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_NUM_PORTS": "1",
    "GRADIO_ALLOW_FLAGGING": "never",
    "GRADIO_THEME": "huggingface",
}


# --- front matter


def front_matter() -> dict:
    return SpaceCard.load(ROOT / "README.md").data.to_dict()


def block(language: str, begins: str) -> str:
    """The one code block of README.md and docs/hub.md in that language that begins so."""
    text = "".join((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/hub.md"))
    found = [
        each
        for each in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
        if each.startswith(begins)
    ]
    assert len(found) == 1, f"The pages have {len(found)} blocks of {language} with {begins}"
    return found[0]


def pins() -> dict:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_front_matter_holds_together_with_the_checkout():
    front = front_matter()
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert (ROOT / front["app_file"]).is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+", front["sdk_version"])
    assert pins()["gradio[mcp]"] == front["sdk_version"]
    assert isinstance(front["python_version"], str)  # unquoted, YAML makes 3.10 of it 3.1
    assert tuple(map(int, front["python_version"].split("."))) >= (3, 11)  # hashlib.file_digest
    assert front["license"] == "cc-by-nc-4.0"  # of the bundled weights, stricter than the code's
    assert "CC BY-NC 4.0" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert front["datasets"] == ["marmal88/skin_cancer"]
    assert "image-classification" in front["tags"] and len(set(front["tags"])) == len(front["tags"])
    assert 0 < len(front["short_description"]) <= 60  # more is refused by the Hub
    assert front["title"] and front["emoji"]
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colours


def test_a_model_on_the_hub_is_preloaded():
    """In the front matter, and in the change to it that README.md gives for another model."""
    other = yaml.safe_load(block("yaml", "models:"))
    assert other["models"] == ["USER/MODEL"]
    for front in (front_matter(), other):
        assert isinstance(front["models"], list)
        preloaded = dict(line.split(" ") for line in front.get("preload_from_hub", []))
        assert set(preloaded) == set(front["models"])
        for files in preloaded.values():
            assert set(files.split(",")) == {*PAGE, README, SUMS}


# --- publication


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The working tree, with things in it that must not go out."""
    folder = tmp_path_factory.mktemp("checkout") / "repository"
    skip = shutil.ignore_patterns("venv", "runs", "shared", "__pycache__", ".*")
    shutil.copytree(ROOT, folder, ignore=skip)
    for name in STRAY:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("HF_TOKEN=hf_secret")
    return folder


def run_block(code: str, checkout: Path, server: HubServer, home: Path):
    """A block of README.md in a shell, signed in to the Hub as ann."""
    code = code.replace("USER/NAME", SPACE).replace("USER/MODEL", MODEL)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = server.env(home, token="hf_ann", PATH=path)
    shell = ["bash", "-ec", code]
    run = subprocess.run(shell, cwd=checkout, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def published(checkout, tmp_path_factory):
    """The Hub after README.md's command has run twice: the second time without `model/gone.py`."""
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        server.tokens["hf_ann"] = "ann"
        home = tmp_path_factory.mktemp("home")
        (checkout / "model/gone.py").write_text("gone = True\n")
        run_block(block("bash", "hf upload"), checkout, server, home)
        assert "model/gone.py" in server.files(SPACE, repo_type="space")
        (checkout / "model/gone.py").unlink()
        run_block(block("bash", "hf upload"), checkout, server, home)
        yield server


def test_publication_sends_what_the_page_needs_and_nothing_else(published, checkout):
    files = published.files(SPACE, repo_type="space")
    model = [path for path in (checkout / "model").rglob("*") if path.is_file()]
    expected = {path.relative_to(checkout).as_posix() for path in model} - set(STRAY)
    left_out = (".png", ".h5", ".pyc", ".pyi")
    expected = {name for name in expected if not name.endswith(left_out)}
    assert set(files) == {".gitattributes", *NEEDED} | expected
    for name in ("bundled", "compact"):
        assert {f"model/{name}/{file}" for file in (*PAGE, SUMS)} <= set(files)
    examples = [example.path.relative_to(ROOT).as_posix() for example in bundled()]
    assert len(examples) == 7 and {*examples, "model/page/examples/README.md"} <= set(files)
    assert not any(b"hf_secret" in content for content in files.values())
    for name in set(files) - {".gitattributes"}:
        assert files[name] == (checkout / name).read_bytes()
    first, *later = reversed(published.commits(SPACE, repo_type="space"))
    assert first.title == "initial commit" and len(later) == 2  # one commit per publication


# --- the Space's machine


@pytest.fixture(scope="module")
def machine():
    """A folder that user 1000 can read, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="space-"))
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def app(machine, published):
    """The published files, read-only."""
    folder = machine / "app"
    for name, content in published.files(SPACE, repo_type="space").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


@pytest.fixture(scope="module")
def python(machine, app):
    """Python of a new virtual environment with nothing but requirements.txt."""
    subprocess.run([sys.executable, "-m", "venv", machine / "venv"], check=True)
    python = machine / "venv/bin/python"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    install = [python, "-m", "pip", "install", "-q", "-r", app / "requirements.txt"]
    subprocess.run(install, check=True, env=env)
    return python


@pytest.fixture(scope="module")
def as_user(python):
    """The prefix that makes user 1000 run a command; empty where we are not root."""
    if os.getuid() != 0:
        return []
    user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--bounding-set=-all"]
    # If Python itself is in root's home, the user needs to read (not write) there.
    read = [*user[:-1], "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    where = [python, "-c", "import gradio, os; print(gradio.__file__, os.__file__)"]
    wanted = subprocess.run(where, capture_output=True, check=True).stdout
    for prefix in (user, read):
        if subprocess.run([*prefix, *where], capture_output=True).stdout == wanted:
            return prefix
    pytest.skip(f"user 1000 cannot run {python}")


class Page:
    """`app.py` on the Space's machine, for the length of a block."""

    def __init__(self, app, python, as_user, home, **variables):
        # A /tmp of its own: in this machine's, another user's files may be in the way.
        for folder in (home, home.with_suffix(".tmp")):
            folder.mkdir()
            os.chown(folder, *([1000, 1000] if as_user else [-1, -1]))
        self.port = free_port()
        env = SPACE_ENV | {"GRADIO_SERVER_PORT": str(self.port), "HOME": str(home), **variables}
        env |= {"TMPDIR": str(folder), "PATH": f"{python.parent}:/usr/bin:/bin"}
        self.log, self.started = home.with_suffix(".log"), time.monotonic()
        with open(self.log, "wb") as log:
            command = [*as_user, python, "app.py"]
            self.process = subprocess.Popen(command, cwd=app, env=env, stdout=log, stderr=log)
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        while time.monotonic() - self.started < START:
            assert self.process.poll() is None, self.log.read_text()
            try:
                httpx.get(self.url, timeout=60).raise_for_status()
                return self
            except httpx.TransportError:
                time.sleep(0.05)
        self.__exit__()
        raise AssertionError(f"no page after {START} s: {self.log.read_text()}")

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait(30)
        if any(error):
            print(self.log.read_text())

    def status(self, key):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith(f"{key}:"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system

    def classify(self, picture):
        return Client(self.url, verbose=False).predict(handle_file(picture), api_name="/predict")

    def listens_to_all(self):
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return f"00000000:{self.port:04X}" in [line.split()[1] for line in lines]


def free_port(wanted: int = 7860) -> int:
    """7860, the port of a Space, or another if that one is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
                return probe.getsockname()[1]
            except OSError:
                continue


@pytest.fixture
def picture(tmp_path):
    drawing("mel", 1).save(tmp_path / "lesion.png")
    return tmp_path / "lesion.png"


@pytest.mark.nightly
@pytest.mark.timeout(1800)  # the first of them waits for the installation
def test_space_starts_from_what_was_published(app, python, as_user, machine, picture, capsys):
    before = {path: path.stat().st_mtime_ns for path in app.rglob("*")}
    with Page(app, python, as_user, machine / "bundled") as page:
        answer = page.classify(picture)
        seconds, busy = time.monotonic() - page.started, page.cpu_seconds()
        megabytes = int(page.status("VmHWM").split()[0]) / 1024
        picture.with_name("x.heic").write_bytes(saved(drawing("mel", 1), "HEIF", quality=95))
        assert page.classify(picture.with_name("x.heic"))
        assert page.listens_to_all()
        user = 1000 if as_user else os.getuid()
        assert set(page.status("Uid").split()) == {str(user)}
        assert int(page.status("CapEff"), 16) & ~(1 << 2) == 0  # at most: read everything
    labels = json.loads((BUNDLED / CONFIG).read_text())["labels"]
    assert set(answer) == {*map(display_name, labels)}
    assert sum(answer.values()) == pytest.approx(1, abs=0.01)
    assert {path: path.stat().st_mtime_ns for path in app.rglob("*")} == before
    with capsys.disabled():
        print(
            f"\nSpace, bundled model: first answer {seconds:.1f} s after the start ({busy:.1f} s "
            f"of CPU time), peak memory {megabytes:.0f} MB, port {page.port}"
        )
    assert busy < 10  # CPU seconds; the goal is 5 s of wall-clock time on an idle machine
    assert megabytes < 2048


@pytest.mark.nightly
@pytest.mark.timeout(1800)  # the first of them waits for the installation
def test_space_serves_the_model_that_its_variable_names(
    published, checkout, app, python, as_user, machine, picture, tmp_path
):
    folder = tmp_path / "lesions"
    shutil.copytree(BUNDLED, folder)
    config = json.loads((folder / CONFIG).read_text())
    config["data"]["dataset"] = "pictures-of-ann"
    (folder / CONFIG).write_text(json.dumps(config))
    (folder / WEIGHTS).write_bytes(b"large, and of no use to a page")
    write_checksums(folder)
    published.put(MODEL, {path.name: path.read_bytes() for path in folder.iterdir()})
    run_block(block("bash", "hf spaces variables"), checkout, published, tmp_path / "home")
    variables = published.repo(SPACE, "space").variables
    assert variables == {"MODEL": MODEL}
    published.requests.clear()
    client = CLIENT_ENV | {"HF_ENDPOINT": published.url}
    with Page(app, python, as_user, machine / "variable", **client, **variables) as page:
        assert "pictures-of-ann" in httpx.get(f"{page.url}/config").text
        assert page.classify(picture)["label"]
    assert set(published.downloads()) == {CONFIG, METRICS, TFLITE, README, SUMS}
    assert (machine / "variable/.cache/huggingface/hub").is_dir()  # where preload_from_hub puts it
