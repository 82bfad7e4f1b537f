"""The command itself: which verb, and where messages and errors go."""

import argparse
import logging
import os
import sys
import time
import warnings
from contextlib import contextmanager

from astro_galtrans import __version__
from astro_galtrans.cli._benchmark import add_benchmark, benchmark
from astro_galtrans.cli._download import add_download, download
from astro_galtrans.cli._evaluate import add_evaluate, evaluate
from astro_galtrans.cli._pair import add_pair, pair
from astro_galtrans.cli._photoz import add_photoz, photoz
from astro_galtrans.cli._simulate import add_demo, add_simulate, demo, simulate
from astro_galtrans.cli._train import add_train, train
from astro_galtrans.cli._translate import add_translate, translate

__all__ = ["main"]

_LOG = logging.getLogger("astro_galtrans")
_EXPECTED = (ValueError, TypeError, OSError, ImportError, KeyError, ArithmeticError, MemoryError)


class _Parser(argparse.ArgumentParser):
    """A parser that tells of an error in one line."""

    def error(self, message):
        self.exit(2, f"galtrans: error: {message} (see {self.prog} --help)\n")


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
        options = _parser().parse_args(arguments)
    except SystemExit as stop:
        return stop.code or 0
    started = time.perf_counter()
    try:
        with _messages(options):
            options.run(options)
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


def _parser():
    common = argparse.ArgumentParser(add_help=False)
    _add_common(common, argparse.SUPPRESS)
    parser = _Parser(
        prog="galtrans", description="Translate images of galaxies from one survey to another, and judge the result.",
        epilog="'galtrans VERB --help' tells of each verb and has an example. Begin with: galtrans demo")
    parser.add_argument("--version", action="version", version=f"galtrans {__version__}")
    _add_common(parser, False)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, add, run, summary, example in (
            ("demo", add_demo, demo, "simulate, train twice, translate, judge, and write a report", "--out demo"),
            ("simulate", add_simulate, simulate, "simulate galaxies as two surveys see them",
             "--n 600 --seed 2 pairs.zarr"),
            ("pair", add_pair, pair, "make pairs of a catalogue and two surveys' images",
             "galaxies.ecsv pairs.zarr --input frame-?.fits.bz2 --target g=tile-g.fits r=tile-r.fits"),
            ("download", add_download, download, "download images of a survey from its archive",
             "229.59 42.82 --survey SDSS --out sdss-field"),
            ("train", add_train, train, "train a translator on pairs", "pairs.zarr --epochs 10 --out t.asdf"),
            ("translate", add_translate, translate, "translate cubes, or every galaxy of a field",
             "t.asdf --frames sdss-field --detect --out field"),
            ("evaluate", add_evaluate, evaluate, "judge translators on pairs and write a report",
             "t.asdf test.zarr --training train.zarr --out report.html"),
            ("photoz", add_photoz, photoz, "judge redshift densities in a table against true redshifts",
             "densities.fits --z-spec z_spec --bins r_mag --out judged"),
            ("benchmark", add_benchmark, benchmark, "train and judge every backbone with every objective",
             "--scale small --out headline")):
        verb = verbs.add_parser(
            name, help=summary, parents=[common], description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example: galtrans {name} {example}")
        add(verb)
        verb.set_defaults(run=run)
    return parser


def _add_common(parser, default):
    for name, text in (("verbose", "say more of what is done"), ("quiet", "no progress bars"),
                       ("debug", "show where in the code an error came from")):
        parser.add_argument(f"--{name}", action="store_true", default=default, help=text)
