"""The parser of the command as sphinx-argparse shows it best."""

import argparse
import re
import textwrap

from astro_galtrans.cli._parser import make_parser


def documented_parser():
    """Return the parser with examples as literal blocks and without what the page says once."""
    parser = make_parser()
    parser.epilog = None
    common = {action.dest for action in parser._actions if action.option_strings}
    choices = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction)).choices
    for one in choices.values():
        commands = re.sub(r"^examples?:\s*", "", one.epilog, flags=re.IGNORECASE)
        commands = "\n".join(line.strip() for line in commands.splitlines())
        one.epilog = f"Examples::\n\n{textwrap.indent(commands, '   ')}"
        one._action_groups = [group for group in one._action_groups
                              if not {action.dest for action in group._group_actions} <= common]
    return parser
