"""The packages that a script needs: what it says where one is missing."""

import importlib.util
import os
import sys
from pathlib import Path

from model.folder import UserError

BACKENDS = ("tensorflow", "jax", "torch")


def name_missing(requirements: str) -> None:
    """From here on, a package that is not installed ends the script with a sentence that names
    `requirements`, a file for pip. A script calls this before it imports packages."""
    usual = sys.excepthook

    def in_words(kind, error, trace):
        package = (getattr(error, "name", None) or "model").partition(".")[0]
        if not issubclass(kind, ModuleNotFoundError) or package == "model":
            return usual(kind, error, trace)
        print(
            f"{Path(sys.argv[0]).name}: the package {package} is not installed. Install all that "
            f"this script needs: pip install -r {requirements}",
            file=sys.stderr,
        )

    sys.excepthook = in_words


def check_backend() -> None:
    """Raise UserError, before any work, if KERAS_BACKEND names no backend that is installed."""
    name = os.environ.get("KERAS_BACKEND")
    if name and name not in BACKENDS:
        raise UserError(
            f"KERAS_BACKEND is {name!r}, which is not a backend: set it to "
            f"{', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}."
        )
    if name and importlib.util.find_spec(name) is None:
        raise UserError(
            f"KERAS_BACKEND is {name}, and {name} is not installed: install it, or choose another "
            f"of {', '.join(BACKENDS)}."
        )
