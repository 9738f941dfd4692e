"""What the Hub answers: one method for each address, by ROUTES. See hub_server.py.

An answer is a `Reply`, or a dict or list that is sent as JSON, or a `HubError` that is raised.
"""

import base64
import hashlib
import json
import re
from collections import namedtuple
from urllib.parse import parse_qs, quote, unquote

from hub_repos import HubError, HubRepos, ignored

Reply = namedtuple("Reply", "status body headers file", defaults=(200, b"", {}, None))
Call = namedtuple("Call", "method path query body headers user token")


class HubApi(HubRepos):
    """`url`, `cdn`: the addresses of the Hub and of its large files."""

    url = cdn = ""

    def whoami(self, call):
        if call.user is None:
            raise HubError(401, "Invalid username or password.")
        role = "read" if call.token in self.read_only else "write"
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        user = {"type": "user", "id": call.user, "name": call.user, "fullname": call.user}
        return user | {"email": None, "isPro": False, "orgs": [], "auth": auth}

    def validate_yaml(self, call):
        card = json.loads(call.body)["content"]
        if not card.startswith("---"):
            said = {"message": "empty or missing yaml metadata in repo card"}
            return {"errors": [], "warnings": [said]}
        if not re.match(r"---\r?\n(.*?\n)?---(\s|$)", card, re.DOTALL):
            said = {"message": "the metadata is not closed by a line of ---"}
            return Reply(400, json.dumps({"errors": [said], "warnings": []}).encode())
        return {"errors": [], "warnings": []}

    def create_or_delete(self, call, what):
        asked = json.loads(call.body)
        kind, owner = asked.get("type") or "model", asked.get("organization") or call.user
        repo_id = f"{owner}/{asked['name']}"
        if call.user is None:
            raise HubError(401, "Invalid username or password.")
        if what == "delete":
            self.writable(kind, repo_id, call)
            del self.repos[kind, repo_id]
            return {}
        if owner != call.user or call.token in self.read_only:
            said = f"You don't have the rights to create a {kind} under the namespace"
            raise HubError(403, f'{said} "{owner}"')
        there = self.repos.get((kind, repo_id))
        repo = there or self.create(repo_id, kind, private=asked.get("visibility") == "private")
        answer = {"url": f"{self.url}/{repo.path}", "name": repo_id}
        if there:
            answer["error"] = f"You already created this {kind} repo: {repo_id}"
        else:
            repo.variables = {each["key"]: each["value"] for each in asked.get("variables", [])}
        return Reply(409 if there else 200, json.dumps(answer).encode())

    def repo_info(self, call, kind, id, revision="main"):
        repo = self.readable(kind, id, call.user)
        commit, first = repo.revision(revision), list(repo.history(revision))[-1]
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        for sibling in siblings if "blobs" in call.query else []:
            entry = self.entry(repo, commit, sibling["rfilename"], False)
            sibling |= {"size": entry["size"], "blobId": entry["oid"]}
            if "lfs" in entry:
                sibling["lfs"] = entry["lfs"] | {"sha256": entry["lfs"]["oid"]}
        info = {"id": id, "_id": first.oid[:24], "author": repo.owner, "sha": commit.oid}
        info |= {"createdAt": first.date, "lastModified": commit.date, "siblings": siblings}
        info |= {"private": repo.private, "gated": repo.gated and "manual", "disabled": False}
        info |= {"downloads": 0, "likes": 0, "tags": []}
        keep = {"_id", "id", *call.query["expand"]} if "expand" in call.query else info
        return {key: value for key, value in info.items() if key in keep}

    def entry(self, repo, commit, path, expand):
        """How a file or folder of a commit is listed."""

        def below(commit):
            return {p: f for p, f in commit.files.items() if p == path or p.startswith(f"{path}/")}

        file, here = commit.files.get(path), below(commit)
        if file is None:
            tree = hashlib.sha1(repr(sorted(here.items())).encode()).hexdigest()
            entry = {"type": "directory", "path": path, "size": 0, "oid": tree}
        else:
            entry = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
            if file.lfs:
                entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 130}
        if expand:
            history = list(repo.history(commit.oid))
            older = [below(c) != here for c in history] + [True]
            last = history[older.index(True) - 1]
            entry["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
        return entry

    def tree(self, call, kind, id, revision, path=""):
        repo = self.readable(kind, id, call.user)
        commit, below, found = repo.revision(revision), f"{path}/" if path else "", set()
        for name in commit.files:
            if name.startswith(below):
                parts = name.removeprefix(below).split("/")
                depth = len(parts) if call.query.get("recursive") == ["true"] else 1
                found |= {below + "/".join(parts[: n + 1]) for n in range(depth)}
        if path and not found:
            raise HubError(404, f"{path} does not exist on {revision}", "EntryNotFound")
        expand = call.query.get("expand") == ["true"]
        return [self.entry(repo, commit, name, expand) for name in sorted(found)]

    def paths_info(self, call, kind, id, revision):
        repo = self.readable(kind, id, call.user)
        commit, asked = repo.revision(revision), parse_qs(call.body.decode())
        folders = {path[: end.start()] for path in commit.files for end in re.finditer("/", path)}
        there, expand = folders | set(commit.files), asked.get("expand") == ["true"]
        return [self.entry(repo, commit, p, expand) for p in asked.get("paths", []) if p in there]

    def refs(self, call, kind, id):
        repo = self.readable(kind, id, call.user)

        def listed(refs, where):
            ref = f"refs/{where}/"
            return [{"name": n, "ref": ref + n, "targetCommit": oid} for n, oid in refs.items()]

        refs = {"branches": listed(repo.branches, "heads"), "tags": listed(repo.tags, "tags")}
        return refs | {"converts": [], "pullRequests": []}

    def branch_or_tag(self, call, kind, id, what, name):
        repo = self.writable(kind, id, call)
        refs = repo.branches if what == "branch" else repo.tags
        if call.method == "DELETE":
            if refs.pop(name, None) is None:
                raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
            return {}
        asked, start = json.loads(call.body or b"{}"), name
        if what == "branch":
            start = asked.get("startingPoint", "main")
        else:
            name = asked["tag"]  # the address of a new tag names the revision that it marks
        if name in refs:
            raise HubError(409, f"Reference already exists: {name}")
        refs[name] = repo.revision(start).oid
        return {}

    def variables(self, call, id):
        repo = self.writable("space", id, call)
        if call.method == "POST":
            asked = json.loads(call.body)
            repo.variables[asked["key"]] = asked["value"]
        return {key: {"value": value} for key, value in repo.variables.items()}

    def preupload(self, call, kind, id, revision):
        repo, asked = self.writable(kind, id, call), json.loads(call.body)
        there, rules = repo.revision(revision).files, asked.get("gitIgnore")
        if rules is None and ".gitignore" in there:
            rules = self.blob(there[".gitignore"].sha256).read_text()
        files = []
        for path, size in [(new["path"], new["size"]) for new in asked["files"]]:
            old, mode = there.get(path), "lfs" if repo.is_large(path, size) else "regular"
            oid = old and (old.sha256 if old.lfs else old.oid)
            file = {"path": path, "uploadMode": mode, "oid": oid}
            files.append(file | {"shouldIgnore": ignored(path, rules or "")})
        return {"files": files}

    def commit(self, call, kind, id, revision):
        """All lines of the request or none: the branch moves in one step, at the end."""
        repo = self.writable(kind, id, call)
        if "create_pr" in call.query:
            raise HubError(400, "Pull requests are not supported by this server.")
        with self.lock:
            if revision not in repo.branches:
                raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            head, title, message = repo.commits[repo.branches[revision]], "", ""
            files = dict(head.files)
            for item in map(json.loads, filter(None, call.body.split(b"\n"))):
                key, value = item["key"], item["value"]
                path = value.get("path", "").rstrip("/")
                if key == "header":
                    title, message = value["summary"], value.get("description", "")
                    if not head.oid.startswith(value.get("parentCommit", "")):
                        said = "A commit has happened since. Please refresh and try again."
                        raise HubError(412, said)
                elif key == "file":
                    files[path] = self.store(base64.b64decode(value["content"]), False)
                elif key == "lfsFile":
                    if not self.blob(value["oid"]).exists():
                        raise HubError(400, f"The content of {path} was not uploaded")
                    files[path] = self.store(self.blob(value["oid"]).read_bytes(), True)
                elif key in ("deletedFile", "deletedFolder"):
                    folder = f"{path}/" if key == "deletedFolder" else path + "\0"
                    gone = {f for f in files if f == path or f.startswith(folder)}
                    if not gone:
                        said = "A file with this name doesn't exist"
                        raise HubError(404, said, "EntryNotFound")
                    files = {f: file for f, file in files.items() if f not in gone}
                else:
                    raise HubError(400, f"Unknown operation {key}")
            oid = repo.commit(revision, files, title, message, call.user)
        url = f"{self.url}/{repo.path}/commit/{oid}"
        return {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""}

    def lfs(self, call, id, what, kind="model"):
        self.writable(kind, id, call)
        asked = json.loads(call.body)
        if what == "verify":
            blob = self.blob(asked["oid"])
            if not blob.exists() or blob.stat().st_size != asked["size"]:
                raise HubError(404, "The uploaded object is not there")
            return {}
        objects = [{"oid": wanted["oid"], "size": wanted["size"]} for wanted in asked["objects"]]
        verify = {"href": self.url + call.path.replace("/batch", "/verify"), "header": {}}
        for wanted in objects:
            if not self.blob(wanted["oid"]).exists():
                upload = {"href": f"{self.cdn}/cdn/{wanted['oid']}", "header": {}}
                wanted["actions"] = {"upload": upload, "verify": verify}
        return {"transfer": "basic", "objects": objects}

    def object(self, call, sha256, path=None):
        if call.method == "PUT":
            if hashlib.sha256(call.body).hexdigest() != sha256:
                raise HubError(400, "The content does not match its SHA-256")
            self.store(call.body, True)
            return {}
        if not self.blob(sha256).exists():
            raise HubError(404, "No such object")
        return _content(call, self.blob(sha256).read_bytes(), {"ETag": f'"{sha256}"'}, path)

    def resolve(self, call, id, revision, path, kind="model"):
        repo = self.readable(kind, id, call.user)
        self.admit(repo, call.user)
        commit = repo.revision(revision)
        file, headers = commit.files.get(path), {"X-Repo-Commit": commit.oid}
        if file is None:
            raise HubError(404, "Entry not found", "EntryNotFound", **headers)
        if file.lfs:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
            location = f"{self.cdn}/cdn/{file.sha256}/{quote(path)}"
            return Reply(302, b"", headers | {"Location": location})
        headers["ETag"] = f'"{file.oid}"'
        return _content(call, self.blob(file.sha256).read_bytes(), headers, path)

    def route(self, call):
        for methods, pattern, name in ROUTES:
            found = re.fullmatch(pattern, call.path)
            if found and call.method in methods.split():
                if call.token and call.user is None and name != "object":
                    raise HubError(401, "Invalid credentials in Authorization header")
                groups = {k: unquote(v) for k, v in found.groupdict().items() if v}
                return getattr(self, name)(call, **groups)
        raise HubError(404, "Sorry, we can't find the page you are looking for.")


_ID, _REV = r"(?P<id>[^/]+(?:/[^/]+)?)", r"(?P<revision>[^/]+)"
_API = rf"/api/(?P<kind>models|datasets|spaces)/{_ID}"
_WEB = rf"/(?:(?P<kind>datasets|spaces)/)?{_ID}"
ROUTES = [
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/validate-yaml", "validate_yaml"),
    ("POST DELETE", r"/api/repos/(?P<what>create|delete)", "create_or_delete"),
    ("GET", rf"{_API}/tree/{_REV}(?:/(?P<path>.+))?", "tree"),
    ("POST", rf"{_API}/paths-info/{_REV}", "paths_info"),
    ("GET", rf"{_API}/refs", "refs"),
    ("POST DELETE", rf"{_API}/(?P<what>branch|tag)/(?P<name>[^/]+)", "branch_or_tag"),
    ("GET POST", rf"/api/spaces/{_ID}/variables", "variables"),
    ("POST", rf"{_API}/preupload/{_REV}", "preupload"),
    ("POST", rf"{_API}/commit/{_REV}", "commit"),
    ("GET", rf"{_API}(?:/revision/{_REV})?", "repo_info"),
    ("POST", rf"{_WEB}\.git/info/lfs/objects/(?P<what>batch|verify)", "lfs"),
    ("GET HEAD PUT", r"/cdn/(?P<sha256>[0-9a-f]{64})(?:/(?P<path>.+))?", "object"),
    ("GET HEAD", rf"{_WEB}/resolve/{_REV}/(?P<path>.+)", "resolve"),
]


def _content(call, data, headers, path):
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"} | headers
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", ""))
    if not asked or asked.groups() == ("", ""):
        return Reply(200, data, headers, path)
    first, last = asked.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= stop:
        raise HubError(416, "Range not satisfiable", **{"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Reply(206, data[start:stop], headers, path)
