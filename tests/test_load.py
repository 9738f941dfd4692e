"""The page with many clients at once: right answers, a bound, flat memory."""

import itertools
import sys
import threading
import time

import pytest
from gradio_client import Client, handle_file
from made import drawing, encode
from test_app import page  # noqa: F401

import benchmark
from model.benchmark import load
from model.classifier import Classifier
from model.labels import LABELS
from model.page.texts import text

PICTURES = [encode(drawing(dx, i)) for i, dx in enumerate(LABELS)]


@pytest.fixture(scope="module")
def port(page):  # noqa: F811
    return int(page.rpartition(":")[2])


@pytest.mark.parametrize("how", ["queued", "run"])
def test_every_client_gets_its_own_pictures_answer(port, trained, how):
    classifier = Classifier(trained)
    found = load.under_load(port, PICTURES * 4, seconds=2, how=how)
    assert found.errors == [] and found.wrong == 0 and len(found.times) >= len(PICTURES) * 4
    alone = [classifier.predict(picture).probabilities for picture in PICTURES]
    assert len({max(p, key=p.get) for p in alone}) >= 5  # a mix-up would be seen
    caller = load.Caller(port)
    for picture, expected in zip(PICTURES, alone):
        shares = caller.run(caller.upload(picture), "analyze")["probabilities"]
        assert shares == pytest.approx(expected, abs=1e-4)
        assert caller.run(caller.inside(picture), "analyze")["probabilities"] == shares


def test_another_pictures_answer_and_errors_are_counted(monkeypatch):
    asked = itertools.count()

    def run(self, sent, name):
        number = next(asked)
        if number == 1:
            raise load.LoadError("500: broken")
        return {"nv": 0.1 if number == 0 else 0.9}

    monkeypatch.setattr(load.Caller, "upload", lambda self, picture: picture)
    monkeypatch.setattr(load.Caller, "run", run)
    found = load.under_load(0, [b""], seconds=0.05, how="run")
    assert found.wrong == len(found.times) > 0
    assert found.errors == ["LoadError: 500: broken"]


# The page with room for two calls, which stay inside while there is no file "go".
SLOW = """
import pathlib, sys, time, uuid
import app
from model.classifier import Classifier
from model.page import limits
run, folder = Classifier.run, pathlib.Path(sys.argv[2])
def slow(self, image):
    if not (folder / "go").exists():
        (folder / f"inside-{uuid.uuid4()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    return run(self, image)
Classifier.run, limits.SEATS, limits.WAITING = slow, 2, 0
app.main(["--model", sys.argv[1]])
"""


def test_past_the_bound_everybody_is_told_so_at_once_and_afterwards_served(trained, tmp_path):
    (tmp_path / "lesion.jpg").write_bytes(PICTURES[0])
    (tmp_path / "go").touch()
    busy = text("en", "error_busy")
    command = [sys.executable, "-c", SLOW, str(trained), str(tmp_path)]
    with load.page(command, PICTURES[0]) as server:
        client = Client(f"http://127.0.0.1:{server.port}", verbose=False)
        callers = [load.Caller(server.port) for _ in range(4)]
        sent = [caller.upload(PICTURES[0]) for caller in callers]
        answers = []

        def ask(caller, picture):
            answers.append(caller.run(picture, "analyze"))

        (tmp_path / "go").unlink()
        threads = [threading.Thread(target=ask, args=each) for each in zip(callers[:2], sent)]
        for thread in threads:
            thread.start()
        while len(list(tmp_path.glob("inside-*"))) < 2:
            assert threads[0].is_alive() and threads[1].is_alive()
            time.sleep(0.02)
        try:
            start = time.monotonic()
            with pytest.raises(load.LoadError, match=busy):  # HTTP
                callers[2].run(sent[2], "analyze")
            assert time.monotonic() - start < 2
            with pytest.raises(load.LoadError, match=busy):  # the queue, as the page asks
                callers[3].queued(sent[3], "predict")
            assert callers[3].shown(sent[3], "id") == {"error": text("id", "error_busy")}
            with pytest.raises(Exception, match=busy):
                client.predict(handle_file(tmp_path / "lesion.jpg"), api_name="/predict")
            assert answers == []
        finally:
            (tmp_path / "go").touch()
        for thread in threads:
            thread.join()
        assert len(answers) == 2 and answers[0]["probabilities"] == answers[1]["probabilities"]
        assert callers[2].run(sent[2], "analyze")["probabilities"] == answers[0]["probabilities"]


def test_a_page_that_does_not_come_up_is_said(tmp_path):
    command = [sys.executable, "app.py", "--model", str(tmp_path)]
    with pytest.raises(load.LoadError, match="not a model folder"):
        with load.page(command, PICTURES[0]):
            pass


def test_growth_leaves_the_warming_up_out():
    assert load.growth([1, 50, 100, 100, 100, 100, 100, 100, 103, 103]) == pytest.approx(0.03)
    assert load.growth([5.0] * 9) == 0


@pytest.mark.nightly
def test_many_calls_leave_no_memory_behind(trained, tmp_path):
    """The ten-minute soak (`benchmark.py --soak 10`) in a few seconds."""
    (row,) = benchmark.main([str(trained), "--soak", "0.1", "--output", str(tmp_path)])
    assert (tmp_path / "soak.csv").exists()
    assert row["errors"] == 0 and row["calls"] > 20 and row["growth"] < 0.05
