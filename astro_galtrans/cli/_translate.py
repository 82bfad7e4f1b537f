"""Subcommand ``translate``."""

from pathlib import Path

from astro_galtrans.cli._common import (
    Result, add_device, add_overwrite, add_reading, add_seed, bands_of, device_named, load_one, read_config,
)

__all__ = ["add_translate", "translate"]

_OF_CUBES = ("redshift", "redshift_error", "spectrum")
_OF_FIELDS = ("catalog", "detect", "max_magnitude", "size")
_OPTIONS = {"size": "input-size", "max_magnitude": "max-magnitude", "redshift_error": "redshift-error",
            "mask_bits": "mask-bits"}


def add_translate(parser):
    """Add the arguments of the subcommand."""
    parser.epilog += "\n  galtrans translate sdss-to-cfhtls galaxy1.fits galaxy2.fits --out translated\n" \
                     "  galtrans translate t.asdf g=my-g.fits r=my-r.fits i=my-i.fits --out translated\n" \
                     "  galtrans translate t.asdf pairs.zarr --out translated.zarr"
    parser.add_argument("translator", metavar="TRANSLATOR", help="trained translator, as t.asdf, or the name "
                        "of one that comes with the package, sdss-to-cfhtls")
    parser.add_argument("cubes", nargs="*", metavar="CUBE", help="FITS cubes of one galaxy each; the bands of one "
                        "galaxy, as g=my-g.fits r=my-r.fits; or one set of pairs, as pairs.zarr, whose input images "
                        "are translated")
    parser.add_argument("--out", required=True, metavar="DIR",
                        help="folder to write to; of pairs, the set to make, as translated.zarr")
    given = parser.add_argument_group(
        "a translator that is conditioned on more than the image", "values of each cube; for a field, give "
        "--catalog columns redshift, redshift_error or spectrum; pairs have their own")
    given.add_argument("--redshift", metavar="Z[,Z...]", help="one for all or one for each; nan if unknown")
    given.add_argument("--redshift-error", metavar="DZ[,DZ...]", help="standard deviation, one for all or one for each")
    given.add_argument("--spectrum", metavar="FILE[,FILE...]",
                       help="one for each, in a format that specutils reads; none for a cube without")
    psfs = parser.add_argument_group("a translator that takes the PSFs of input and target")
    psfs.add_argument("--psf-fwhm", metavar="ARCSEC", help="FWHM of the PSF of the input, one for all bands or "
                      "BAND=ARCSEC[,BAND=ARCSEC...] (default: that of the PSF in the files, or unknown)")
    psfs.add_argument("--target-psf", metavar="ARCSEC", help="FWHM of the PSF that the translations are to have, as "
                      "--psf-fwhm (default: the median of the training)")
    samples = parser.add_argument_group("a translator that draws samples, as with the backbone diffusion")
    samples.add_argument("--n-samples", type=int, metavar="N",
                         help="images to draw of each galaxy: the mean, with their spread as uncertainty (default: 1)")
    add_seed(samples, "the samples", default=None)
    samples.add_argument("--steps", type=int, metavar="N",
                         help="steps of the sampler (default: those of the translator)")
    field = parser.add_argument_group("a whole field")
    field.add_argument("--frames", nargs="+", metavar="PATH",
                       help="files, each with a band, or a folder or pattern of them, as SDSS corrected frames")
    which = field.add_mutually_exclusive_group()
    which.add_argument("--catalog", metavar="TABLE", help="sources, with the columns ra and dec, in degrees where they "
                       "have no unit; or a set of pairs, without --frames")
    which.add_argument("--detect", action="store_true", help="find the galaxies (the default without --catalog)")
    field.add_argument("--max-magnitude", type=float, metavar="MAG", help="faintest to detect, in r (default: 20.5)")
    field.add_argument("--input-size", "--size", dest="size", type=int, metavar="PIXELS",
                       help="side of the input cutouts (default: 64)")
    parser.add_argument("--allow-missing", action="store_true", help="also translate galaxies of which a band has no "
                        "data, with a translator that was trained with missing bands")
    add_reading(parser.add_argument_group("FITS files"))
    add_device(parser)
    add_overwrite(parser)


