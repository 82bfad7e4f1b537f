"""Docs, docstrings, comments, messages and identifiers use the terms of the field, in American spelling."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_THING = "(?:band|galaxy|row|line|cube|survey|file|pixel|object|spectrum|tile)"
# What to write: pattern of what not to write.
BANNED = {
    "evaluate": r"judg(?:e[sd]?|ing|e?ments?)",
    "conditioned on, given": r"told",
    "resume": r"(?:go|goes|going|gone|went) on (?:with|from|where|after)",
    "bitwise identical": r"to the bit",
    "fix": r"mend(?:s|ed|ing)?",
    "one per ...": rf"(?:one|an? (?:row|line|value|vector|tile|column|number|image|file|step)) an? {_THING}",
    "your own": r"one's own",
    "subcommand": r"verbs?",
    "figure, image": r"pictures?",
    "package, layer, entry point": r"(?:house|rooms?|doors?)",
    "out-of-distribution": r"strangers?",
    "discriminator": r"(?:un)?heard",
    "American spelling": r"cent(?:re[sd]?|ring)|grey\w*|discs?|licences?|fibres?|labelled|modell(?:ed|ing)|artefacts?"
                         r"|(?:regular|initial|minim|maxim|optim|vector|special|general|recogn|summar)is"
                         r"(?:e[sd]?|ing|ations?)",
}
_PARTS = "colour|neighbour|normalis|behaviour|favour|catalogu"  # also within a word
_BANNED = re.compile(rf"\b(?:{'|'.join(BANNED.values())})\b|(?:{_PARTS})\w*")
# A sentence that starts with "What" and is not a question.
_WHAT = re.compile(r"\bWhat\b(?![^.?]*\?)")
_LITERAL = re.compile(r"``.+?``|`[^`]+`_{0,2}", re.DOTALL)
_EXAMPLE = re.compile(r"^ *>>> .*\n(?:.*\S.*\n?)*", re.MULTILINE)
_CODE = re.compile(r"^( *)(?:\.\. (?:code-block|math|plot)::.*|.*::)\n(?: *\n)*(?:\1 +.*\n(?: *\n)*)+", re.MULTILINE)
_DIRECTIVE = re.compile(r"^ *\.\. (?!code-block|math|plot)[\w-]+::", re.MULTILINE)
_TARGET = re.compile(r"^ *(?:\.\. _.*|:[\w-]+: \S+|   [\w/]+)$", re.MULTILINE)
_NAME = re.compile(r"^ *[\w, *]+ : |https?://\S+", re.MULTILINE)

# Docstrings, strings and comments; faster than parsing.
_STRING = re.compile(r'"""(?:.*?)"""|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|#[^\n]*', re.DOTALL)


def prose(text):
    """Text of a page or docstring without code, examples, literals, targets and names."""
    text = _DIRECTIVE.sub("", text)
    for pattern in (_CODE, _EXAMPLE, _TARGET, _NAME, _LITERAL):
        text = pattern.sub("\n", text)
    return text


def strings(source):
    """Docstrings, messages and comments of a module: all strings that are not just a name."""
    for match in _STRING.finditer(source):
        if " " in match.group():
            yield match.group().strip("\"'# ")


def banned(text):
    """Words of a text that must not be there."""
    return [" ".join(match.group().split()) for match in (*_BANNED.finditer(text.lower()), *_WHAT.finditer(text))]


def found(path):
    """Words of a file that must not be there."""
    text = path.read_text(encoding="utf-8")
    texts = [text] if path.suffix == ".rst" else strings(text)
    return [word for text in texts if banned(text) for word in banned(prose(text))]


def read_all():
    """Banned words of each file that has some."""
    paths = [*ROOT.glob("*.rst"), *ROOT.glob("docs/**/*.rst"), *ROOT.glob("astro_galtrans/**/*.py"),
             *ROOT.glob("astro_galtrans/data/*.rst"), *ROOT.glob("examples/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    built = {ROOT / "docs" / name for name in ("_build", "api", "gallery", "tutorials", "sg_execution_times.rst")}
    paths = [path for path in paths if not built & {path, *path.parents}]
    return {path.relative_to(ROOT).as_posix(): bad for path in paths if (bad := found(path))}


def test_no_banned_word():
    bad = {name: sorted(set(words)) for name, words in read_all().items()}
    assert not bad, f"BANNED in this module says what to write instead: {bad}"


# Parts of names of functions, classes, arguments, variables, attributes and modules.
_IDENTIFIER = re.compile(r"judg|neighbour|colour|centre|told|heard|picture|verb(?!os)|refusal|rulers|catalogue|normalis"
                         r"|grey|behaviour", re.IGNORECASE)
# Names in files of earlier versions that are kept on purpose: a layer in the weights of redshift estimators.
KEPT_IDENTIFIERS = {"normalise"}


def identifiers(tree):
    """Names that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname


def test_identifiers():
    bad = {}
    for path in sorted((ROOT / "astro_galtrans").rglob("*.py")):
        names = {path.stem, *identifiers(ast.parse(path.read_text(encoding="utf-8")))} - KEPT_IDENTIFIERS
        names = sorted(name for name in names if _IDENTIFIER.search(name))
        if names:
            bad[path.relative_to(ROOT).as_posix()] = names
    assert not bad


def test_identifiers_are_found():
    tree = ast.parse("class Judge:\n    def f(self, neighbours, verbose):\n        self.centre = color = told = 1")
    assert {name for name in identifiers(tree) if _IDENTIFIER.search(name)} == {"Judge", "neighbours", "centre", "told"}


@pytest.mark.parametrize("text", [
    "It is judged on real images.", "The network is told the redshift.", "one a band", "to the bit", "Colours differ.",
    "The galaxy is in the centre.", "See the pictures.", "What the network needs.",
])
def test_words_are_found(tmp_path, text):
    page, module = tmp_path / "page.rst", tmp_path / "module.py"
    page.write_text(text + "\n")
    module.write_text(f'"""Do it.\n\n{text}\n"""\n')
    assert len(found(page)) == len(found(module)) == 1


def test_code_is_not_prose(tmp_path):
    page = tmp_path / "page.rst"
    page.write_text("""
Set ``neighbours="mask"`` in `judge_table`:

>>> judge(neighbours="mask")
'one a band'

.. code-block:: console

   $ galtrans judge

What is it? As code::

    centre = 1

The end.
""")
    assert found(page) == []
