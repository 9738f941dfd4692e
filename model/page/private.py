"""The private tab: the visitor's own browser classifies, with the server's model file.

    routes = private_tab(classifier, i18n)              within gr.Blocks
    page.launch(app_kwargs={"routes": routes})

The browser gets the code in `model/page/browser`, LiteRT.js included, and the model. Each address
holds a version, the digest of everything that is served. So a browser may cache each file for ever,
and a page of an older version never gets files of a newer one. `tab.json` holds the limits, labels,
colours and HTML from which the server composes its own answer.
"""

import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from model import cam, lens, quality
from model.folder import TFLITE, read_checksums, sha256
from model.page import answer, texts
from model.preprocessing import MAX_PIXELS

BROWSER = Path(__file__).with_name("browser")
# Below Gradio's own path, so that a proxy in front of Gradio forwards it.
ADDRESS = "/gradio_api/private"
SCRIPT, JSON = "text/javascript; charset=utf-8", "application/json"
WASM, BYTES = "application/wasm", "application/octet-stream"
WITH_THE_TAB = ("page.js", "files.js")
ON_DEMAND = {
    "picture": "picture.js",
    "worker": "worker.js",
    "litert": "litert/litert.js",
    "compat.js": "litert/compat.js",
    "threaded.js": "litert/threaded.js",
    "compat.wasm": "litert/compat.wasm.gz",
    "threaded.wasm": "litert/threaded.wasm.gz",
}


def settings(classifier) -> dict:
    """What the browser needs in order to answer as the server does; JSON-serialisable."""
    calibration = classifier.config.get("calibration") or {}
    threshold, suspects = calibration.get("threshold"), calibration.get("suspicious")
    return {
        "labels": classifier.labels,
        "input": {"height": classifier.height, "width": classifier.width},
        "suspicious": {"labels": suspects, "threshold": threshold}
        if threshold is not None and suspects
        else None,
        "familiar": classifier.config.get("familiarity", {}).get("threshold"),
        "most_pixels": MAX_PIXELS,
        "quality": _constants(
            quality, "HEIGHT WIDTH CODES REFUSED SMALLEST UNIFORM DARK LIT WHITE BURNT SHARP LONG"
        ),
        "lens": _constants(
            lens, "SIDE BLACK POINTS NEAR MATCH MIXED SQUEEZED ASIDE LEAST MOST REACH LONGEST"
        ),
        "look": _constants(cam, "LONGEST HALF OPAQUE COLOURS LEAST STRIDE"),
        "html": {
            language: {
                "boxes": answer.boxes(classifier.config, language),
                "names": [texts.name(language, label) for label in classifier.labels],
                "diagnoses": [answer.diagnosis(label, language) for label in classifier.labels],
                "legend": answer.legend(language),
            }
            for language in texts.TEXTS
        },
    }


def _constants(module, names: str) -> dict:
    return {name.lower(): getattr(module, name) for name in names.split()}


@dataclass(frozen=True)
class File:
    """One file to serve. A path is read for each request, so that large files stay on disk."""

    content: bytes | Path
    type: str
    gzipped: bool = True


class Files:
    """Serves the tab's files: `sent` by name, under the address of their common `version`."""

    def __init__(self, classifier, browser: Path = BROWSER):
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
        path = classifier.folder / TFLITE
        self.sent["model"] = File(path, BYTES, gzipped=False)
        size, digest = path.stat().st_size, read_checksums(classifier.folder)[TFLITE]
        listed["model"] = {"bytes": size, "transfer": size, "sha256": digest}
        for name, entry in listed.items():
            entry |= {"name": name, "type": self.sent[name].type}
        tab = json.dumps(settings(classifier) | {"files": listed}, ensure_ascii=False).encode()
        first = {"tab.json": (tab, JSON)}
        first |= {name: ((browser / name).read_bytes(), SCRIPT) for name in WITH_THE_TAB}
        for name, (content, kind) in first.items():
            self.sent[name] = File(gzip.compress(content, mtime=0), kind)
        # tab.json holds the digests of all the other files.
        together = b"".join(content for content, _ in first.values())
        self.version = hashlib.sha256(together).hexdigest()[:16]

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


def private_tab(classifier, i18n) -> list[Route]:
    """Add the tab to the Blocks under construction; the browser's own code fills it in. Returns
    the routes that the tab needs, for `launch(app_kwargs={"routes": ...})`."""
    files = Files(classifier)
    load = f"""
        const root = (window.gradio_config?.root ?? location.origin).replace(/\\/$/, "");
        const base = root + "{ADDRESS}/{files.version}/";
        import(base + "page.js").then(page => page.fill(element.querySelector(".private"), base));
    """
    with gr.Tab(i18n("tab_private")):
        gr.HTML(html_template='<div class="private"></div>', js_on_load=load, elem_id="private")
    return [Route(f"{ADDRESS}/{{version}}/{{name}}", files.send)]
