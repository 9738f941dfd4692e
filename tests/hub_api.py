"""What the Hub answers: one method for each address, by ROUTES. See hub_server.py.

A method returns a `Reply`, or a dict or list to send as JSON, or raises `HubError`.
"""

import base64
import json
import re
from collections import namedtuple
from urllib.parse import quote, unquote

import hub_rules
from hub_repos import HubError, HubRepos

Reply = namedtuple("Reply", "status body headers file", defaults=(200, b"", {}, None))
Call = namedtuple("Call", "method path query body headers user token")


class HubApi(HubRepos):
    """`url`, `cdn`: the addresses of the Hub and of its large files."""

    url = cdn = ""

    def whoami(self, call):
        role = "read" if call.token in self.read_only else "write"
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        user = {"type": "user", "id": call.user, "name": call.user, "fullname": call.user}
        return user | {"email": None, "isPro": False, "orgs": [], "auth": auth}

    def validate_yaml(self, call):
        asked = json.loads(call.body)
        errors, warnings = hub_rules.answer(asked["content"], asked["repoType"])
        said = {"errors": errors, "warnings": warnings}
        said = {key: [{"message": message} for message in said[key]] for key in said}
        return Reply(400 if errors else 200, json.dumps(said).encode())

    def create_repo(self, call):
        asked = json.loads(call.body)
        kind, owner = asked.get("type") or "model", asked.get("organization") or call.user
        if call.user is None:
            raise HubError(401, "Invalid username or password.")
        if owner != call.user or call.token in self.read_only:
            raise HubError(403, f'You may not create a {kind} under the namespace "{owner}"')
        repo_id = f"{owner}/{asked['name']}"
        there = self.repos.get((kind, repo_id))
        repo = there or self.create(repo_id, kind, private=asked.get("visibility") == "private")
        answer = {"url": f"{self.url}/{repo.path}", "name": repo_id}
        if there:
            answer["error"] = f"You already created this {kind} repo: {repo_id}"
        return Reply(409 if there else 200, json.dumps(answer).encode())

    def repo_info(self, call, kind, id, revision="main"):
        repo = self.readable(kind, id, call.user)
        commit, first = repo.revision(revision), list(repo.history(revision))[-1]
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        info = {"id": id, "_id": first.oid[:24], "author": repo.owner, "sha": commit.oid}
        info |= {"createdAt": first.date, "lastModified": commit.date, "siblings": siblings}
        info |= {"private": repo.private, "gated": repo.gated and "manual", "disabled": False}
        info |= {"downloads": 0, "likes": 0, "tags": []}
        keep = {"_id", "id", *call.query["expand"]} if "expand" in call.query else info
        return {key: value for key, value in info.items() if key in keep}

    def tree(self, call, kind, id, revision, path=""):
        commit = self.readable(kind, id, call.user).revision(revision)
        below, found = f"{path}/" if path else "", set()
        for name in commit.files:
            if name.startswith(below):
                parts = name.removeprefix(below).split("/")
                depth = len(parts) if call.query.get("recursive") == ["true"] else 1
                found |= {below + "/".join(parts[: n + 1]) for n in range(depth)}
        if path and not found:
            raise HubError(404, f"{path} does not exist on {revision}", "EntryNotFound")
        return [_listed(path, commit.files.get(path)) for path in sorted(found)]

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
            del refs[name]
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

    def job(self, call, owner):
        """Take a job into `jobs` and run nothing."""
        if owner != call.user:
            raise HubError(403, f"You may not run jobs in the namespace {owner}")
        self.jobs.append(json.loads(call.body))
        who = {"id": owner, "name": owner, "type": "user"}
        return {"id": f"{len(self.jobs):024x}", "owner": who, "status": {"stage": "SCHEDULING"}}

    def preupload(self, call, kind, id, revision):
        repo, files = self.writable(kind, id, call), []
        there = repo.revision(revision).files
        for new in json.loads(call.body)["files"]:
            path, old = new["path"], there.get(new["path"])
            mode = "lfs" if repo.is_large(path, new["size"]) else "regular"
            oid = old and (old.sha256 if old.lfs else old.oid)
            files.append({"path": path, "uploadMode": mode, "oid": oid, "shouldIgnore": False})
        return {"files": files}

    def commit(self, call, kind, id, revision):
        """All lines of the request or none: the branch moves in one step, at the end."""
        repo = self.writable(kind, id, call)
        with self.lock:
            head, title, message = repo.revision(revision), "", ""
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
                    files[path] = self.store(self.blob(value["oid"]).read_bytes(), True)
                else:  # deletedFile or deletedFolder
                    folder = f"{path}/" if key == "deletedFolder" else path + "\0"
                    gone = {f for f in files if f == path or f.startswith(folder)}
                    if not gone:
                        said = "A file with this name doesn't exist"
                        raise HubError(404, said, "EntryNotFound")
                    files = {f: file for f, file in files.items() if f not in gone}
            oid = repo.commit(revision, files, title, message, call.user)
        url = f"{self.url}/{repo.path}/commit/{oid}"
        return {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""}

    def lfs(self, call, id, what, kind="model"):
        self.writable(kind, id, call)
        if what == "verify":
            return {}
        objects = json.loads(call.body)["objects"]
        objects = [{"oid": wanted["oid"], "size": wanted["size"]} for wanted in objects]
        verify = {"href": self.url + call.path.replace("/batch", "/verify"), "header": {}}
        for wanted in objects:
            if not self.blob(wanted["oid"]).exists():
                upload = {"href": f"{self.cdn}/cdn/{wanted['oid']}", "header": {}}
                wanted["actions"] = {"upload": upload, "verify": verify}
        return {"transfer": "basic", "objects": objects}

    def object(self, call, sha256, path=None):
        if call.method == "PUT":
            if self.store(call.body, True).sha256 != sha256:
                raise HubError(400, "The content does not match its SHA-256")
            return {}
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
    ("POST", r"/api/repos/create", "create_repo"),
    ("GET", rf"{_API}/tree/{_REV}(?:/(?P<path>.+))?", "tree"),
    ("GET", rf"{_API}/refs", "refs"),
    ("POST DELETE", rf"{_API}/(?P<what>branch|tag)/(?P<name>[^/]+)", "branch_or_tag"),
    ("GET POST", rf"/api/spaces/{_ID}/variables", "variables"),
    ("POST", r"/api/jobs/(?P<owner>[^/]+)", "job"),
    ("POST", rf"{_API}/preupload/{_REV}", "preupload"),
    ("POST", rf"{_API}/commit/{_REV}", "commit"),
    ("GET", rf"{_API}(?:/revision/{_REV})?", "repo_info"),
    ("POST", rf"{_WEB}\.git/info/lfs/objects/(?P<what>batch|verify)", "lfs"),
    ("GET HEAD PUT", r"/cdn/(?P<sha256>[0-9a-f]{64})(?:/(?P<path>.+))?", "object"),
    ("GET HEAD", rf"{_WEB}/resolve/{_REV}/(?P<path>.+)", "resolve"),
]


def _listed(path, file):
    """The entry of a file, or where `file` is None, of a folder, in a listing."""
    if file is None:
        return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
    entry = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
    lfs = {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 130}}
    return entry | (lfs if file.lfs else {})


def _content(call, data, headers, path):
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"} | headers
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("Range", ""))
    if not asked:
        return Reply(200, data, headers, path)
    start, stop = int(asked[1]), min(int(asked[2] or len(data)) + 1, len(data))
    if start >= stop:
        raise HubError(416, "Range not satisfiable", **{"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Reply(206, data[start:stop], headers, path)
