"""Subcommands ``download``, ``simulate`` and ``pair``, which make images and pairs."""

import argparse
import math
import warnings

from astro_galtrans._utils.io import path_beside
from astro_galtrans.cli._common import Result, add_overwrite, bands_of

__all__ = ["add_download", "add_pair", "add_simulate", "download", "pair", "simulate"]

_SKY_PARTS = ("psf", "noise", "background", "astrometry", "calibration", "extinction", "scene", "artifacts")
_LEGACY, _ANY = "for DECaLS alone: ", "with --service alone: "


def add_download(parser):
    """Add the arguments of the subcommand."""
    parser.add_argument("ra", metavar="RA", help="right ascension, in degrees or as 15h18m34.9s")
    parser.add_argument("dec", metavar="DEC", help="declination, in degrees or as +42d49m21s")
    parser.add_argument("--survey", metavar="NAME",
                        help="SDSS (whole frames, with PSF), CFHTLS (cutouts of MegaPipe), DECaLS (cutouts of the "
                        "Legacy Surveys), Euclid VIS or Euclid NISP (cutouts of Q1); with --service, the survey whose "
                        "flux scale the images have (default: SDSS, or none with --service)")
    parser.add_argument("--service", metavar="NAME",
                        help="instead of the archive of the survey, any that has SIA2: its address, or one of CADC, "
                        "CADC-MegaPipe, IRSA, IRSA-Euclid-Q1, Rubin-DP1")
    parser.add_argument("--collection", metavar="NAME", help=_ANY + "only images of this collection")
    parser.add_argument("--layer", metavar="NAME", help=_LEGACY + "what to cut from, as ls-dr9 (default: ls-dr10)")
    parser.add_argument("--pixel-scale", type=float, metavar="ARCSEC",
                        help=_LEGACY + "side of the pixels to resample to (default: 0.262)")
    parser.add_argument("--out", required=True, metavar="DIR",
                        help="folder for the files; existing files are not fetched again")
    parser.add_argument("--bands", metavar="BANDS", help="bands, as gri or YE,JE (default: all of the survey)")
    parser.add_argument("--size", type=float, metavar="ARCSEC", help="side of cutouts (default: 60)")
    parser.add_argument("--mask", action="store_true", help="also fetch the masks of the SDSS frames (fpM)")
    parser.add_argument("--fallback", action="store_true",
                        help="where the archive fails, fetch images of the CDS (HiPS), which are not for photometry")
    add_overwrite(parser)


