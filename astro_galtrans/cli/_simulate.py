"""``galtrans demo`` and ``galtrans simulate``: galaxies that nature did not make."""

from astro_galtrans.cli._common import Result, add_device, add_overwrite, add_seed, device_named

__all__ = ["add_demo", "add_simulate", "demo", "simulate"]


def add_demo(verb):
    """Add the arguments of the verb."""
    verb.add_argument("--out", default="galtrans-demo", metavar="DIR", help="folder to make (default: %(default)s)")
    add_seed(verb, "all that is drawn")
    verb.add_argument("--quick", action="store_true", help="a small run that shows that all works, and no more")
    add_device(verb)
    add_overwrite(verb)


def demo(options):
    """Run the verb."""
    from astro_galtrans.demo import run_demo

    report = run_demo(options.out, seed=options.seed, device=device_named(options.device), quick=options.quick,
                      overwrite=options.overwrite, progress=not options.quiet)
    return Result([str(report)], {"report": report, "folder": options.out})


def add_simulate(verb):
    """Add the arguments of the verb."""
    verb.add_argument("pairs", metavar="PAIRS", help="Zarr folder to make, as pairs.zarr")
    verb.add_argument("--n", type=int, required=True, metavar="N", help="number of galaxies")
    verb.add_argument("--seed", type=int, required=True, metavar="N", help="galaxy i depends on the seed and on i only")
    verb.add_argument("--sample", default="bright", choices=("bright", "faint"),
                      help="r 14.5 to 18.3, or 17 to 20.5 (default: %(default)s)")
    verb.add_argument("--input-survey", default="SDSS", metavar="NAME",
                      help="survey that is translated from (default: %(default)s)")
    verb.add_argument("--target-survey", default="CFHTLS", metavar="NAME",
                      help="survey that is translated to (default: %(default)s)")
    verb.add_argument("--input-size", type=int, default=64, metavar="PIXELS",
                      help="side of the input images (default: %(default)s); the target images cover the same sky")
    verb.add_argument("--truth", action="store_true", help="keep the images without noise too, to be judged against")
    verb.add_argument("--spectra", action="store_true", help="give each galaxy a spectrum, as an SDSS fibre takes it")
    verb.add_argument("--psf", action="store_true", help="keep the image of each galaxy's point spread function")
    verb.add_argument("--workers", type=int, metavar="N", help="processes (default: 1); they do not change the result")
    verb.add_argument("--morphologies", metavar="FILE", help="galsim.RealGalaxyCatalog to take shapes from")
    add_overwrite(verb)


def simulate(options):
    """Run the verb."""
    from astro_galtrans.simulation import simulate_pairs

    pairs = simulate_pairs(
        options.n, input_survey=options.input_survey, target_survey=options.target_survey, seed=options.seed,
        sample=options.sample, input_size=options.input_size, truth=options.truth, spectra=options.spectra,
        psf=options.psf, workers=options.workers, morphologies=options.morphologies, path=options.pairs,
        overwrite=options.overwrite, progress=not options.quiet)
    return Result([f"{options.pairs}: {pairs}"], {"pairs": options.pairs, "n": len(pairs), "seed": options.seed})