def translate(options):
    """Run the subcommand."""
    pairs = _pairs_of(options)
    _check(options, pairs)
    from astro_galtrans.exceptions import BandMismatchError
    from astro_galtrans.field import translate_field, translate_files, translate_pairs

    translator = load_one(options.translator, "Translator")
    common = {"overwrite": options.overwrite, "device": device_named(options.device), "progress": not options.quiet,
              "n_samples": options.n_samples, "seed": options.seed, "n_steps": options.steps,
              "allow_missing": options.allow_missing, "psf_fwhm": _widths("--psf-fwhm", options.psf_fwhm),
              "target_psf": _widths("--target-psf", options.target_psf)}
    if pairs is not None:
        made = translate_pairs(translator, pairs, options.out, **common)
        return Result([f"{options.out}: {made}"], {"pairs": options.out, "n": len(made)})
    if options.frames is None:
        bands = bands_of(options.cubes)
        galaxies = options.cubes if bands is None else [bands]
        try:
            paths = translate_files(translator, galaxies, options.out, read_config=read_config(options),
                                    **_conditions(options, len(galaxies)), **common)
        except BandMismatchError as error:
            if bands is None and "dict of band" not in str(error):
                raise BandMismatchError(f"{error}; give the files of one galaxy as g=my-g.fits r=my-r.fits") from error
            raise
        return Result([str(path) for path in paths], {"files": paths})
    given = {name: getattr(options, name) for name in ("max_magnitude", "size")}
    table = translate_field(
        translator, options.frames[0] if len(options.frames) == 1 else options.frames, options.out,
        catalog=options.catalog, read_config=read_config(options),
        **{name: value for name, value in given.items() if value is not None}, **common)
    n_translated = int((table["status"] == "translated").sum())
    why = "" if n_translated == len(table) else "; catalog.ecsv has the reason for each of the others"
    return Result([f"{options.out}: {n_translated} of {len(table)} sources translated{why}"], {
        "folder": options.out, "catalog": f"{options.out}/catalog.ecsv", "n_sources": len(table),
        "n_translated": n_translated})


def _pairs_of(options):
    """The set of pairs to translate, None for a field or cubes."""
    given = options.cubes if options.catalog is None else [options.catalog, *options.cubes]
    if options.frames is not None:
        return None
    found = [path for path in given if Path(path).suffix == ".zarr" or Path(path).is_dir()]
    if found and len(given) > 1:
        raise ValueError(f"one set of pairs at a time is translated, and nothing beside it; got {' and '.join(given)}")
    if found and next(Path(found[0]).glob("*.fit*"), None) is not None:
        raise ValueError(f"{found[0]} is a folder of FITS files, not a set of pairs; give the images of a field as "
                         f"--frames {found[0]}, and cubes as {found[0]}/*.fits")
    return found[0] if found else None


def _check(options, pairs):
    """Raise ValueError unless there is either a field, single cubes or pairs, with its own options."""
    if pairs is not None:
        for name in (*_OF_CUBES, "max_magnitude", "size", "detect", "unit", "mask_bits"):
            if getattr(options, name) not in (None, False):
                raise ValueError(f"--{_OPTIONS.get(name, name)} does not go with pairs, as {pairs}")
        return
    if options.frames is None and not options.cubes:
        if options.catalog is not None:
            raise ValueError("--catalog needs --frames, the images that its sources are on, or is a set of pairs, as "
                             f"pairs.zarr; got {options.catalog}")
        raise ValueError("name the FITS cubes to translate, or a field with --frames")
    if options.frames is not None and options.cubes:
        raise ValueError(f"either cubes or --frames, got both: {', '.join(options.cubes)} and {options.frames[0]}")
    if options.frames is None:
        for name in _OF_FIELDS:
            if getattr(options, name) not in (None, False):
                raise ValueError(f"--{_OPTIONS.get(name, name)} goes with --frames, not with cubes")
    else:
        for name in _OF_CUBES:
            if getattr(options, name) is not None:
                raise ValueError(
                    f"--{_OPTIONS.get(name, name)} goes with cubes; for a field, give --catalog a column {name}")
    if options.max_magnitude is not None and options.catalog is not None:
        raise ValueError("--max-magnitude goes with --detect; a catalog is translated whole")


def _conditions(options, n):
    """Conditioning of the n galaxies, by the names of `translate_files`."""
    given = {}
    if options.redshift is not None:
        given["redshift"] = _numbers("--redshift", options.redshift, n)
    if options.redshift_error is not None:
        given["redshift_error"] = _numbers("--redshift-error", options.redshift_error, n)
    if options.spectrum is not None:
        given["spectrum"] = [None if path in ("", "none") else path for path in options.spectrum.split(",")]
    return given


def _widths(argument, text):
    """Return a FWHM for all bands, a dict of band to FWHM, or None."""
    if text is None:
        return None
    widths = {}
    try:
        if "=" not in text:
            return float(text)
        for part in text.split(","):
            band, _, width = part.partition("=")
            widths[band.strip()] = float(width)
    except ValueError:
        raise ValueError(f"{argument} must be a number of arcsec, or BAND=ARCSEC separated by commas, got {text!r}"
                         ) from None
    return widths


def _numbers(argument, text, n):
    """One number for all, or one for each, separated by commas."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{argument} must be numbers separated by commas, got {text!r}") from None
    return numbers * n if len(numbers) == 1 else numbers
