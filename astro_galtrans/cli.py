"""The ``galtrans`` command. Each verb calls one public function; what it needs is imported only when it runs."""

import argparse
import logging
import os
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

from astro_galtrans import __version__

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
            ("demo", _add_demo, _demo, "simulate, train twice, translate, judge, and write a report", "--out demo"),
            ("simulate", _add_simulate, _simulate, "simulate galaxies as two surveys see them",
             "--n 600 --seed 2 pairs.zarr"),
            ("train", _add_train, _train, "train a translator on pairs", "pairs.zarr --epochs 10 --out t.asdf"),
            ("translate", _add_translate, _translate, "translate cubes, or every galaxy of a field",
             "t.asdf --frames sdss-field --detect --out field"),
            ("evaluate", _add_evaluate, _evaluate, "judge translators on pairs and write a report",
             "t.asdf test.zarr --training train.zarr --out report.html")):
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


def _add_device(verb):
    verb.add_argument("--device", help="cpu, cuda or cuda:N (default: a GPU if there is one for training, else cpu)")


def _add_overwrite(verb):
    verb.add_argument("--overwrite", action="store_true", help="replace what is there already")


def _add_demo(verb):
    verb.add_argument("--out", default="galtrans-demo", metavar="DIR", help="folder to make (default: %(default)s)")
    verb.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn (default: %(default)s)")
    verb.add_argument("--quick", action="store_true", help="a small run that shows that all works, and no more")
    _add_device(verb)
    _add_overwrite(verb)


def _demo(options):
    from astro_galtrans.demo import run_demo

    report = run_demo(options.out, seed=options.seed, device=_device(options.device), quick=options.quick,
                      overwrite=options.overwrite, progress=not options.quiet)
    print(report)


def _add_simulate(verb):
    verb.add_argument("pairs", metavar="PAIRS", help="Zarr folder to make, as pairs.zarr")
    verb.add_argument("--n", type=int, required=True, help="number of galaxies")
    verb.add_argument("--seed", type=int, required=True, help="galaxy i depends on the seed and on i only")
    verb.add_argument("--sample", default="bright", choices=("bright", "faint"),
                      help="r 14.5 to 18.3, or 17 to 20.5 (default: %(default)s)")
    verb.add_argument("--input-survey", default="SDSS", metavar="NAME", help="default: %(default)s")
    verb.add_argument("--target-survey", default="CFHTLS", metavar="NAME", help="default: %(default)s")
    verb.add_argument("--input-size", type=int, default=64, metavar="PIXELS",
                      help="side of the input images (default: %(default)s); the target images cover the same sky")
    verb.add_argument("--truth", action="store_true", help="keep the images without noise too, to be judged against")
    verb.add_argument("--workers", type=int, metavar="N", help="processes (default: 1); they do not change the result")
    verb.add_argument("--morphologies", metavar="FILE", help="galsim.RealGalaxyCatalog to take shapes from")
    _add_overwrite(verb)


def _simulate(options):
    from astro_galtrans.simulation import simulate_pairs

    pairs = simulate_pairs(
        options.n, input_survey=options.input_survey, target_survey=options.target_survey, seed=options.seed,
        sample=options.sample, input_size=options.input_size, truth=options.truth, workers=options.workers,
        morphologies=options.morphologies, path=options.pairs, overwrite=options.overwrite, progress=not options.quiet)
    print(f"{options.pairs}: {pairs}")


