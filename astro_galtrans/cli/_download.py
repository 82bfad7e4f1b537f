"""``galtrans download``: images from the archives of the surveys."""

import math

from astro_galtrans.cli._common import Result, add_overwrite

_LEGACY, _ANY = "for DECaLS alone: ", "with --service alone: "

__all__ = ["add_download", "download"]


def add_download(verb):
    """Add the arguments of the subcommand."""
    verb.add_argument("ra", metavar="RA", help="right ascension, in degrees or as 15h18m34.9s")
    verb.add_argument("dec", metavar="DEC", help="declination, in degrees or as +42d49m21s")
    verb.add_argument("--survey", metavar="NAME",
                      help="SDSS (whole frames, with PSF), CFHTLS (cutouts of MegaPipe), DECaLS (cutouts of the "
                      "Legacy Surveys), Euclid VIS or Euclid NISP (cutouts of Q1); with --service, the survey whose "
                      "flux scale the images have (default: SDSS, or none with --service)")
    verb.add_argument("--service", metavar="NAME",
                      help="instead of the archive of the survey, any that has SIA2: its address, or one of CADC, "
                      "CADC-MegaPipe, IRSA, IRSA-Euclid-Q1, Rubin-DP1")
    verb.add_argument("--collection", metavar="NAME", help=_ANY + "only images of this collection")
    verb.add_argument("--layer", metavar="NAME", help=_LEGACY + "what to cut from, as ls-dr9 (default: ls-dr10)")
    verb.add_argument("--pixel-scale", type=float, metavar="ARCSEC",
                      help=_LEGACY + "side of the pixels to resample to (default: 0.262)")
    verb.add_argument("--out", required=True, metavar="DIR",
                      help="folder for the files; what is in it already is not fetched again")
    verb.add_argument("--bands", metavar="BANDS", help="bands, as gri or YE,JE (default: all of the survey)")
    verb.add_argument("--size", type=float, metavar="ARCSEC", help="side of cutouts (default: 60)")
    verb.add_argument("--mask", action="store_true", help="the masks of the SDSS frames too (fpM)")
    verb.add_argument("--fallback", action="store_true",
                      help="where the archive fails, images of the CDS (HiPS), which are not for photometry")
    add_overwrite(verb)


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
    """Return the function that downloads what was asked for; an option that would have no effect is an error."""
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
