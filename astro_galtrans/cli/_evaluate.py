"""``galtrans evaluate``."""

from pathlib import Path

from astro_galtrans.cli._common import (
    Result, add_device, add_direction, add_overwrite, add_seed, check_output, device_named, directed, load_one,
)

__all__ = ["add_evaluate", "evaluate"]


def add_evaluate(verb):
    """Add the arguments of the verb."""
    verb.add_argument("files", nargs="+", metavar="FILE",
                      help="translators (t.asdf ...) and last the pairs to judge them on, which none was trained on")
    verb.add_argument("--out", required=True, metavar="FILE", help="report to write, as report.html")
    verb.add_argument("--training", metavar="PAIRS", help="pairs to train redshift estimators on")
    verb.add_argument("--estimator", metavar="FILE", help="redshift estimator trained on real target images, as e.asdf")
    add_seed(verb, "bootstrap, estimators and samples")
    verb.add_argument("--n-samples", type=int, default=1, metavar="N", help="images that a generative translator "
                      "draws of each galaxy, whose mean is judged (default: %(default)s)")
    add_direction(verb, "judges")
    add_device(verb)
    add_overwrite(verb)


def evaluate(options):
    """Run the verb."""
    check_output(options.out, options.overwrite)
    if len(options.files) < 2:
        raise ValueError(f"give at least one translator and, last, the pairs to judge on; got only {options.files[0]}")
    from astro_galtrans.evaluation import evaluate
    from astro_galtrans.pairs import PairSet

    *paths, pairs = options.files
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
