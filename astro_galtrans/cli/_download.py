"""``galtrans download``: images from the archives of the surveys."""

from astro_galtrans.cli._common import Result, add_overwrite

__all__ = ["add_download", "download"]


def add_download(verb):
    """Add the arguments of the verb."""
    verb.add_argument("ra", metavar="RA", help="right ascension, in degrees or as 15h18m34.9s")
    verb.add_argument("dec", metavar="DEC", help="declination, in degrees or as +42d49m21s")
    verb.add_argument("--survey", default="SDSS", metavar="NAME",
                      help="SDSS (whole frames, with PSF) or CFHTLS (cutouts of MegaPipe) (default: %(default)s)")
    verb.add_argument("--out", required=True, metavar="DIR",
                      help="folder for the files; what is in it already is not fetched again")
    verb.add_argument("--bands", metavar="BANDS", help="bands, as gri (default: all of the survey)")
    verb.add_argument("--size", type=float, default=60, metavar="ARCSEC", help="side of cutouts (default: %(default)s)")
    verb.add_argument("--mask", action="store_true", help="the masks of the SDSS frames too (fpM)")
    verb.add_argument("--fallback", action="store_true",
                      help="where the archive fails, images of the CDS (HiPS), which are not for photometry")
    add_overwrite(verb)


def download(options):
    """Run the verb."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    from astro_galtrans.archives import download_images

    position = SkyCoord(options.ra, options.dec, unit=(u.deg if _is_number(options.ra) else u.hourangle, u.deg))
    files = download_images(
        position, options.out, options.survey, bands=options.bands, size=options.size * u.arcsec, mask=options.mask,
        fallback=options.fallback, overwrite=options.overwrite)
    paths = files.files()
    return Result([str(path) for path in paths], {
        "survey": files.survey, "files": paths, "images": files.images, "psf": files.psf, "mask": files.mask})


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
