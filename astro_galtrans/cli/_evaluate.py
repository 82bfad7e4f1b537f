"""Subcommands ``demo``, ``evaluate`` and ``photoz``."""

from itertools import pairwise
from pathlib import Path

from astro_galtrans.cli._common import (
    Result, add_device, add_direction, add_overwrite, add_seed, check_output, device_named, directed, load_one,
)

__all__ = ["add_demo", "add_evaluate", "add_photoz", "demo", "evaluate", "photoz"]


def add_demo(parser):
    """Add the arguments of the subcommand."""
    parser.add_argument("--out", default="galtrans-demo", metavar="DIR", help="folder to make (default: %(default)s)")
    add_seed(parser, "all random numbers")
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that everything works")
    parser.add_argument("--workers", type=int, metavar="N", help="processes of the simulation, which do not change the "
                        "results (default: 2, or 1 with --quick)")
    add_device(parser)
    add_overwrite(parser)


def demo(options):
    """Run the subcommand."""
    from astro_galtrans.demo import run_demo

    workers = (1 if options.quick else 2) if options.workers is None else options.workers
    try:
        report = run_demo(options.out, seed=options.seed, device=device_named(options.device), quick=options.quick,
                          workers=workers, overwrite=options.overwrite, progress=not options.quiet)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("the same command resumes the demo") from error
    return Result([str(report)], {"report": report, "folder": options.out})


def add_evaluate(parser):
    """Add the arguments of the subcommand."""
    parser.add_argument("files", nargs="+", metavar="FILE",
                        help="translators (t.asdf ...) and last the pairs to evaluate on, which none was trained on")
    parser.add_argument("--out", required=True, metavar="FILE", help="report to write, as report.html")
    parser.add_argument("--training", metavar="PAIRS", help="pairs to train redshift estimators on")
    parser.add_argument("--estimator", metavar="FILE",
                        help="redshift estimator trained on real target images, as e.asdf")
    add_seed(parser, "bootstrap, estimators and samples")
    parser.add_argument("--n-samples", type=int, default=1, metavar="N", help="images that a generative translator "
                        "draws of each galaxy, whose mean is evaluated (default: %(default)s)")
    add_direction(parser, "evaluate")
    add_device(parser)
    add_overwrite(parser)


def evaluate(options):
    """Run the subcommand."""
    check_output(options.out, options.overwrite)
    if len(options.files) < 2:
        raise ValueError("give at least one translator and, last, the pairs to evaluate on; got only "
                         f"{options.files[0]}")
    from astro_galtrans.evaluation import evaluate
    from astro_galtrans.pairs import PairSet

    *paths, pairs = options.files
    folders = [path for path in paths if Path(path).is_dir()]
    if folders:
        raise ValueError(f"{folders[0]} is a folder, not a translator; the translators come first and the pairs last")
    translators = [load_one(path, "Translator") for path in paths]
    names = [translator.name for translator in translators]
    if len(set(names)) < len(names):
        names = [str(Path(path).with_suffix("")) for path in paths]
    if len(set(names)) < len(names):
        raise ValueError("a translator is named twice")
    test, training = (None if path is None else directed(PairSet.open(path), options.direction)
                      for path in (pairs, options.training))
    evaluation = evaluate(
        dict(zip(names, translators)), test, training=training, seed=options.seed, n_samples=options.n_samples,
        device=device_named(options.device),
        estimator=None if options.estimator is None else load_one(options.estimator, "RedshiftEstimator"),
        progress=not options.quiet)
    evaluation.write_report(options.out, translators=dict(zip(names, paths)), pairs=pairs, direction=options.direction)
    return Result([options.out], {
        "report": options.out, "n_galaxies": evaluation.meta["n_test"], "translators": dict(zip(names, paths)),
        "failed": evaluation.failed, "tables": evaluation.tables})


def add_photoz(parser):
    """Add the arguments of the subcommand."""
    parser.add_argument("table", metavar="TABLE",
                        help="FITS, HDF5, Parquet, ECSV ... with true redshifts and densities")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to make, with tables and figures")
    _add_reading(parser.add_argument_group("the table"))
    parser.add_argument("--bins", action="append", default=[], metavar="NAME[=N|=EDGE,EDGE,...]",
                        help="evaluate in bins of a column too: N equally full ones (default: 5), or with these edges; "
                        "may be given several times")
    parser.add_argument("--n-bootstrap", type=int, default=200, metavar="N",
                        help="resamples of the galaxies for the intervals, 0 for none (default: %(default)s)")
    add_seed(parser, "the bootstrap")
    add_device(parser)
    add_overwrite(parser)


def _add_reading(group):
    group.add_argument("--z-spec", default="z_spec", metavar="NAME", help="column of true redshifts (default: z_spec)")
    group.add_argument("--pdf", metavar="NAME", help="vector column of densities, or 'NAME*' for columns of numbers "
                       "whose names match (default: pdf, density, pdfs, pz or yvals)")
    group.add_argument("--grid", metavar="FIRST:LAST:N|NAME", help="redshifts of the densities, or the name they have "
                       "in the meta data, as a column, HDU or dataset (default: redshift_grid, grid, z_grid, zgrid, "
                       "xvals or bins)")
    group.add_argument("--z-phot", default="median", metavar="NAME", help="column of point estimates, or mean, median "
                       "or mode of the densities (default: %(default)s)")
    group.add_argument("--table", dest="part", metavar="NAME", help="HDU of a FITS file, dataset or group of an HDF5 "
                       "file (default: the first table)")
    group.add_argument("--format", metavar="NAME", help="of the file: fits, hdf5, parquet, votable, text, ascii.ecsv "
                       "... (default: the file tells)")


def photoz(options):
    """Run the subcommand."""
    by = dict(_bins(text) for text in options.bins)
    from astro_galtrans.photoz import evaluate_table

    evaluation = evaluate_table(
        options.table, options.out, z_spec=options.z_spec, z_phot=options.z_phot, pdf=options.pdf, grid=options.grid,
        table=options.part, format=options.format, by=by, n_bootstrap=options.n_bootstrap, seed=options.seed,
        device=device_named(options.device), overwrite=options.overwrite)
    return Result([f"{options.out}: {evaluation.summary()}"], {
        "folder": options.out, "counts": {name: value for name, value in evaluation.metrics.meta.items()
                                          if name.startswith("n_")},
        "metrics": evaluation.metrics, "bins": evaluation.bins})


def _bins(text):
    """Name, and bins or None, of an argument like ``r_mag=16,18,20``."""
    name, _, bins = text.partition("=")
    try:
        parts = [float(part) for part in bins.split(",")] if bins else []
        if not name or len(parts) == 1 and (parts[0] != int(parts[0]) or parts[0] < 1):
            raise ValueError
    except ValueError:
        raise ValueError(f"--bins must be NAME, NAME=N or NAME=EDGE,EDGE,..., got {text!r}") from None
    if len(parts) > 1 and not all(low < high for low, high in pairwise(parts)):
        raise ValueError(f"--bins must have edges that increase, got {text!r}")
    return name, None if not parts else int(parts[0]) if len(parts) == 1 else parts
