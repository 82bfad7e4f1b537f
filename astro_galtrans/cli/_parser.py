"""Parser of the command line: subcommands, common options, help and completion."""

import argparse
import shutil
import sys
import textwrap

from astro_galtrans import __version__
from astro_galtrans.cli._evaluate import add_demo, add_evaluate, add_photoz, demo, evaluate, photoz
from astro_galtrans.cli._info import add_info, info
from astro_galtrans.cli._pairs import add_download, add_pair, add_simulate, download, pair, simulate
from astro_galtrans.cli._train import add_train, train
from astro_galtrans.cli._translate import add_translate, translate

__all__ = ["PrintCompletion", "SHELLS", "VERBS", "make_parser"]

SHELLS = ("bash", "zsh", "tcsh")
_FILES = {"FILE", "FILE[,FILE...]", "PAIRS", "CUBE", "TABLE", "CATALOG", "PATH", "TRANSLATOR", "WHAT"}


class PrintCompletion(argparse.Action):
    """Print the script of a shell and exit."""

    def __init__(self, option_strings, dest, **options):
        super().__init__(option_strings, dest, choices=SHELLS, default=argparse.SUPPRESS, **options)

    def __call__(self, parser, namespace, value, option_string=None):
        try:
            import shtab
        except ImportError:
            parser.error('completion needs shtab: pip install "astro_galtrans[completion]"')
        _mark_files(parser, shtab)
        parser._print_message(shtab.complete(parser, value), sys.stdout)
        parser.exit(0)


def _mark_files(parser, shtab):
    """Tell shtab which arguments are files and which folders, by the names that they have in the help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                _mark_files(verb, shtab)
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY
        elif action.metavar in _FILES:
            action.complete = shtab.FILE


# In the order in which they are used: name, its two functions, what it does, and the arguments of an example.
VERBS = (
    ("demo", add_demo, demo, "simulate, train twice, translate, judge, and write a report", "--out demo"),
    ("info", add_info, info, "tell what a file is, or which surveys and translators there are",
     "sdss-to-cfhtls pairs.zarr galaxy.fits"),
    ("download", add_download, download, "download images of a survey from its archive",
     "229.6456 42.7695 --survey SDSS --out sdss-field"),
    ("simulate", add_simulate, simulate, "simulate galaxies as two surveys see them", "--n 600 --seed 2 pairs.zarr"),
    ("pair", add_pair, pair, "make pairs of a catalogue and two surveys' images",
     "galaxies.ecsv pairs.zarr --input frame-?.fits.bz2 --target g=tile-g.fits r=tile-r.fits"),
    ("train", add_train, train, "train a translator on pairs", "pairs.zarr --epochs 10 --out t.asdf"),
    ("translate", add_translate, translate, "translate cubes, every galaxy of a field, or a set of pairs",
     "t.asdf --frames sdss-field --detect --out field"),
    ("evaluate", add_evaluate, evaluate, "judge translators on pairs and write a report",
     "t.asdf test.zarr --training train.zarr --out report.html"),
    ("photoz", add_photoz, photoz, "judge redshift densities in a table against true redshifts",
     "densities.fits --z-spec z_spec --bins r_mag --out judged"),
)
_EPILOG = """\
examples:
  galtrans demo --out demo                                     all of it at once, in some minutes
  galtrans info                                                surveys and translators that there are
  galtrans translate sdss-to-cfhtls galaxy.fits --out made     with a translator that is there already
  galtrans simulate --n 2000 --seed 1 train.zarr               pairs to train on
  galtrans train train.zarr --out t.asdf                       a translator of one's own
  galtrans evaluate t.asdf test.zarr --out report.html         and how good it is

'galtrans VERB --help' has all options of a verb and an example.

exit status: 0 when all was done, 2 on an error, which is told in one line, 130 when interrupted
"""


class _Parser(argparse.ArgumentParser):
    """A parser that tells of an error in one line."""

    def error(self, message):
        self.exit(2, f"galtrans: error: {message} (see {self.prog} --help)\n")


class _Help(argparse.HelpFormatter):
    """Lines of an epilog stay lines, and those that are not indented are wrapped; verbs are listed without a title."""

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
            return self._join_parts([self._format_action(verb) for verb in self._iter_indented_subactions(action)])
        return super()._format_action(action)


def make_parser():
    """The parser of the whole command."""
    parser = _Parser(
        prog="galtrans", description="Translate images of galaxies from one survey to another, and judge the result.",
        epilog=_EPILOG, formatter_class=_Help)
    parser.add_argument("--version", action="version", version=f"galtrans {__version__}")
    parser.add_argument("--print-completion", action=PrintCompletion, help="print what makes this shell complete "
                        "verbs, options and files, and exit; needs shtab (extra completion)")
    _add_common(parser, False)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    for name, add, run, summary, example in VERBS:
        verb = verbs.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example: galtrans {name} {example}", formatter_class=_Help)
        add(verb)
        _add_common(verb.add_argument_group("what all verbs have"), argparse.SUPPRESS)
        verb.set_defaults(run=run)
    return parser


def _add_common(parser, default):
    for flags, text in ((("-v", "--verbose"), "say more of what is done"),
                        (("-q", "--quiet"), "no progress bars"),
                        (("--json",), "the result as one JSON object on standard output, for scripts"),
                        (("--debug",), "show where in the code an error came from")):
        parser.add_argument(*flags, action="store_true", default=default, help=text)