def _add_train(verb):
    verb.add_argument("pairs", metavar="PAIRS", help="set of pairs, as pairs.zarr")
    verb.add_argument("--out", required=True, metavar="FILE", help="translator to write, as t.asdf")
    verb.add_argument("--backbone", default="unet", help="network (default: %(default)s)")
    verb.add_argument("--objective", default="gradient",
                      help="pixel, gradient or gradient-unweighted (default: %(default)s)")
    verb.add_argument("--epochs", type=int, default=10, help="passes over the pairs (default: %(default)s)")
    verb.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")
    verb.add_argument("--validation-fraction", type=float, default=0.1, metavar="SHARE",
                      help="share of the pairs that chooses the best epoch; 0 for none (default: %(default)s)")
    verb.add_argument("--batch-size", type=int, help="galaxies a step")
    verb.add_argument("--learning-rate", type=float, help="largest of the schedule")
    verb.add_argument("--precision", help="32, bf16 or 16")
    verb.add_argument("--patience", type=int, metavar="EPOCHS", help="stop after so many without improvement")
    verb.add_argument("--conditioning", choices=("none", "redshift"), default="none",
                      help="what the translator is given beside the image (default: %(default)s)")
    verb.add_argument("--checkpoint", metavar="DIR", help="folder for a checkpoint after each epoch")
    verb.add_argument("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    _add_device(verb)
    _add_overwrite(verb)


def _train(options):
    _check_output(options.out, options.overwrite)
    if not 0 <= options.validation_fraction < 1:
        raise ValueError(f"--validation-fraction must be at least 0 and below 1, got {options.validation_fraction}")
    if options.resume and options.checkpoint is None:
        raise ValueError("--resume needs --checkpoint, the folder where the checkpoint is")
    from astro_galtrans.pairs import PairSet
    from astro_galtrans.storage import save
    from astro_galtrans.training import TrainConfig, fit

    given = {name: getattr(options, name) for name in ("batch_size", "learning_rate", "precision", "patience")}
    config = TrainConfig(
        backbone=options.backbone, objective=options.objective, epochs=options.epochs, seed=options.seed,
        conditioning=None if options.conditioning == "none" else options.conditioning,
        **{name: value for name, value in given.items() if value is not None})
    train, validation = PairSet.open(options.pairs), None
    if options.validation_fraction > 0:
        share = options.validation_fraction
        train, validation = train.split((1 - share, share), seed=options.seed)
    try:
        result = fit(train, config, validation=validation, directory=options.checkpoint, resume=options.resume,
                     device=_device(options.device), progress=not options.quiet)
    except KeyboardInterrupt as error:
        hint = "the same command with --resume goes on" if options.checkpoint else "nothing was written"
        raise KeyboardInterrupt(f"{str(error).partition(';')[0] or 'training stopped'}; {hint}") from error
    save(options.out, result.translator, overwrite=options.overwrite)
    print(f"{options.out}: {result.translator}, best epoch {result.best_epoch + 1} of {len(result.history)}")


def _add_translate(verb):
    verb.epilog += "; or: galtrans translate t.asdf galaxy1.fits galaxy2.fits --out translated"
    verb.add_argument("translator", metavar="TRANSLATOR", help="trained translator, as t.asdf")
    verb.add_argument("cubes", nargs="*", metavar="CUBE", help="FITS cubes, one galaxy each")
    verb.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    verb.add_argument("--redshift", metavar="Z[,Z...]", help="of each cube, where the translator is conditioned on it")
    field = verb.add_argument_group("a whole field")
    field.add_argument("--frames", nargs="+", metavar="PATH",
                       help="files, one a band, or a folder or pattern of them, as SDSS corrected frames")
    which = field.add_mutually_exclusive_group()
    which.add_argument("--catalog", metavar="TABLE", help="sources, with the columns ra and dec in degrees")
    which.add_argument("--detect", action="store_true", help="find the galaxies (the default without --catalog)")
    field.add_argument("--max-magnitude", type=float, metavar="MAG", help="faintest to detect, in r (default: 20.5)")
    field.add_argument("--size", type=int, metavar="PIXELS", help="side of the cutouts (default: 64)")
    _add_device(verb)
    _add_overwrite(verb)


def _translate(options):
    _check_translate(options)
    from astro_galtrans.field import translate_field, translate_files

    translator = _load(options.translator, "Translator")
    common = {"overwrite": options.overwrite, "device": _device(options.device), "progress": not options.quiet}
    if options.frames is None:
        redshift = None if options.redshift is None else _numbers(options.redshift, len(options.cubes))
        for path in translate_files(translator, options.cubes, options.out, redshift=redshift, **common):
            print(path)
        return
    given = {name: getattr(options, name) for name in ("max_magnitude", "size")}
    table = translate_field(
        translator, options.frames[0] if len(options.frames) == 1 else options.frames, options.out,
        catalog=options.catalog, **{name: value for name, value in given.items() if value is not None}, **common)
    n_translated = int((table["status"] == "translated").sum())
    print(f"{options.out}: {n_translated} of {len(table)} sources translated"
          + ("" if n_translated == len(table) else "; catalog.ecsv has the reason for each of the others"))


def _check_translate(options):
    """Whether it is a field or single cubes, and nothing of the other."""
    if options.frames is None and not options.cubes:
        if options.catalog is not None:
            raise ValueError("--catalog needs --frames, the images that its sources are on; a set of pairs is "
                             "translated in Python, with Translator.translate_array")
        raise ValueError("name the FITS cubes to translate, or a field with --frames")
    if options.frames is not None and options.cubes:
        raise ValueError(f"either cubes or --frames, got both: {', '.join(options.cubes)} and {options.frames[0]}")
    if options.frames is None:
        for name in ("catalog", "detect", "max_magnitude", "size"):
            if getattr(options, name) not in (None, False):
                raise ValueError(f"--{name.replace('_', '-')} goes with --frames, not with cubes")
    elif options.redshift is not None:
        raise ValueError("--redshift goes with cubes; for a field, give --catalog a column redshift")
    if options.max_magnitude is not None and options.catalog is not None:
        raise ValueError("--max-magnitude goes with --detect; a catalog is translated whole")


def _numbers(text, n):
    """One number for all, or one for each, separated by commas."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--redshift must be numbers separated by commas, got {text!r}") from None
    return numbers * n if len(numbers) == 1 else numbers


def _add_evaluate(verb):
    verb.add_argument("files", nargs="+", metavar="FILE",
                      help="translators (t.asdf ...) and last the pairs to judge them on, which none was trained on")
    verb.add_argument("--out", required=True, metavar="FILE", help="report to write, as report.html")
    verb.add_argument("--training", metavar="PAIRS", help="pairs to train redshift estimators on")
    verb.add_argument("--estimator", metavar="FILE", help="redshift estimator trained on real target images, as e.asdf")
    verb.add_argument("--seed", type=int, default=0, help="of bootstrap and estimators (default: %(default)s)")
    _add_device(verb)
    _add_overwrite(verb)


def _evaluate(options):
    _check_output(options.out, options.overwrite)
    if len(options.files) < 2:
        raise ValueError(f"give at least one translator and, last, the pairs to judge on; got only {options.files[0]}")
    from astro_galtrans.evaluation import evaluate
    from astro_galtrans.pairs import PairSet

    *paths, pairs = options.files
    translators = [_load(path, "Translator") for path in paths]
    names = [translator.name for translator in translators]
    if len(set(names)) < len(names):
        names = [str(Path(path).with_suffix("")) for path in paths]
    if len(set(names)) < len(names):
        raise ValueError("a translator is named twice")
    evaluation = evaluate(
        dict(zip(names, translators)), PairSet.open(pairs), seed=options.seed, device=_device(options.device),
        training=None if options.training is None else PairSet.open(options.training),
        estimator=None if options.estimator is None else _load(options.estimator, "RedshiftEstimator"),
        progress=not options.quiet)
    evaluation.write_report(options.out, translators=dict(zip(names, paths)), pairs=pairs)
    print(options.out)


def _check_output(path, overwrite):
    """Whether a file could be written, before the work that leads to it."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"--out {path} is a folder, not a file to write to")
    if path.exists() and not overwrite:
        raise FileExistsError(f"--out {path} exists already; --overwrite replaces it")
    if not path.parent.is_dir():
        kind = "is not a folder" if path.parent.exists() else "does not exist"
        raise OSError(f"cannot write {path}: {path.parent} {kind}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: the folder {path.parent.absolute()} is not writeable")


def _load(path, kind):
    """The object of a kind in an ASDF file."""
    from astro_galtrans.storage import load

    found = load(path)
    found = found if isinstance(found, dict) else {"": found}
    wanted = [value for value in found.values() if type(value).__name__ == kind]
    if len(wanted) != 1:
        held = ", ".join(type(value).__name__ for value in found.values())
        raise ValueError(f"{path} must hold one {kind}, it holds {held}")
    return wanted[0]


def _device(name):
    """The name of a device if it is there, or an error."""
    if name is None:
        return None
    import torch

    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise ValueError(f"--device must be cpu, cuda or cuda:N, got {name!r}") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {name}: no GPU is there that this torch can use")
    return name
