"""Starts a piece of work again and again and kills it with SIGKILL, looking after each kill whether
what it left is whole: python tests/killed.py WORK KILLS SEED BASE [ARGUMENT ...]

WORK: train, convert, evaluate (ARGUMENTS as theirs), pull, push (ARGUMENT: the model folder). With
KILLS_AT_RENAMES in the environment the kills are not at random times but one before and one after
each rename, in turn. Libraries are imported once and each run is a fork. Prints JSON.
"""

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
    """The process of a fork that does `work`, silently; its status is 0 where that ends well."""
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
    """From here on, the rename of that number ends the process: before it, odd; after it, even."""
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


def many(work, check, kills: int, rng: random.Random) -> dict:
    """`work()` killed `kills` times and then let end; `check()` after each. It may end before a
    kill comes, and then begins anew. `check` raises where something is amiss."""
    begun = time.monotonic()
    assert os.waitpid(forked(work), 0)[1] == 0, "it does not even work without a kill"
    check()
    length, killed, ended = time.monotonic() - begun, 0, 0
    step = 1
    while killed < kills:
        if "KILLS_AT_RENAMES" in os.environ:
            number, step = step, step + 1
            status = os.waitpid(forked(lambda: (die_at(number), work())), 0)[1]
            if status == 0:  # past the last rename
                break
        else:
            pid = forked(work)
            time.sleep(rng.uniform(0, length))
            os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        assert status in (0, signal.SIGKILL), f"it ended with {status}"
        killed, ended = killed + (status != 0), ended + (status == 0)
        check()
    assert os.waitpid(forked(work), 0)[1] == 0, "it does not end well any more"
    check()
    return {"kills": killed, "ended before": ended, "seconds of a run": round(length, 1)}


def training(base, arguments):
    import model.hub.push
    import model.training.record
    import model.training.trainer  # noqa: F401 - here, and not in each fork
    import train

    number = 0

    def output():
        return base / f"run-{number}"

    def work():
        train.main([*arguments, "--output", str(output()), "--resume"])

    def check():
        nonlocal number
        if output().exists():  # then it is whole, and another begins
            f.verify(output())
            assert f.read_config(output())["training"]["epochs_run"] == 4
            number += 1

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


def main(work, kills, seed, base, *arguments):
    base = Path(base)
    if work == "train":
        parts = training(base, arguments)
    elif work == "pull":
        parts = pulling(base)
    elif work == "push":
        parts = pushing(base, Path(arguments[0]))
    else:
        script = __import__(work)
        parts = folder_work(script, Path(arguments[0]), arguments[1:])
    print(json.dumps(many(*parts, int(kills), random.Random(int(seed)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
