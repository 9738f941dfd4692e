"""`app.py` in a process of its own, as on another machine: as user 1000, in read-only folders, with
its own Python. For test_space.py and test_docker.py."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

START = 400  # seconds for a page to come up, even on a very busy machine


@contextlib.contextmanager
def open_folder():
    """A temporary folder that user 1000 can read, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="page-"))
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


def read_only(folder: Path) -> Path:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


def user_1000(python: Path) -> list:
    """The prefix that makes user 1000 run a command of `python`; empty where we are not root."""
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
    """`app.py` of the folder `app`, for the length of a block; `env` is all of its environment but
    port, HOME and PATH."""

    def __init__(self, app, python, as_user, home, env):
        # A /tmp of its own: in this machine's, another user's files may be in the way.
        temporary = home.with_suffix(".tmp")
        for folder in (home, temporary):
            folder.mkdir(exist_ok=True)
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, *([1000, 1000] if as_user else [-1, -1]), follow_symlinks=False)
        self.port = free_port()
        env = {"HOME": str(home), "GRADIO_SERVER_PORT": str(self.port)} | env
        env |= {"TMPDIR": str(temporary), "PATH": f"{python.parent}:/usr/bin:/bin"}
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

    def megabytes(self):
        """The most memory that it has used."""
        return int(self.status("VmHWM").split()[0]) / 1024

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
