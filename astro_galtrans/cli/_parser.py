"""Parser of the command line: subcommands, common options, help and completion."""

import argparse
import shutil
import sys
import textwrap

from astro_galtrans import __version__
from astro_galtrans.cli._evaluate import add_demo, add_evaluate, add_photoz, demo, evaluate, photoz
from astro_galtrans.cli._info import add_info, info
from astro_galtrans.cli._pairs import add_download, add_pair, add_simulate, download, pair, simulate
from astro_galtrans.cli._train import add_reproduce, add_train, reproduce, train
from astro_galtrans.cli._translate import add_translate, translate

__all__ = ["SUBCOMMANDS", "make_parser", "option_names"]

_SHELLS = ("bash", "zsh", "tcsh")
_FILES = {"FILE", "FILE[,FILE...]", "PAIRS", "CUBE", "TABLE", "CATALOG", "PATH", "TRANSLATOR", "WHAT"}
# In the order of use: name, its two functions, summary, and the arguments of an example.
SUBCOMMANDS = (
    ("demo", add_demo, demo, "simulate, train twice, translate, evaluate, and write a report", "--out demo"),
    ("info", add_info, info, "describe files, surveys and translators",
     "sdss-to-cfhtls pairs.zarr galaxy.fits"),
    ("download", add_download, download, "download images of a survey from its archive",
     "229.6456 42.7695 --survey SDSS --out sdss-field"),
    ("simulate", add_simulate, simulate, "simulate galaxies as two surveys see them", "--n 600 --seed 2 pairs.zarr"),
    ("pair", add_pair, pair, "make pairs from a catalog and the images of two surveys",
     "galaxies.ecsv pairs.zarr --input frame-?.fits.bz2 --target g=tile-g.fits r=tile-r.fits"),
    ("train", add_train, train, "train a translator on pairs", "pairs.zarr --epochs 10 --out t.asdf"),
    ("translate", add_translate, translate, "translate cubes, every galaxy of a field, or a set of pairs",
     "t.asdf --frames sdss-field --detect --out field"),
    ("evaluate", add_evaluate, evaluate, "evaluate translators on pairs and write a report",
     "t.asdf test.zarr --training train.zarr --out report.html"),
    ("photoz", add_photoz, photoz, "evaluate redshift densities in a table against true redshifts",
     "densities.fits --z-spec z_spec --bins r_mag --out metrics"),
    ("reproduce", add_reproduce, reproduce, "train a translator again and compare the weights", "t.asdf pairs.zarr"),
)
_EPILOG = """\
examples:
  galtrans demo --out demo                                     everything at once, in some minutes
  galtrans info                                                available surveys and translators
  galtrans translate sdss-to-cfhtls galaxy.fits --out made     with a translator of the package
  galtrans simulate --n 2000 --seed 1 train.zarr               pairs to train on
  galtrans train train.zarr --out t.asdf                       your own translator
  galtrans evaluate t.asdf test.zarr --out report.html         and how good it is

'galtrans SUBCOMMAND --help' has all options of a subcommand and an example.

exit status: 0 on success, 2 on an error, which is reported in one line, 130 when interrupted,
143 when terminated
"""


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    def error(self, message):
        self.exit(2, f"galtrans: error: {message} (see {self.prog} --help)\n")


class _Help(argparse.HelpFormatter):
    """Help that keeps the lines of an epilog, wraps those that are not indented, and lists subcommands untitled."""

    def __init__(self, prog, **options):
        width = min(shutil.get_terminal_size().columns - 2, 110)
        super().__init__(prog, max_help_position=30, width=max(width, 40))

    def _fill_text(self, text, width, indent):
        lines = [line if line.startswith("  ") else textwrap.fill(
            line, width, subsequent_indent="  " if line.startswith(("example", "exit")) else "")
                 for line in text.strip().splitlines()]
        return textwrap.indent("\n".join(lines), indent)

    def _format_action(self, action):
        if isinstance(action, argparse._SubParsersAction):
            return self._join_parts([self._format_action(one) for one in self._iter_indented_subactions(action)])
        return super()._format_action(action)


def make_parser():
    """Return the parser of the whole command."""
    parser = _Parser(
        prog="galtrans", description="Translate images of galaxies from one survey to another, and evaluate the "
        "result.", epilog=_EPILOG, formatter_class=_Help, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"galtrans {__version__}")
    parser.add_argument("--print-completion", action=_PrintCompletion, help="print a script with which this shell "
                        "completes subcommands, options and files, and exit; needs shtab (extra completion)")
    _add_common(parser, False)
    subparsers = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", dest="subcommand", required=True)
    for name, add, run, summary, example in SUBCOMMANDS:
        subparser = subparsers.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example: galtrans {name} {example}", formatter_class=_Help, allow_abbrev=False)
        add(subparser)
        _add_common(subparser.add_argument_group("options of all subcommands"), argparse.SUPPRESS)
        subparser.set_defaults(run=run)
    return parser


def _add_common(parser, default):
    for flags, text in ((("-v", "--verbose"), "report more of what is done"),
                        (("-q", "--quiet"), "show no progress bars"),
                        (("--json",), "write the result as one JSON object to standard output, for scripts"),
                        (("--debug",), "show where in the code an error came from")):
        parser.add_argument(*flags, action="store_true", default=default, help=text)


def option_names(subcommand):
    """Return a dict from the names of arguments in Python to the options of a subcommand."""
    parser = argparse.ArgumentParser()
    parser.epilog = ""
    next(add for name, add, *_ in SUBCOMMANDS if name == subcommand)(parser)
    names = {}
    for action in parser._actions:
        if action.option_strings:
            flag = max(action.option_strings, key=len)
            names[action.dest] = flag
            names[flag.removeprefix("--").replace("-", "_")] = flag
    return names


class _PrintCompletion(argparse.Action):
    """Print the completion script of a shell and exit."""

    def __init__(self, option_strings, dest, **options):
        super().__init__(option_strings, dest, choices=_SHELLS, default=argparse.SUPPRESS, **options)

    def __call__(self, parser, namespace, value, option_string=None):
        try:
            import shtab
        except ImportError:
            parser.error('completion needs shtab: pip install "astro_galtrans[completion]"')
        _mark_files(parser, shtab)
        parser._print_message(shtab.complete(parser, value), sys.stdout)
        parser.exit(0)


def _mark_files(parser, shtab):
    """Mark arguments for shtab as files or folders, by their names in the help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                _mark_files(subparser, shtab)
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY
        elif action.metavar in _FILES:
            action.complete = shtab.FILE
