"""The page: classifies dermatoscopic pictures and shows where in them the evidence lies.

    python app.py                          the bundled model, on http://127.0.0.1:7860
    python app.py --model runs/NAME        another model folder (or the environment variable MODEL)
    python app.py --model USER/NAME        one on the Hugging Face Hub; also USER/NAME@REVISION
    python app.py --examples FOLDER        example pictures from this data set, a folder or Hub id
                                           (or the environment variable EXAMPLES)
    python app.py --port 8000              another port (or GRADIO_SERVER_PORT)
    python app.py --host 0.0.0.0           for other machines too (or GRADIO_SERVER_NAME)
    python app.py --share                  with a public link

Programs use gradio_client, HTTP, or MCP at /gradio_api/mcp/:
    /predict       picture to {diagnosis: probability}
    /analyze       picture to everything, as JSON
    /model_card    the model card, as Markdown

Without --port, the page takes the next free port if its own is taken. Uploads are kept for less
than an hour, in a new folder within GRADIO_TEMP_DIR (default: the system's temporary folder). With
MALLOC_ARENA_MAX=1 the process keeps about 70 MB less after many calls.
"""

import argparse
import os
import signal
import socket
import sys
from urllib.parse import urlsplit

from model.packages import name_missing

name_missing("requirements.txt")

from model.classifier import Classifier
from model.folder import BUNDLED, UserError, errors_in_words, print_any_sign
from model.page.limits import INTERPRETERS
from model.page.proxy import LOOPBACK, spare_own_address
from model.page.uploads import keep_swept, own_folder


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="app.py [OPTION ...]   (--help explains the options)",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    model, examples = os.environ.get("MODEL") or str(BUNDLED), os.environ.get("EXAMPLES")
    host = os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    parser.add_argument("--model", default=model, help="model folder, or USER/NAME[@REVISION]")
    parser.add_argument("--examples", default=examples, help="data set (default: bundled pictures)")
    parser.add_argument("--port", help="TCP port (default: 7860, or the next free one)")
    parser.add_argument("--host", default=host, help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--share", action="store_true", help="open a public link")
    return parser.parse_args(arguments)


def check_address(host: str, port: int) -> None:
    """Raise UserError if the page cannot listen at `port` of `host`; 0 stands for any port."""
    try:
        socket.create_server((host, 0)).close()
    except OSError:
        raise UserError(
            f"The page cannot listen at {host}: give a name or an IPv4 address of this machine as "
            "--host, or 0.0.0.0 for all of them."
        ) from None
    try:
        socket.create_server((host, port)).close()
    except OSError:
        raise UserError(f"Port {port} is taken or reserved: choose another --port.") from None


def main(arguments=None) -> None:
    args = parse(arguments)
    with errors_in_words("app.py"):
        if not args.model:
            raise UserError("--model is empty: name a folder, such as model/compact, or USER/NAME.")
        port = args.port or os.environ.get("GRADIO_SERVER_PORT") or "7860"
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise UserError(f"There is no port {port!r}: choose a number from 1 to 65535.")
        check_address(args.host, int(args.port or 0))
        os.environ["GRADIO_SERVER_NAME"] = args.host
        spare_own_address()
        classifier = Classifier.from_pretrained(args.model, threads=1, workers=INTERPRETERS)
        folder = own_folder(os.environ.get("GRADIO_TEMP_DIR"))
    # Gradio reads the environment when it is imported. The last three turn off telemetry and the
    # log of calls, whose statistics Gradio would recompute after every call.
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)
    from model.page.page import build

    page, options = build(classifier, folder, args.model, args.examples)
    # SIGTERM ends the page as Ctrl-C does, so that the folder is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options |= {"server_port": int(port) if args.port else None, "share": args.share}
    try:
        # Quiet, since Gradio's hints are for those who call launch(). It prints the public link all
        # the same.
        _, address, _ = page.launch(quiet=True, prevent_thread_lock=True, **options)
    except OSError:
        sys.exit(f"app.py: No port from {port} on is free: choose another --port.")
    keep_swept(folder)  # from now on, as a start that fails removes the folder
    taken = urlsplit(address).port != int(port)
    print(
        f"Port {port} is taken; the page is at {address}" if taken else f"The page is at {address}"
    )
    if args.host in LOOPBACK and not args.share:
        print("A public link: python app.py --share")
    sys.stdout.flush()
    page.block_thread()


if __name__ == "__main__":
    print_any_sign()
    main()
