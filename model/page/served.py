"""What the browser gets besides Gradio's page: this page's own code, and the model.

    files = Files(classifier, model, examples)
    page.launch(app_kwargs={"routes": files.routes})

The code in `model/page/browser` draws the tabs; for the private tab it also runs the model, with
LiteRT.js. Each address holds a version, the digest of everything that is served. So a browser may
cache each file for ever, and a page of an older version never gets files of a newer one.
`page.LANGUAGE.json` holds the words, labels, limits and figures that the code needs.
"""

import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from model.classifier import Classifier
from model.folder import BUNDLED, COMPACT, TFLITE, read_checksums, sha256
from model.page import answer
from model.page.settings import settings
from model.page.texts import TEXTS

BROWSER = Path(__file__).with_name("browser")
# Below Gradio's own path, so that a proxy in front of Gradio forwards it.
ADDRESS = "/gradio_api/page"
SCRIPT, JSON = "text/javascript; charset=utf-8", "application/json"
WASM, BYTES = "application/wasm", "application/octet-stream"
# What the private tab loads on demand; all other modules come with the page.
ON_DEMAND = {
    "picture": "picture.js",
    "worker": "worker.js",
    "litert": "litert/litert.js",
    "compat.js": "litert/compat.js",
    "threaded.js": "litert/threaded.js",
    "compat.wasm": "litert/compat.wasm.gz",
    "threaded.wasm": "litert/threaded.wasm.gz",
}


@dataclass(frozen=True)
class File:
    """One file to serve. A path is read for each request, so that large files stay on disk."""

    content: bytes | Path
    type: str
    gzipped: bool = True


def offered(classifier, model: dict) -> dict:
    """The models that the private tab offers, the default one first: the name of the file to send
    to (classifier, entry "model" of /analyze's answer). Beside the bundled model, that is the small
    one."""
    models = {"model": (classifier, model)}
    if classifier.folder.resolve() != BUNDLED.resolve() or not COMPACT.is_dir():
        return models
    small = Classifier(COMPACT, threads=1)
    entry = {"id": COMPACT.name, "revision": answer.revision(small)}
    return {"compact": (small, entry)} | models


class Files:
    """Serves the browser's files: `sent` by name, under the address of their common `version`.

    `model` is the entry "model" of /analyze's answer, and `examples` lists the example pictures.
    """

    def __init__(self, classifier, model: dict, examples=(), browser: Path = BROWSER):
        self.sent: dict[str, File] = {}
        listed = {}
        for name, place in ON_DEMAND.items():
            path = browser / place
            if path.suffix == ".gz":
                self.sent[name] = File(path, WASM)
                transfer = path.stat().st_size
                with gzip.open(path) as file:
                    digest, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
            else:
                packed = gzip.compress(path.read_bytes(), mtime=0)
                self.sent[name] = File(packed, SCRIPT)
                digest, size, transfer = sha256(path), path.stat().st_size, len(packed)
            listed[name] = {"bytes": size, "transfer": transfer, "sha256": digest}
        local = offered(classifier, model)
        for name, (one, _) in local.items():
            path = one.folder / TFLITE
            self.sent[name] = File(path, BYTES, gzipped=False)
            size, digest = path.stat().st_size, read_checksums(one.folder)[TFLITE]
            listed[name] = {"bytes": size, "transfer": size, "sha256": digest}
        for name, entry in listed.items():
            entry |= {"name": name, "type": self.sent[name].type}
        shown = []
        for example in examples:
            self.sent[example.path.name] = File(
                example.path, f"image/{example.path.suffix[1:]}", False
            )
            shown.append(
                {"name": example.path.name, "id": example.image_id, "label": example.label}
            )
        first = {}
        for language in TEXTS:
            page = settings(classifier, model, language, local)
            page |= {"files": listed, "examples": shown}
            first[f"page.{language}.json"] = (json.dumps(page, ensure_ascii=False).encode(), JSON)
        for path in sorted(browser.glob("*.js")):
            if path.name not in ON_DEMAND.values():
                first[path.name] = path.read_bytes(), SCRIPT
        for name, (content, kind) in first.items():
            self.sent[name] = File(gzip.compress(content, mtime=0), kind)
        # The settings hold the digests of all the other files.
        together = b"".join(content for content, _ in first.values())
        self.version = hashlib.sha256(together).hexdigest()[:16]
        # The browser's modules, as Gradio's page is to load them at once.
        folder = f"{ADDRESS[1:]}/{self.version}"
        modules = [name for name in first if name.endswith(".js")]
        self.head = "".join(f'<link rel="modulepreload" href="{folder}/{m}">' for m in modules)
        self.routes = [Route(f"{ADDRESS}/{{version}}/{{name}}", self.send)]

    async def send(self, request: Request) -> Response:
        """Answer with one file of this version, or with 404."""
        file = self.sent.get(request.path_params["name"])
        if file is None or request.path_params["version"] != self.version:
            return Response(status_code=404)
        content = file.content
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        if file.gzipped:
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in request.headers.get("accept-encoding", ""):
                headers["Content-Encoding"] = "gzip"
            else:
                packed = content if isinstance(content, bytes) else content.read_bytes()
                content = gzip.decompress(packed)
        if isinstance(content, Path):
            return FileResponse(content, media_type=file.type, headers=headers)
        return Response(content, media_type=file.type, headers=headers)