def download(options):
    """Run the subcommand."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    from astro_galtrans._utils.positions import degrees

    angles = [float(degrees(text, name, kind)) for text, name, kind in (
        (options.ra, "RA", "ra"), (options.dec, "DEC", "dec"))]
    if any(math.isnan(angle) for angle in angles):
        raise ValueError(f"RA and DEC must be a position, got {options.ra} {options.dec}")
    position = SkyCoord(*angles, unit="deg")
    bands = options.bands.split(",") if options.bands and "," in options.bands else options.bands
    size = {} if options.size is None else {"size": options.size * u.arcsec}
    files = _chosen(options)(
        position, options.out, bands=bands, overwrite=options.overwrite, progress=not options.quiet, **size)
    paths = files.files()
    return Result([str(path) for path in paths], {
        "survey": files.survey, "files": paths, "images": files.images, "psf": files.psf, "mask": files.mask})


def _chosen(options):
    """Return the function that downloads the images; an option without effect is an error."""
    from functools import partial

    import astropy.units as u

    from astro_galtrans import archives
    from astro_galtrans.surveys import same_name

    legacy = {"layer": options.layer, "pixel_scale": None if options.pixel_scale is None else
              options.pixel_scale * u.arcsec}
    legacy = {name: value for name, value in legacy.items() if value is not None}
    if options.service is None and options.collection is not None:
        raise ValueError("--collection needs --service")
    if legacy and (options.service is not None or not same_name(options.survey or "SDSS", "DECaLS")):
        raise ValueError("--layer and --pixel-scale are for --survey DECaLS alone")
    if options.service is not None:
        if options.mask or options.fallback:
            raise ValueError("--mask and --fallback have no effect with --service")
        return partial(archives.download_sia, service=_service(options), survey=options.survey)
    if legacy:
        if options.mask or options.fallback:
            raise ValueError("--mask and --fallback have no effect with --layer and --pixel-scale")
        return partial(archives.download_legacy, **legacy)
    return partial(archives.download_images, survey=options.survey or "SDSS", mask=options.mask,
                   fallback=options.fallback)


def _service(options):
    from dataclasses import replace

    from astro_galtrans.archives import IMAGE_SERVICES, ImageService

    if options.collection is None:
        return options.service
    known = {name.casefold(): service for name, service in IMAGE_SERVICES.items()}.get(options.service.casefold())
    return replace(known or ImageService(options.service), collection=options.collection)


def add_simulate(parser):
    """Add the arguments of the subcommand."""
    parser.add_argument("pairs", metavar="PAIRS", help="Zarr folder to make, as pairs.zarr")
    parser.add_argument("--n", type=int, required=True, metavar="N", help="number of galaxies")
    parser.add_argument("--seed", type=int, required=True, metavar="N",
                        help="seed; galaxy i depends on the seed and on i only")
    parser.add_argument("--sample", default="bright", choices=("bright", "faint"),
                        help="r 14.5 to 18.3, or 17 to 20.5 (default: %(default)s)")
    parser.add_argument("--galaxies", choices=("observed", "templates"),
                        help="spectra and shapes of observed galaxies, or smooth galaxies with four spectra (default: "
                        "that of simulate_pairs)")
    parser.add_argument("--sky", choices=("realistic", "plain"),
                        help="the sky as real surveys see it, or galaxies that are alone in white noise (default: that "
                        "of simulate_pairs)")
    parser.add_argument("--without", action="append", choices=_SKY_PARTS, metavar="PART",
                        help=f"turn off a part of the realistic sky: {', '.join(_SKY_PARTS)}; may be given several "
                        "times")
    parser.add_argument("--input-survey", default="SDSS", metavar="NAME",
                        help="survey that is translated from (default: %(default)s)")
    parser.add_argument("--target-survey", default="CFHTLS", metavar="NAME",
                        help="survey that is translated to (default: %(default)s)")
    parser.add_argument("--input-size", type=int, default=64, metavar="PIXELS",
                        help="side of the input images (default: %(default)s); the target images cover the same sky")
    parser.add_argument("--truth", action="store_true", help="also keep the images without noise, as a reference")
    parser.add_argument("--spectra", action="store_true", help="give each galaxy a spectrum, as of an SDSS fiber")
    parser.add_argument("--psf", action="store_true", help="keep the image of each galaxy's point spread function")
    parser.add_argument("--workers", type=int, metavar="N",
                        help="processes (default: 1); they do not change the result")
    parser.add_argument("--morphologies", metavar="FILE", help="galsim.RealGalaxyCatalog to take shapes from")
    add_overwrite(parser)


def simulate(options):
    """Run the subcommand."""
    from astro_galtrans.simulation import simulate_pairs

    chosen = {"galaxies": options.galaxies, "sky": _sky(options)}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    pairs = simulate_pairs(
        options.n, input_survey=options.input_survey, target_survey=options.target_survey, seed=options.seed,
        sample=options.sample, **chosen, input_size=options.input_size, truth=options.truth, spectra=options.spectra,
        psf=options.psf, workers=options.workers, morphologies=options.morphologies, path=options.pairs,
        overwrite=options.overwrite, progress=not options.quiet)
    return Result([f"{options.pairs}: {pairs}"], {"pairs": options.pairs, "n": len(pairs), "seed": options.seed})


def _sky(options):
    """Return the sky for `simulate_pairs`, None for its default."""
    from astro_galtrans.simulation import Sky

    if not options.without:
        return options.sky
    if options.sky == "plain":
        raise ValueError("--without has no effect with --sky plain")
    return Sky(**dict.fromkeys(options.without))


_SIDES = ("input", "target")


def add_pair(parser):
    """Add the arguments of the subcommand."""
    parser.epilog += "; many tiles: --input tiles.ecsv, or --input more than once; a file for each object: --input " \
                     "'cutouts/{id}.fits'"
    parser.add_argument("catalog", metavar="CATALOG", help="table of galaxies, with their positions")
    parser.add_argument("pairs", metavar="PAIRS", help="Zarr folder to make, as pairs.zarr")
    for side in _SIDES:
        parser.add_argument(f"--{side}", action="append", nargs="+", required=True, metavar="PATH",
                            help=f"images of the {side} survey: files of one tile, each with a band, as r=tile-r.fits, "
                            "a FITS cube, a folder or 'pattern*' of cubes, a table of tiles, or a path with {id}; may "
                            "be given several times, each time for a tile")
        parser.add_argument(f"--{side}-survey", metavar="NAME", help=f"{side} survey, if the images do not name it")
        parser.add_argument(f"--{side}-bands", metavar="BANDS", help="as gri or g,r,i (default: all)")
    parser.add_argument("--input-size", type=int, default=64, metavar="PIXELS",
                        help="side of the input stamps (default: %(default)s); the target stamps cover the same sky")
    columns = parser.add_argument_group("the catalog")
    for name in ("ra", "dec", "redshift", "id"):
        columns.add_argument(f"--{name}", metavar="COLUMN", help=f"column of {name}, if it is not found by its name")
    columns.add_argument("--unit", metavar="UNIT[,UNIT]", help="unit of the positions, as hourangle,deg")
    columns.add_argument("--target-catalog", metavar="TABLE", help="take only galaxies with a counterpart in this one")
    columns.add_argument("--match-radius", type=float, default=1.0, metavar="ARCSEC", help="default: %(default)s")
    checks = parser.add_argument_group("measurements and corrections")
    checks.add_argument("--max-offset", type=float, default=3.0, metavar="ARCSEC",
                        help="largest offset of a field that is corrected (default: %(default)s)")
    checks.add_argument("--search-radius", type=float, default=60.0, metavar="ARCSEC",
                        help="largest offset of a field that is looked for (default: %(default)s)")
    checks.add_argument("--max-residual", type=float, metavar="ARCSEC",
                        help="of one galaxy, after that (default: half the FWHM of the wider PSF)")
    checks.add_argument("--no-correction", action="store_true", help="do not correct the astrometry")
    checks.add_argument("--resample", choices=("auto", "always", "never"), default="auto",
                        help="put target stamps on the grid of the input stamps (default: where they are rotated)")
    checks.add_argument("--subtract-background", action="store_true",
                        help="subtract the background, which is always measured")
    checks.add_argument("--mask-neighbors", action="store_true", help="give other sources weight 0 in both surveys")
    checks.add_argument("--mask-neighbours", action="store_true", help=argparse.SUPPRESS)  # before version 0.2
    checks.add_argument("--min-snr", type=float, default=5.0, help="flag a galaxy below it (default: %(default)s)")
    checks.add_argument("--min-coverage", type=float, default=0.9, metavar="PART",
                        help="of a stamp that must be on its image (default: %(default)s)")
    checks.add_argument("--drop", metavar="FLAG[,FLAG]", help="flags with which a pair is left out (default: "
                        "masked_center,saturated,astrometry,unverified,misaligned)")
    parser.add_argument("--resume", action="store_true", help="resume an interrupted run")
    parser.add_argument("--sheet", type=int, default=50, metavar="N",
                        help="pairs on the contact sheet, a random sample (default: %(default)s; 0 for none)")
    parser.add_argument("--seed", type=int, help="seed of that sample (default: 0)")
    add_overwrite(parser)


def pair(options):
    """Run the subcommand."""
    sheet = _sheet_path(options)
    import astropy.units as u

    from astro_galtrans.pairs import match_pairs

    given = {name: getattr(options, name) for name in (
        "ra", "dec", "redshift", "id", "target_catalog", "input_survey", "target_survey", "input_size", "resample",
        "min_snr", "min_coverage", "overwrite", "resume")}
    given |= {name: getattr(options, name) * u.arcsec for name in ("match_radius", "max_offset", "search_radius")}
    given |= {f"{side}_bands": _bands(getattr(options, f"{side}_bands")) for side in _SIDES}
    if options.max_residual is not None:
        given["max_residual"] = options.max_residual * u.arcsec
    if options.unit is not None:
        unit = options.unit.split(",")
        given["unit"] = unit[0] if len(unit) == 1 else tuple(unit)
    if options.drop is not None:
        given["drop"] = tuple(name for name in options.drop.split(",") if name)
    try:
        pairs = match_pairs(
            options.catalog, *(_images(getattr(options, side), side) for side in _SIDES), path=options.pairs,
            correct_astrometry=not options.no_correction, progress=not options.quiet,
            background="subtract" if options.subtract_background else "measure",
            neighbors="mask" if _masks_neighbors(options) else "flag", **given)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command with --resume resumes it") from None
    dropped, fields = (str(path_beside(options.pairs, f"{name}.ecsv")) for name in ("dropped", "fields"))
    lines = [f"{options.pairs}: {pairs}"]
    if sheet is not None:
        _write_sheet(pairs, sheet, options)
        lines.append(str(sheet))
    if len(pairs.dropped):
        lines.append(f"{dropped}: {_counted(pairs.dropped['reason'])}")
    lines.append(f"{fields}: {_offsets(pairs.fields)}")
    return Result(lines, {
        "pairs": options.pairs, "n": len(pairs), "n_dropped": len(pairs.dropped), "fields": fields,
        "dropped": dropped if len(pairs.dropped) else None, "sheet": None if sheet is None else str(sheet)})


def _masks_neighbors(options):
    from astropy.utils.exceptions import AstropyDeprecationWarning

    if options.mask_neighbours:
        warnings.warn("``--mask-neighbours`` is deprecated; use --mask-neighbors", AstropyDeprecationWarning,
                      stacklevel=2)
    return options.mask_neighbors or options.mask_neighbours


def _sheet_path(options):
    """Path of the contact sheet; an error before the work if it cannot be drawn."""
    if options.sheet < 0:
        raise ValueError(f"--sheet must not be negative, got {options.sheet}")
    if options.sheet == 0:
        if options.seed is not None:
            raise ValueError(f"--seed is for the contact sheet and has no effect with --sheet 0, got {options.seed}")
        return None
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise ImportError('the contact sheet needs matplotlib: pip install "astro_galtrans[report]", or --sheet 0')

    return path_beside(options.pairs, "sheet.png")


def _bands(text):
    if text is None:
        return None
    return text.split(",") if "," in text else text


def _images(groups, side):
    """Images for `match_pairs` from the paths of the command line."""
    tiles = [_tile(paths, side) for paths in groups]
    return tiles if len(tiles) > 1 or isinstance(tiles[0], list) else tiles[0]


def _tile(paths, side):
    """A dict of band to path, or one path."""
    try:
        tile = bands_of(paths)
    except ValueError as error:
        raise ValueError(f"--{side}: {error}") from error
    if tile is not None:
        return tile
    return paths[0] if len(paths) == 1 else list(paths)


def _counted(reasons):
    counts = {}
    for reason in reasons:
        counts[str(reason)] = counts.get(str(reason), 0) + 1
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda one: -one[1]))
    return f"{sum(counts.values())} galaxies without a pair: {listed}"


def _offsets(fields):
    import numpy as np

    size = np.hypot(fields["east"], fields["north"])
    known = np.isfinite(size)
    if not known.any():
        return f"{len(fields)} fields, all with unknown offset"
    return (f"{len(fields)} field{'s' if len(fields) > 1 else ''}, the images {np.median(size[known]):.2f} arcsec "
            f"apart in the median, {size[known].max():.2f} at most")


def _write_sheet(pairs, path, options):
    """Draw a random sample of pairs."""
    import numpy as np

    from astro_galtrans.evaluation import contact_sheet

    rows = np.sort(np.random.default_rng(options.seed or 0).permutation(len(pairs))[:options.sheet])
    batch = pairs.read(rows, images=["input_flux", "target_flux"])
    surveys = (pairs.input_survey, pairs.target_survey)
    contact_sheet(list(zip(batch["input_flux"], batch["target_flux"])), path, [str(name) for name in batch["ids"]],
                  surveys=surveys, names=[survey.name for survey in surveys])
