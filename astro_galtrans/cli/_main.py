"""The command itself: it runs a verb, and says where results, messages and errors go."""

import logging
import os
import sys
import time
import warnings
from contextlib import contextmanager, redirect_stdout

from astro_galtrans import __version__
from astro_galtrans.cli._common import as_json
from astro_galtrans.cli._parser import make_parser

__all__ = ["main"]

_LOG = logging.getLogger("astro_galtrans")
_EXPECTED = (ValueError, TypeError, OSError, ImportError, KeyError, ArithmeticError, MemoryError)


def main(arguments=None):
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the process.

    Returns
    -------
    int
        Exit status: 0, 2 on an error, 130 when interrupted.
    """
    try:
        options = make_parser().parse_args(arguments)
    except SystemExit as stop:
        return stop.code or 0
    started = time.perf_counter()
    try:
        with _messages(options):
            _run(options)
            sys.stdout.flush()  # here, and not at exit, where a reader that has gone would be a traceback
            _LOG.info("astro_galtrans %s, done after %.1f s", __version__, time.perf_counter() - started)
    except KeyboardInterrupt as interrupt:
        _say("interrupted" + (f": {interrupt}" if str(interrupt) else ""))
        return 130
    except BrokenPipeError:
        # whoever read the output has gone; nothing more is to be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except Exception as error:
        if options.debug:
            raise
        _say(f"error: {_told(error)}")
        return 2
    return 0


def _run(options):
    """Run the verb; what it made goes to standard output, as lines or as one JSON object."""
    if options.json:
        with redirect_stdout(sys.stderr):  # whatever a library prints would break the object
            result = options.run(options)
        print(as_json({"verb": options.verb, **result.data}))
        return
    for line in options.run(options).lines:
        print(line)


def _told(error):
    """An error in one line."""
    if isinstance(error, OSError) and error.strerror:
        text = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    elif isinstance(error, KeyError) and error.args:
        text = str(error.args[0])
    else:
        text = " ".join(str(error).split())
    for name in ("overwrite", "resume"):  # as the functions call them
        text = text.replace(f"{name}=True", f"--{name}")
    if isinstance(error, MemoryError):
        text = f"not enough memory: {text}"
    if not isinstance(error, _EXPECTED) or not text:
        text = f"{type(error).__name__}: {text} (--debug shows where)"
    return text


def _say(text):
    """One line on standard error, not into a progress bar."""
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(f"galtrans: {text}", file=sys.stderr)
    else:
        print(f"galtrans: {text}", file=sys.stderr)


class _LogLines(logging.Handler):
    def emit(self, record):
        _say(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def _messages(options):
    """Warnings and log records as lines on standard error, while a verb runs."""
    def show(message, category, filename, lineno, file=None, line=None):
        _say(f"warning: {' '.join(str(message).split())}")

    handler, level = _LogLines(), _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO if options.verbose else logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("default")
                # of libraries, for those who develop with them
                for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning):
                    warnings.simplefilter("ignore", category)
            warnings.showwarning = show
            yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)
