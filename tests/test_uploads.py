import os
import re
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest

from model.folder import UserError
from model.page.uploads import EVERY, KEEP, SIGN, look_after, own_folder, remove_abandoned, sweep


def test_nothing_outlives_the_hour():
    assert EVERY + KEEP < 3600


def test_each_page_has_a_folder_of_its_own_for_this_user_alone(tmp_path):
    parent = tmp_path / "shared"
    parent.mkdir()
    parent.chmod(0o777)
    one, two = own_folder(parent), own_folder(parent)
    assert one != two and one.parent == two.parent == parent
    for folder in (one, two):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and list(folder.iterdir()) == []
    assert own_folder(tmp_path / "new" / "deep").is_dir()


def test_a_relative_parent_gives_an_absolute_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert own_folder("uploads").is_absolute()


def test_nothing_of_the_users_is_deleted_beside_the_folder(tmp_path):
    """GRADIO_TEMP_DIR may name any folder, such as /tmp or a home."""
    kept = [tmp_path / "thesis.doc", tmp_path / "lesion-page-pictures" / "mine.jpg"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1")
    (tmp_path / "lesion-page-link").symlink_to(kept[1].parent)
    folder = own_folder(tmp_path)
    (folder / "old.jpg").write_bytes(b"2")
    sweep(folder, keep=-1)
    remove_abandoned(folder, keep=-1)
    assert all(path.read_bytes() == b"1" for path in kept) and list(folder.iterdir()) == []


def test_what_a_killed_page_left_is_removed_by_another_of_the_same_user(tmp_path):
    killed, running, own = (own_folder(tmp_path) for _ in range(3))
    for folder in (killed, running, own):
        (folder / SIGN).touch()
        (folder / "x.jpg").write_bytes(b"1")
    long_ago = time.time() - KEEP - 1
    os.utime(killed / SIGN, (long_ago, long_ago))
    remove_abandoned(own)
    assert not killed.exists() and (running / "x.jpg").exists() and (own / "x.jpg").exists()
    if os.getuid() == 0:
        os.utime(running / SIGN, (long_ago, long_ago))
        os.chown(running, 65534, 65534)
        remove_abandoned(own)
        assert (running / "x.jpg").exists()


def test_sweep_deletes_old_files_and_empty_folders_only(tmp_path):
    old = tmp_path / "a" / "old.webp"
    old.parent.mkdir()
    old.write_bytes(b"1")
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    time.sleep(0.3)
    new = tmp_path / "b" / "new.webp"
    new.parent.mkdir()
    new.write_bytes(b"2")
    sweep(tmp_path, keep=0.2)
    assert not old.exists() and new.read_bytes() == b"2"
    time.sleep(0.3)
    sweep(tmp_path, keep=0.2)
    sweep(tmp_path, keep=-1)
    assert list(tmp_path.iterdir()) == []
    sweep(tmp_path / "none")


def test_sweeping_goes_on_while_files_and_folders_vanish_under_it(tmp_path, caplog):
    folder = own_folder(tmp_path)
    end = time.monotonic() + 3

    def churn(number):
        while time.monotonic() < end:
            for i in range(20):
                deep = folder / f"{number}-{i}" / "a" / "b"
                deep.mkdir(parents=True)
                (deep / "x.jpg").write_bytes(b"1")
            for i in range(20):
                shutil.rmtree(folder / f"{number}-{i}")

    churning = [threading.Thread(target=churn, args=(n,)) for n in range(2)]
    for each in churning:
        each.start()
    rounds = 0
    while time.monotonic() < end:
        look_after(folder)
        rounds += 1
    for each in churning:
        each.join()
    assert rounds > 5 and not caplog.records
    sweep(folder, keep=-1)
    assert list(folder.iterdir()) == []


def test_sweeping_goes_on_after_any_error_and_logs_it(tmp_path, caplog):
    folder = own_folder(tmp_path)
    folder.rmdir()
    look_after(folder)
    assert f"Sweeping {folder} failed and will be tried again: " in caplog.text
    folder.mkdir()
    look_after(folder)
    assert (folder / SIGN).exists() and len(caplog.records) == 1


def test_what_cannot_be_deleted_is_logged_without_its_name(caplog):
    place = Path("/proc/sys/kernel/random")  # where not even root may delete
    if not (place / "boot_id").exists():
        pytest.skip("needs Linux")
    sweep(place, keep=-1)
    assert f"A file in {place} cannot be deleted: " in caplog.text and "boot_id" not in caplog.text


@pytest.mark.parametrize(
    "kind, reason",
    [
        ("file", "Not a directory"),
        ("in a file", "Not a directory"),
        ("not writable", "(Operation not permitted|Permission denied)"),
    ],
)
def test_a_folder_that_cannot_be_used_ends_in_a_sentence(tmp_path, kind, reason):
    (tmp_path / "file").write_bytes(b"1")
    places = {"file": tmp_path / "file", "in a file": tmp_path / "file" / "x"}
    place = places.get(kind, "/sys/uploads")  # where not even root may write
    with pytest.raises(UserError) as caught:
        own_folder(place)
    expected = (
        rf"Pictures cannot be kept in {place}: {reason}\. Set GRADIO_TEMP_DIR to a folder that you "
        r"can write to, on a disk with some room\."
    )
    assert re.fullmatch(expected, str(caught.value))
