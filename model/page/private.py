"""The private tab: the visitor's own browser classifies, with the model file that the server has.

    routes = private_tab(classifier, i18n)              within gr.Blocks
    page.launch(app_kwargs={"routes": routes})

What the browser gets is in `model/page/browser`: its own code, and LiteRT.js as `litert/vendor.sh` made
it. Addresses hold a version, the digest of all that is served, so that every file may be kept for
ever and no page of an old version gets files of a new one. Bounds, labels, colours and sentences
go over in `tab.json`, out of the modules that the server's own answer comes from.
"""

import gzip
import hashlib
import json
from pathlib import Path

import gradio as gr
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from model import cam as evidence
from model import quality
from model.folder import TFLITE, read_checksums, sha256
from model.page import answer
from model.page.texts import TEXTS, name
from model.preprocessing import MAX_PIXELS

BROWSER = Path(__file__).with_name("browser")
# Under Gradio's own, so that whatever stands before Gradio hands them on.
ADDRESS = "/gradio_api/private"
SCRIPT, JSON = "text/javascript; charset=utf-8", "application/json"
WASM, BYTES = "application/wasm", "application/octet-stream"
PAGE = ("page.js", "files.js")  # loaded with the tab; all else when the visitor asks for it
ASKED = {
    "picture": "picture.js",
    "worker": "worker.js",
    "litert": "litert/litert.js",
    "compat.js": "litert/compat.js",
    "threaded.js": "litert/threaded.js",
    "compat.wasm": "litert/compat.wasm.gz",
    "threaded.wasm": "litert/threaded.wasm.gz",
}


def settings(classifier) -> dict:
    """What `tab.json` holds beside the list of files: all that the browser needs to answer as the
    server does."""
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
        "quality": {
            "height": quality.HEIGHT,
            "width": quality.WIDTH,
            "codes": quality.CODES,
            "refused": quality.REFUSED,
            "smallest": quality.SMALLEST,
            "uniform": quality.UNIFORM,
            "dark": quality.DARK,
            "lit": quality.LIT,
            "white": quality.WHITE,
            "burnt": quality.BURNT,
            "sharp": quality.SHARP,
        },
        "look": {
            "longest": evidence.LONGEST,
            "half": evidence.HALF,
            "opaque": evidence.OPAQUE,
            "colours": evidence.COLOURS,
            "least": evidence.LEAST,
        },
        "html": {
            language: {
                "boxes": answer.boxes(classifier.config, language),
                "names": [name(language, label) for label in classifier.labels],
                "diagnoses": [answer.diagnosis(label, language) for label in classifier.labels],
                "legend": answer.legend(language),
            }
            for language in TEXTS
        },
    }


class Files:
    """What is served: by name the path or the bytes, the type, and whether they are gzipped; and
    the `version` of it all. What is large stays on disk."""

    def __init__(self, classifier):
        self.sent: dict[str, tuple[bytes | Path, str, bool]] = {}
        listed = {}
        for key, place in ASKED.items():
            path = BROWSER / place
            if path.suffix == ".gz":
                self.sent[key] = path, WASM, True
                transfer = path.stat().st_size
                with gzip.open(path) as file:
                    digest, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
            else:
                self.sent[key] = gzip.compress(path.read_bytes(), mtime=0), SCRIPT, True
                transfer, size, digest = len(self.sent[key][0]), path.stat().st_size, sha256(path)
            listed[key] = {"bytes": size, "transfer": transfer, "sha256": digest}
        path = classifier.folder / TFLITE
        self.sent["model"] = path, BYTES, False
        listed["model"] = {
            "bytes": path.stat().st_size,
            "transfer": path.stat().st_size,
            "sha256": read_checksums(classifier.folder)[TFLITE],
        }
        for key, entry in listed.items():
            entry |= {"name": key, "type": self.sent[key][1]}
        tab = json.dumps(settings(classifier) | {"files": listed}, ensure_ascii=False).encode()
        page = {"tab.json": (tab, JSON)}
        page |= {name: ((BROWSER / name).read_bytes(), SCRIPT) for name in PAGE}
        for key, (raw, kind) in page.items():
            self.sent[key] = gzip.compress(raw, mtime=0), kind, True
        together = b"".join(raw for raw, _ in page.values())  # tab.json has the others' digests
        self.version = hashlib.sha256(together).hexdigest()[:16]

    async def send(self, request: Request) -> Response:
        """One file of this version; 404 for any other."""
        found = self.sent.get(request.path_params["name"])
        if found is None or request.path_params["version"] != self.version:
            return Response(status_code=404)
        content, kind, packed = found
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        if packed:
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in request.headers.get("accept-encoding", ""):
                headers["Content-Encoding"] = "gzip"
            else:
                raw = content if isinstance(content, bytes) else content.read_bytes()
                content = gzip.decompress(raw)
        if isinstance(content, Path):
            return FileResponse(content, media_type=kind, headers=headers)
        return Response(content, media_type=kind, headers=headers)


def private_tab(classifier, i18n) -> list[Route]:
    """Add the tab to the Blocks that are being built; its own code fills it in. Returns the routes
    that it needs, for `launch(app_kwargs={"routes": ...})`."""
    files = Files(classifier)
    load = f"""
        const root = (window.gradio_config?.root ?? location.origin).replace(/\\/$/, "");
        const base = root + "{ADDRESS}/{files.version}/";
        import(base + "page.js").then(page => page.fill(element.querySelector(".private"), base));
    """
    with gr.Tab(i18n("tab_private")):
        gr.HTML(html_template='<div class="private"></div>', js_on_load=load, elem_id="private")
    return [Route(f"{ADDRESS}/{{version}}/{{name}}", files.send)]
