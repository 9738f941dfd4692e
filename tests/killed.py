"""Starts a piece of work again and again, kills it with SIGKILL, and checks after each kill that
what it left is whole: python tests/killed.py WORK KILLS BASE [ARGUMENT ...]

WORK: change, convert, evaluate, push (ARGUMENT: the model folder, then the script's own options),
train (ARGUMENTS: train.py's options), pull. KILLS: a number of kills at random times; or "renames",
one kill before and one after each rename, in turn. Libraries are imported once: each run is a fork.
Prints JSON.
"""

import importlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from model import folder as f


def forked(work) -> int:
    """Run `work` in a fork, without output. Returns its process id; its status is 0 on success."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
        work()
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    os._exit(status)


def die_at(number: int) -> None:
    """Let this process die at a rename: number 1 is before the first, 2 after it, 3 before the
    second, and so on."""
    count = 0

    def counted(call):
        def wrapper(*arguments, **options):
            nonlocal count
            for after in (False, True):
                if after:
                    result = call(*arguments, **options)
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapper

    os.replace, os.rename, f._exchange = map(counted, (os.replace, os.rename, f._exchange))


def many(work, check, kills: str) -> dict:
    """Kill `work()` as `kills` says, then let it end. `check()`, after each run, raises if anything
    is amiss. Runs that end before their kill do not count."""
    begun = time.monotonic()
    assert os.waitpid(forked(work), 0)[1] == 0, "it fails even without a kill"
    check()
    length = time.monotonic() - begun
    attempts = at_renames(work) if kills == "renames" else at_random(work, int(kills), length)
    killed = ended = 0
    for status in attempts:
        assert status in (0, signal.SIGKILL), f"it ended with {status}"
        killed, ended = killed + (status != 0), ended + (status == 0)
        check()
    assert os.waitpid(forked(work), 0)[1] == 0, "it fails after the kills"
    check()
    return {"kills": killed, "ended before": ended, "seconds of a run": round(length, 1)}


def at_renames(work):
    """Exit statuses of runs killed at each rename, until a run has no more of them."""
    for number in itertools.count(1):
        status = os.waitpid(forked(lambda: (die_at(number), work())), 0)[1]
        if status == 0:
            return
        yield status


def at_random(work, kills: int, length: float):
    """Exit statuses of runs killed within `length` seconds, until `kills` of them were killed."""
    rng = random.Random(1)
    while kills:
        pid = forked(work)
        time.sleep(rng.uniform(0, length))
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        kills -= status != 0
        yield status


def training(base, arguments):
    import model.hub.push
    import model.training.run_folder
    import model.training.trainer  # noqa: F401 - here, and not in each fork
    import train

    number = 0

    def output():
        return base / f"run-{number}"

    def work():
        train.main([*arguments, "--output", str(output()), "--resume"])

    def check():
        nonlocal number
        if output().exists():  # it must be whole; the next run makes another
            f.verify(output())
            assert f.read_config(output())["training"]["epochs_run"] == 4
            number += 1

    return work, check


def changing(folder):
    def work():
        now = time.time()
        with f.changing(folder) as new:
            for name in (f.TFLITE, f.CONFIG, f.METRICS):
                f.write_json(new / name, {"at": now})
            f.write_checksums(new)

    def check():
        f.verify(folder)
        assert len({f.read_json(folder / name)["at"] for name in f.read_checksums(folder)}) == 1

    return work, check


def folder_work(script, folder, arguments):
    def work():
        script.main([str(folder), *arguments])

    def check():
        f.verify(folder)
        f.read_config(folder)

    return work, check


def pulling(base):
    from model.hub.pull import pull

    store = base / "cache" / "models--ann--lesions"

    def work():
        pull("ann/lesions", None, cache=base / "cache")

    def check():
        pointer = store / "refs" / "main"
        if pointer.exists():
            f.verify(store / "snapshots" / pointer.read_text())
            shutil.rmtree(base / "cache")

    return work, check


def pushing(base, folder):
    from model.hub.pull import HubError, pull
    from model.hub.push import push

    def work():
        (folder / "history.csv").write_text(str(time.time()))
        f.write_checksums(folder)
        push(folder, "ann/pushed")

    def whole():
        with tempfile.TemporaryDirectory(dir=base) as cache:
            try:
                f.verify(pull("ann/pushed", None, cache=cache).folder)
            except HubError as error:  # nothing has arrived yet
                if "no SHA256SUMS" not in str(error) and "no model" not in str(error):
                    raise

    def check():
        f.verify(folder, [f.CONFIG, f.TFLITE])
        assert os.waitpid(forked(whole), 0)[1] == 0

    return work, check


def main(work, kills, base, *arguments):
    base = Path(base)
    if work == "train":
        parts = training(base, arguments)
    elif work == "pull":
        parts = pulling(base)
    elif work == "push":
        parts = pushing(base, Path(arguments[0]))
    elif work == "change":
        parts = changing(Path(arguments[0]))
    else:
        script = importlib.import_module(work)
        parts = folder_work(script, Path(arguments[0]), arguments[1:])
    print(json.dumps(many(*parts, kills)))


if __name__ == "__main__":
    main(*sys.argv[1:])
