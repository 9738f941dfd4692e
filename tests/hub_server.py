"""A Hugging Face Hub on localhost, for tests: the real `huggingface_hub` client speaks to it.

    with HubServer(tmp_path / "hub") as hub:
        hub.tokens["hf_ann"] = "ann"
        hub.put("ann/skin", {"config.json": b"{}", "model.tflite": weights}, private=True)
        hub.fault(r"GET .*model\\.tflite", cut=1000)
        subprocess.run([...], env=hub.env(tmp_path / "home", token="hf_ann"))
        assert hub.downloads() == ["config.json", "model.tflite", "model.tflite"]

Repos, branches, tags and commits are in memory, file contents in a folder. As on the Hub, large
files are served from a second address (`hub.cdn`), to which the client must not send the token.

It differs from the Hub in two ways, as it speaks http and has no Xet storage:

- For a missing repo, the Hub answers an anonymous client with 401 and no error code, and the client
  infers "no such repo" from the https address. Here the answer carries the code.
- A client with hf_xet installed uploads large files to Xet storage without asking the server.
  HF_HUB_DISABLE_XET=1, read when `huggingface_hub` is imported, makes it use LFS. It is part of
  `CLIENT_ENV`, which conftest.py sets for the tests and `HubServer.env` for a subprocess.
"""

import json
import os
import re
import socket
import struct
import sys
import threading
from collections import namedtuple
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from hub_api import Call, HubApi, Reply
from hub_repos import HubError

CLIENT_ENV = {
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",  # else the `hf` command asks PyPI for a newer one
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "NO_PROXY": "127.0.0.1,localhost",
}

# token: whether one was sent; file: the path in the repo if the answer was its contents
Request = namedtuple("Request", "method path query token status file")


@dataclass
class Fault:
    """What goes wrong with the next `times` (None: all) requests whose "METHOD /path" matches."""

    pattern: str
    times: int | None = 1
    status: int | None = None  # answered instead
    code: str | None = None  # its X-Error-Code: "GatedRepo", "RepoNotFound", "EntryNotFound", ...
    message: str = "Made to fail by the test."
    headers: dict | None = None  # additional headers, such as {"Retry-After": "0"}
    after: bool = False  # the request is carried out, only its answer is lost
    cut: int | None = None  # only so many bytes of the declared length are sent
    reset: bool = False  # the connection is reset; the client does not retry such a download
    alter: bool = False  # the last bit is flipped, length and ETag are right
    delay: float = 0  # seconds until anything happens


class HubServer(HubApi):
    """A Hub. `tokens` maps a token to its user, who owns the repos of that namespace."""

    def __init__(self, root):
        super().__init__(Path(root))
        self.root.mkdir(parents=True, exist_ok=True)
        self.faults, self.requests = [], []
        self.listeners, self.ports, self.stopping = [], [0, 0], threading.Event()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def start(self):
        """Listen. After `stop`: on the same ports, with the same repos."""
        self.stopping.clear()
        self.listeners = [_Listener(("127.0.0.1", port), _Handler) for port in self.ports]
        self.ports = [listener.server_address[1] for listener in self.listeners]
        self.url, self.cdn = (f"http://127.0.0.1:{port}" for port in self.ports)
        for listener in self.listeners:
            listener.hub = self
            threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """Close all connections. The Hub cannot be reached until `start`."""
        self.stopping.set()
        for listener in self.listeners:
            listener.shutdown()
            listener.server_close()
            listener.hang_up()
        self.listeners = []

    def env(self, home, token=None, **more):
        """The environment of a client process: this Hub, HF_HOME=`home`, no token but `token`."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        env |= CLIENT_ENV | {"HF_ENDPOINT": self.url, "HF_HOME": str(home)}
        return env | ({"HF_TOKEN": token} if token else {}) | more

    def put(self, repo_id, files, repo_type="model", revision="main", message="Seed", **create):
        """Commit `files` (path -> bytes) without a client; repo and branch are made if missing.

        Returns the commit's oid. `create` takes private= and gated= of a new repo.
        """
        repo = self.repos.get((repo_type, repo_id)) or self.create(repo_id, repo_type, **create)
        new = {p: self.store(data, repo.is_large(p, len(data))) for p, data in files.items()}
        head = repo.revision(revision if revision in repo.branches else "main")
        return repo.commit(revision, head.files | new, message)

    def repo(self, repo_id, repo_type="model"):
        """The `Repo`: private, gated, branches, tags and variables may be read and set."""
        return self.repos[repo_type, repo_id]

    def files(self, repo_id, revision="main", repo_type="model"):
        """Path -> bytes of all files of a revision, including .gitattributes."""
        files = self.repo(repo_id, repo_type).revision(revision).files
        return {path: self.blob(file.sha256).read_bytes() for path, file in files.items()}

    def commits(self, repo_id, revision="main", repo_type="model"):
        """The `Commit`s of a revision, newest first."""
        return list(self.repo(repo_id, repo_type).history(revision))

    def downloads(self):
        """The files whose contents were sent, in order, with repetitions."""
        return [r.file for r in self.requests if r.method == "GET" and r.file]

    def fault(self, pattern, **what):
        """Add and return a `Fault`. Its `times` counts down to 0."""
        self.faults.append(Fault(pattern, **what))
        return self.faults[-1]

    def _fault(self, line):
        with self.lock:
            for fault in self.faults:
                if fault.times != 0 and re.search(fault.pattern, line):
                    fault.times = fault.times and fault.times - 1
                    return fault
        return Fault("")

    def answer(self, method, target, headers, body):
        """The Reply to one request, and its Fault (which may be one that does nothing)."""
        url = urlsplit(target)
        path, query = unquote(url.path), parse_qs(url.query, keep_blank_values=True)
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        fault = self._fault(f"{method} {path}")
        self.stopping.wait(fault.delay)
        try:
            made = HubError(fault.status, fault.message, fault.code, **(fault.headers or {}))
            if fault.status and not fault.after:
                raise made
            call = Call(method, url.path, query, body, headers, self.tokens.get(token), token)
            reply = self.route(call)
            if fault.status:
                raise made
        except HubError as error:
            said = {"X-Error-Message": error.message} | error.headers
            said |= {"X-Error-Code": error.code} if error.code else {}
            reply = Reply(error.status, json.dumps({"error": error.message}).encode(), said)
        if not isinstance(reply, Reply):
            reply = Reply(body=json.dumps(reply).encode())
        if fault.alter and reply.body:
            reply = reply._replace(body=reply.body[:-1] + bytes([reply.body[-1] ^ 1]))
        self.requests.append(Request(method, path, query, bool(token), reply.status, reply.file))
        return reply, fault


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *args):
        self.connections, self.resets = set(), set()
        super().__init__(*args)

    def get_request(self):
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request):
        self.connections.discard(request)
        if request in self.resets:
            self.close_request(request)  # an orderly shutdown would come before the reset
        else:
            super().shutdown_request(request)

    def hang_up(self):
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it hung up by itself

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply, fault = self.server.hub.answer(self.command, self.path, self.headers, body)
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json"} | reply.headers
        for key, value in (headers | {"Content-Length": str(len(reply.body))}).items():
            self.send_header(key, value)
        self.end_headers()
        body = b"" if self.command == "HEAD" else reply.body
        self.wfile.write(body[: fault.cut])
        if fault.cut is not None or fault.reset:
            self.close_connection = True
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.server.resets.add(self.connection)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET
