"""A clone of this repository, as people on other systems get it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from model.folder import verify

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a git checkout"
)
def test_a_clone_with_the_line_ends_of_windows_has_the_same_bytes(tmp_path):
    clone = tmp_path / "clone"
    windows = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    subprocess.run(["git", *windows, "clone", "-q", "--no-local", ROOT, clone], check=True)
    for model in ("bundled", "compact"):
        verify(clone / "model" / model)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=clone, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0")[:-1]:
        stored = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=clone, capture_output=True)
        assert (clone / name).read_bytes() == stored.stdout, name
