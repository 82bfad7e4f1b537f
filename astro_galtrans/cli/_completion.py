"""``galtrans --print-completion``: completion of verbs, options and files in a shell."""

import argparse
import sys

__all__ = ["SHELLS", "PrintCompletion"]

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
