"""What the Hub stores: repos with branches, tags and commits, and who may read and write them."""

import hashlib
import os
import threading
from collections import namedtuple
from dataclasses import dataclass, field
from datetime import datetime, timezone

# What the Hub's own .gitattributes sends to LFS. Files over 10 MB go there too.
LARGE = (
    ".7z .arrow .bin .bz2 .ckpt .ftz .gz .h5 .joblib .mlmodel .model .msgpack .npy .npz .onnx .ot "
    ".parquet .pb .pickle .pkl .pt .pth .rar .safetensors .tar .tflite .tgz .wasm .xz .zip .zst"
).split()
LARGE_DATASET = LARGE + ".flac .mp3 .wav .bmp .gif .png .tiff .jpg .jpeg .webp .mp4".split()

File = namedtuple("File", "sha256 size oid lfs")  # oid: git's blob id (of the LFS pointer if lfs)
Commit = namedtuple("Commit", "oid title message date author parent files")  # files: path -> File


class HubError(Exception):
    """An error to answer with: status, message, and the code by which the client knows it."""

    def __init__(self, status, message, code=None, **headers):
        self.status, self.message, self.code, self.headers = status, message, code, headers


@dataclass
class Repo:
    id: str
    type: str  # "model", "dataset" or "space"
    private: bool = False
    gated: bool = False
    branches: dict = field(default_factory=dict)  # name -> commit oid
    tags: dict = field(default_factory=dict)
    commits: dict = field(default_factory=dict)  # oid -> Commit
    variables: dict = field(default_factory=dict)  # of a Space

    owner = property(lambda self: self.id.split("/")[0])
    path = property(lambda self: self.id if self.type == "model" else f"{self.type}s/{self.id}")
    large = property(lambda self: LARGE_DATASET if self.type == "dataset" else LARGE)

    def is_large(self, path, size):
        return size > 10 * 2**20 or path.lower().endswith(tuple(self.large))

    def revision(self, name):
        """The commit of a branch, a tag or a full commit id."""
        oid = self.branches.get(name) or self.tags.get(name) or name
        if oid not in self.commits:
            raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, name):
        """The commits of a revision, newest first."""
        oid = self.revision(name).oid
        while oid:
            yield self.commits[oid]
            oid = self.commits[oid].parent

    def commit(self, branch, files, title, message="", author=None):
        parent = self.branches.get(branch) or self.branches.get("main")
        date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        content = (self.path, parent, date, title, files, len(self.commits))
        oid = hashlib.sha1(repr(content).encode()).hexdigest()
        author = author or self.owner
        self.commits[oid] = Commit(oid, title, message, date, author, parent, dict(files))
        self.branches[branch] = oid
        return oid


class HubRepos:
    """`root` is the folder of the file contents, each named by its SHA-256."""

    def __init__(self, root):
        self.root, self.repos, self.lock = root, {}, threading.RLock()
        self.tokens, self.read_only = {}, set()  # token -> user; tokens that cannot write
        self.jobs = []  # what `hf jobs run` sent, in order

    def blob(self, sha256):
        return self.root / sha256

    def store(self, data, lfs):
        blob = self.blob(hashlib.sha256(data).hexdigest())
        if not blob.exists():
            part = blob.with_suffix(f".{threading.get_ident()}")
            part.write_bytes(data)
            os.replace(part, blob)
        in_git = data
        if lfs:
            version = "version https://git-lfs.github.com/spec/v1"
            in_git = f"{version}\noid sha256:{blob.name}\nsize {len(data)}\n".encode()
        oid = hashlib.sha1(b"blob %d\0" % len(in_git) + in_git).hexdigest()
        return File(blob.name, len(data), oid, lfs)

    def create(self, repo_id, repo_type="model", private=False, gated=False):
        """A new repo with the Hub's first commit: .gitattributes, and a README in a Space."""
        repo = Repo(repo_id, repo_type, private, gated)
        lines = "".join(f"*{end} filter=lfs diff=lfs merge=lfs -text\n" for end in repo.large)
        files = {".gitattributes": self.store(lines.encode(), False)}
        if repo_type == "space":
            readme = f"---\ntitle: {repo_id.split('/')[-1]}\nsdk: gradio\n---\n"
            files["README.md"] = self.store(readme.encode(), False)
        repo.commit("main", files, "initial commit")
        self.repos[repo_type, repo_id] = repo
        return repo

    def readable(self, kind, repo_id, user):
        repo = self.repos.get((kind.removesuffix("s"), repo_id))
        if repo is None or (repo.private and user != repo.owner):
            if user is None:  # the Hub does not tell missing from private
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise HubError(404, "Repository not found", "RepoNotFound")
        return repo

    def admit(self, repo, user):
        if repo.gated and user != repo.owner:
            said = f"Access to {repo.type} {repo.id} is restricted"
            if user is None:
                raise HubError(401, f"{said}. You must be authenticated to access it.", "GatedRepo")
            raise HubError(403, f"{said} and you are not in the authorized list.", "GatedRepo")

    def writable(self, kind, repo_id, call):
        repo = self.readable(kind, repo_id, call.user)
        if call.user != repo.owner or call.token in self.read_only:
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
        return repo
