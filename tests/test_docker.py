"""The Dockerfile, as far as it can be tried without Docker: what it copies, that its commands work,
and that its page starts as user 1000, answers, is healthy, and ends when it is told to."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard
from made import drawing
from page_process import Page, open_folder, read_only, user_1000
from test_space import STRAY

from model.folder import BUNDLED, COMPACT, CONFIG, SUMS, TFLITE
from model.page.examples import bundled

ROOT = Path(__file__).resolve().parents[1]
HOME = "/home/user"


def instructions() -> list[tuple[str, str]]:
    """(instruction, its arguments) of the Dockerfile, in order."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]


def every(name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions() if instruction == name]


def only(name: str) -> str:
    (arguments,) = every(name)
    return arguments


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in only("ENV").split())


def sent(name: str) -> bool:
    """Whether .dockerignore lets Docker see a file. The last rule that matches decides."""
    seen = True
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        if not rule or rule.startswith("#"):
            continue
        meaning = {"**/": "(.*/)?", "*": "[^/]*"}
        parts = re.split(r"(\*\*/|\*)", rule.removeprefix("!"))
        pattern = "".join(meaning.get(part) or re.escape(part) for part in parts)
        if re.fullmatch(f"{pattern}(/.*)?", name):  # a rule for a folder is one for what is in it
            seen = rule.startswith("!")
    return seen


def copied() -> set[str]:
    """The names of the files that the image holds."""
    names = set()
    for arguments in every("COPY"):
        owner, *sources, target = arguments.split()
        assert owner == "--chown=user" and target in ("./", *sources)
        for source in sources:
            path = ROOT / source
            assert path.exists(), source
            files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
            names |= {file.relative_to(ROOT).as_posix() for file in files}
    return {name for name in names if sent(name)}


@pytest.fixture(scope="module")
def machine():
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def app(machine):
    """The image's files, read-only."""
    for name in copied():
        (machine / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, machine / "app" / name)
    return read_only(machine / "app")


def test_the_image_holds_the_page_and_nothing_else():
    names = copied()
    assert {name for name in names if "/" not in name} == {"LICENSE", "app.py", "requirements.txt"}
    assert {Path(name).parts[0] for name in names if "/" in name} == {"model"}
    for folder in (BUNDLED, COMPACT):
        assert {f"model/{folder.name}/{file}" for file in (CONFIG, TFLITE, SUMS)} <= names
    assert {example.path.relative_to(ROOT).as_posix() for example in bundled()} <= names
    assert not [name for name in (*STRAY, ".git/HEAD", "model/page/.env") if sent(name)]
    endings = {Path(name).suffix for name in names}
    assert {".py", ".js", ".css", ".json", ".gz", ".tflite"} <= endings
    assert not {".png", ".h5", ".pyc"} & endings


def test_the_pages_code_needs_only_what_the_image_holds(app):
    code = """if True:
        import app, model.page.page
        from model.classifier import Classifier
        for name in (app.parse([]).model, "model/compact"):
            print(Classifier.from_pretrained(name).predict("model/page/examples/EXAMPLE").top(1))
    """.replace("EXAMPLE", bundled()[0].path.name)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-Bc", code]
    run = subprocess.run(command, cwd=app, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 2


def test_its_instructions_go_together():
    names = [name for name, _ in instructions()]
    front = SpaceCard.load(ROOT / "README.md").data
    assert only("FROM") == f"python:{front.python_version}-slim"
    assert only("USER") == "1000" and only("WORKDIR") == f"{HOME}/app"
    first, *later = [i for i, name in enumerate(names) if name in ("RUN", "COPY", "CMD")]
    assert first < names.index("USER") < later[0]  # root only makes the user
    env = environment()
    assert env["HOME"] == HOME and env["GRADIO_SERVER_NAME"] == "0.0.0.0"
    assert json.loads(only("CMD")) == ["python", "app.py"]  # a shell would keep SIGTERM to itself
    assert only("EXPOSE") == "7860" and "7860" in only("HEALTHCHECK")
    assert "-p 127.0.0.1:7860:7860" in (ROOT / "docs/hub.md").read_text("utf-8")


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("useradd"), reason="root adds users")
def test_its_user_is_1000_and_owns_home_and_cache(tmp_path):
    """Its commands, but for the path of the root folder."""
    add, folders, _ = every("RUN")
    for name in ("etc", "home"):
        (tmp_path / name).mkdir()
    for name in ("passwd", "group", "shadow"):
        (tmp_path / "etc" / name).touch()
    add = add.replace("useradd ", f"useradd --prefix {tmp_path} ")
    subprocess.run(["sh", "-ec", add], check=True, capture_output=True)
    entry = (tmp_path / "etc/passwd").read_text().split(":")
    assert entry[0] == "user" and entry[2] == "1000" and entry[5] == HOME
    assert (tmp_path / HOME[1:]).stat().st_uid == 1000
    subprocess.run(["sh", "-ec", folders.replace(HOME, f"{tmp_path}{HOME}")], check=True)
    assert (tmp_path / HOME[1:] / ".cache/huggingface").is_dir()


@pytest.mark.nightly
@pytest.mark.timeout(1800)  # most of it for the installation
def test_its_page_starts_answers_is_healthy_and_ends(app, machine, tmp_path, capsys):
    subprocess.run([sys.executable, "-m", "venv", machine / "venv"], check=True)
    python = machine / "venv/bin/python"
    path = {"PATH": f"{python.parent}:/usr/bin:/bin"}
    install = ["sh", "-ec", every("RUN")[-1]]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | path
    subprocess.run(install, cwd=app, check=True, env=env, capture_output=True)
    picture = tmp_path / "lesion.png"
    drawing("mel", 1).save(picture)
    own = {key: value for key, value in environment().items() if key not in ("HOME", "PATH")}

    def healthy(port):
        command = only("HEALTHCHECK").partition("CMD ")[2].replace("7860", str(port))
        command = [python, *json.loads(command)[1:]]
        return subprocess.run(command, capture_output=True, env={}).returncode == 0

    with Page(app, python, user_1000(python), machine / "home", own) as page:
        assert len(page.classify(picture)) == 7
        assert page.listens_to_all() and healthy(page.port)
        megabytes = page.megabytes()
    assert page.process.returncode == 0 and not healthy(page.port)
    with capsys.disabled():
        print(f"\nDocker, bundled model: peak memory {megabytes:.0f} MB")
    assert megabytes < 2048
