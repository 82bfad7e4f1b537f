"""The page of the documentation that lists every verb and option, made from the parser.

``python -m astro_galtrans.cli._reference docs/command_reference.rst`` writes it; a test compares the two.
"""

import argparse
import re
import sys
from pathlib import Path

from astro_galtrans.cli._parser import make_parser

__all__ = ["reference_page"]

_HEAD = """\
.. This page is made by: python -m astro_galtrans.cli._reference docs/command_reference.rst

.. _command-reference:

All verbs and options of ``galtrans``
=====================================

**galtrans** [*options*] *VERB* [*options*]

{description} :ref:`command-line` tells how the verbs are used together.

Options that stand before the verb
----------------------------------

{options}
Exit status
-----------

**0**
    All was done.

**2**
    An error, which is told in one line on standard error; nothing is left half-written.

**130**
    Interrupted. A line says whether the same command goes on where it stopped.
"""
_VERB = """
galtrans {name}
{line}

{description}

.. code-block:: text

{usage}

{options}
{examples}"""


def reference_page():
    """The page as a str."""
    parser = make_parser()
    verbs = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction)).choices
    plain = [action for action in parser._actions if not isinstance(action, argparse._SubParsersAction)]
    page = _HEAD.format(description=parser.description, options=_options(parser, plain))
    for name, verb in verbs.items():
        groups = []
        for group in verb._action_groups:
            actions = [one for one in group._group_actions if not isinstance(one, argparse._HelpAction)]
            if actions and group.title != "what all verbs have":
                if group.title not in ("positional arguments", "options"):
                    groups.append(f"*{group.title[0].upper()}{group.title[1:]}*"
                                  + (f": {_escaped(group.description)}" if group.description else "") + "\n")
                groups.append(_options(verb, actions))
        page += _VERB.format(
            name=name, line="-" * len(f"galtrans {name}"), description=_escaped(verb.description), usage=_usage(verb),
            options="\n".join(groups), examples=_examples(verb.epilog))
    return page


def _options(parser, actions):
    """A definition list; ``%(default)s`` and its like are filled in."""
    lines = []
    for action in actions:
        names = ", ".join(f"**{name}**" for name in action.option_strings)
        value = "" if action.nargs == 0 else f"*{_value(action)}*"
        text = action.help % {**vars(action), "prog": parser.prog}
        if action.choices and not isinstance(action, argparse._SubParsersAction):
            text += f"; one of {', '.join(map(str, action.choices))}"
        lines.append(f"{' '.join(part for part in (names, value) if part)}\n    {_escaped(text)}\n")
    return "\n".join(lines)


def _value(action):
    name = action.metavar or ("VALUE" if action.option_strings else action.dest)
    return _escaped(name + (" ..." if action.nargs in ("*", "+") else ""))


def _usage(verb):
    """Verb and positional arguments, and the options that must be given."""
    words = [f"    galtrans {verb.prog.split()[-1]}"]
    for action in verb._actions:
        value = action.metavar or action.dest.upper()
        if not action.option_strings:
            words.append({"*": f"[{value} ...]", "+": f"{value} [{value} ...]"}.get(action.nargs, value))
        elif action.required:
            words.append(f"{action.option_strings[0]} {value}" + (" ..." if action.nargs == "+" else ""))
    return " ".join([*words, "[options]"])


def _examples(epilog):
    """The commands in the epilog of a verb as a block."""
    lines = []
    for part in re.sub(r"^example: ", "", epilog).splitlines():
        command, _, rest = part.strip().partition("; ")
        lines += [f"   $ {command}"] + [f"   # {text}" for text in rest.split("; ") if text]
    return ".. code-block:: console\n\n" + "\n".join(lines) + "\n"


def _escaped(text):
    """Text without what reStructuredText would take for markup."""
    text = re.sub(r"(?<![\w'])(--[a-z][a-z-]*)", r"``\1``", text)
    return re.sub(r"(\*|\||_(?=\W|$))", r"\\\1", text)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference_page(), encoding="utf-8")
