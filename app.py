"""The page: classifies a dermatoscopic picture and shows which places in it speak for the answer.

    python app.py                          the bundled model, on http://127.0.0.1:7860
    python app.py --model runs/NAME        another model folder (or the environment variable MODEL)
    python app.py --model USER/NAME        one on the Hugging Face Hub; also USER/NAME@REVISION
    python app.py --examples FOLDER        example pictures from this data set, a folder or Hub id
                                           (or the environment variable EXAMPLES)
    python app.py --share                  with a public link

Programs use gradio_client, HTTP, or the MCP tools at /gradio_api/mcp/:
    /predict    picture to {diagnosis: probability}
    /analyze    picture to everything, as JSON

Uploads are kept for less than an hour, in a new folder within GRADIO_TEMP_DIR (default: the
system's temporary folder). If the port (GRADIO_SERVER_PORT, default: 7860) is taken, the page takes
the next free one. With MALLOC_ARENA_MAX=1 the process keeps about 70 MB less after many calls.
"""

import argparse
import os
import signal
import sys
from urllib.parse import urlsplit

from model.packages import name_missing

name_missing("requirements.txt")

from model.classifier import Classifier
from model.folder import BUNDLED, UserError, errors_in_words, print_any_sign
from model.page.limits import INTERPRETERS
from model.page.proxy import spare_own_address
from model.page.uploads import keep_swept, own_folder


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="app.py [OPTION ...]   (--help explains the options)",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    model, examples = os.environ.get("MODEL") or str(BUNDLED), os.environ.get("EXAMPLES")
    parser.add_argument("--model", default=model, help="model folder, or USER/NAME[@REVISION]")
    parser.add_argument("--examples", default=examples, help="data set (default: the model's own)")
    parser.add_argument("--share", action="store_true", help="open a public link")
    return parser.parse_args(arguments)


def main(arguments=None) -> None:
    args = parse(arguments)
    spare_own_address()
    with errors_in_words("app.py"):
        classifier = Classifier.from_pretrained(args.model, threads=1, workers=INTERPRETERS)
        port = os.environ.get("GRADIO_SERVER_PORT", "7860")
        if not port.isdecimal():
            raise UserError(f"GRADIO_SERVER_PORT is {port!r}: set it to a number, such as 7860.")
        folder = own_folder(os.environ.get("GRADIO_TEMP_DIR"))
    keep_swept(folder)
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
    try:
        _, address, _ = page.launch(share=args.share, prevent_thread_lock=True, **options)
    except OSError as error:  # no port is free
        sys.exit(f"app.py: {error}")
    if urlsplit(address).port != int(port):
        print(f"Port {port} is taken; the page is at {address}", flush=True)
    page.block_thread()


if __name__ == "__main__":
    print_any_sign()
    main()
