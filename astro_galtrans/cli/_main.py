"""The command: run a subcommand, and write results, messages and errors."""

import logging
import os
import re
import sys
import time
import warnings
from contextlib import contextmanager, redirect_stdout

from astro_galtrans import __version__
from astro_galtrans._utils.signals import TERMINATED, interrupted_by_sigterm
from astro_galtrans.cli._common import as_json
from astro_galtrans.cli._parser import make_parser, option_names

__all__ = ["main"]

_LOG = logging.getLogger("astro_galtrans")
_EXPECTED = (ValueError, TypeError, OSError, ImportError, KeyError, ArithmeticError, MemoryError)
# A keyword of Python, as overwrite=True, mask_bits=(), unit='adu' or unit=
_KEYWORD = re.compile(r"\b([a-z]\w*)=(True|False|'([^']*)'|\(\)|(?=[\s,.;)]|$))")
# The argument that a message is about, as in "n_samples must be at least 1".
_ARGUMENT = re.compile(r"(?:^|(?<=: ))(\w+)(?= (?:must|is|has|have|needs|cannot|was)\b)")
# Instead of keywords that no subcommand has as an option.
_WITHOUT_OPTION = {
    "hdu": "the path as file.fits[HDU]", "psf": "an HDU PSF of the file", "bands": "BANDS in the header",
    "survey": "SURVEY in the header", "unit": "BUNIT in the header",
}
_OF_PAIR = {"survey": "--input-survey or --target-survey", "bands": "--input-bands or --target-bands"}
_OF_PHOTOZ = {"by": "--bins"}


def main(arguments=None):
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the process.

    Returns
    -------
    int
        Exit status: 0, 2 on an error, 130 when interrupted, 143 when terminated by SIGTERM.
    """
    try:
        options = make_parser().parse_args(arguments)
    except SystemExit as stop:
        return stop.code or 0
    started = time.perf_counter()
    with interrupted_by_sigterm() as received:
        status = _status_of(options, started, received)
    return TERMINATED if received else status


def _status_of(options, started, received):
    """Run the subcommand and return its exit status."""
    try:
        with _messages(options):
            _run(options)
            sys.stdout.flush()  # a closed pipe is handled here, and not as a traceback at exit
            _LOG.info("astro_galtrans %s, done after %.1f s", __version__, time.perf_counter() - started)
    except KeyboardInterrupt as interrupt:
        _say(("terminated" if received else "interrupted") + (f": {interrupt}" if str(interrupt) else ""))
        return 130
    except BrokenPipeError:
        # The reader of the output has gone; nothing more is flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except Exception as error:
        if options.debug:
            raise
        _say(f"error: {in_terms_of_options(_in_one_line(error), options.subcommand)}")
        return 2
    return 0


def _run(options):
    """Run the subcommand; its result goes to standard output, as lines or as one JSON object."""
    if options.json:
        with redirect_stdout(sys.stderr):  # output of a library would break the object
            result = options.run(options)
        print(as_json({"verb": options.subcommand, **result.data}))
        return
    for line in options.run(options).lines:
        print(line)


def _in_one_line(error):
    if isinstance(error, OSError) and error.strerror:
        text = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    elif isinstance(error, KeyError) and error.args:
        text = str(error.args[0])
    else:
        text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        text = f"not enough memory: {text}"
    if not isinstance(error, _EXPECTED) or not text:
        text = f"{type(error).__name__}: {text} (--debug shows where)"
    return text


def in_terms_of_options(text, subcommand):
    """Return a message with the options of a subcommand in place of the keywords of Python functions."""
    known = option_names(subcommand)
    if subcommand == "pair":
        known |= _OF_PAIR
        if "BUNIT" in text:
            del known["unit"]  # --unit is that of the positions
    if subcommand == "photoz":
        known |= _OF_PHOTOZ
    if "ra" not in known:
        text = text.replace(", or named with ra= and dec=", "")
    training = {name: f"{flag} of galtrans train" for name, flag in option_names("train").items()}

    def keyword(match):
        name, value, quoted = match.groups()
        if name not in known:
            return _WITHOUT_OPTION.get(name, match.group())
        if value == "()":
            return f"{known[name]} none"
        return f"{known[name]} {quoted}" if quoted else known[name]

    if subcommand == "train":
        text = re.sub(r"^(?=(backbone|objective) '[^']*' has no option)", r"--\1-option: ", text)
        text = re.sub(r"^(?=backbone '[^']*' cannot be built with \w+=)", "--backbone-option: ", text)
    text = re.sub(r"[;,:]? \S+\.select\(.*\) leaves them out", "", text)
    text = text.replace("a dict of band to path", "g=my-g.fits r=my-r.fits")
    text = _KEYWORD.sub(keyword, text)
    if "TrainConfig" in text:
        text = re.sub(r"\b[a-z]+_\w+\b", lambda match: training.get(match.group(), match.group()), text)
        text = re.sub(r" (?:of|in) TrainConfig", "", text)
    return _ARGUMENT.sub(lambda match: known.get(match.group(1), match.group(1)), text)


def _say(text):
    """Write one line to standard error, not into a progress bar."""
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(f"galtrans: {text}", file=sys.stderr)
    else:
        print(f"galtrans: {text}", file=sys.stderr)


@contextmanager
def _messages(options):
    """Write warnings and log records as lines to standard error while a subcommand runs."""
    def show(message, category, filename, lineno, file=None, line=None):
        _say(f"warning: {in_terms_of_options(' '.join(str(message).split()), options.subcommand)}")

    handler, level = logging.Handler(), _LOG.level
    handler.emit = lambda record: _say(f"{record.levelname.lower()}: {record.getMessage()}")
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO if options.verbose else logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("default")
                # These are for the developers of libraries.
                for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning):
                    warnings.simplefilter("ignore", category)
            warnings.showwarning = show
            yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)
