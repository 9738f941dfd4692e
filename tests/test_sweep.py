import time

from model.page.sweep import EVERY, KEEP, keep_swept, sweep


def test_nothing_outlives_the_hour():
    assert EVERY + KEEP < 3600


def test_sweep_deletes_old_files_and_empty_folders_only(tmp_path):
    old = tmp_path / "a" / "old.webp"
    old.parent.mkdir()
    old.write_bytes(b"1")
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


def test_folder_is_for_this_user_alone(tmp_path):
    keep_swept(tmp_path / "pictures")
    assert (tmp_path / "pictures").stat().st_mode & 0o077 == 0
