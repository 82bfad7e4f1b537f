"""Call public functions with wrong values of each parameter, and count how they answer.

Each call starts from valid arguments and replaces one of them. The answers are

- ``named``: a ValueError or TypeError (or a subclass) whose message names the parameter;
- ``unnamed``: a ValueError or TypeError whose message does not;
- ``other``: any other error, or a warning that is an error in the tests;
- ``accepted``: a result. Some of these are right: an argument that may be None, or a number that is merely large;
- ``meaningless``: an accepted object of no meaning (``object()``, a complex number, NaN) in place of a number, a text
  or a flag;
- ``slow``: no answer within the limit, except for a huge number, which may ask for work without end.

Run it from the root of the repository::

    python tests/fuzz/arguments.py                     # all functions, a table of counts
    python tests/fuzz/arguments.py nz_metrics --show   # one function, with the calls that have no clear answer

It ends with status 1 if there is an answer ``other`` or ``slow``.
"""

import argparse
import contextlib
import inspect
import io
import math
import resource
import signal
import sys
import warnings
from collections import Counter

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.nddata import StdDevUncertainty
from astropy.table import Table
from astropy.wcs import WCS
from specutils import Spectrum

from astro_galtrans import gradients, images, pairs, photoz, simulation, spectra, surveys
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.field import FieldConfig, TranslationConfig
from astro_galtrans.evaluation import EvaluationConfig, PopulationsConfig
from astro_galtrans.training import TrainConfig
from astro_galtrans.translation import Conditions, Sampling

ANSWERS = ("named", "unnamed", "other", "accepted", "meaningless", "slow")
LIMIT = 10  # seconds of one call
MEMORY = 8 * 2**30


class Nothing:
    """An object without any meaning."""


class Moffat:
    """A model of a PSF."""

    def image(self, band, x, y):
        return np.ones((5, 5)) / 25


WRONG = {
    "None": None, "object": Nothing(), "text": "nonsense", "empty text": "", "bytes": b"nonsense", "nan": math.nan,
    "inf": math.inf, "complex": 1j, "negative": -1, "negative float": -0.5, "huge": 10**12, "bool": True, "zero": 0,
    "empty list": [], "dict": {"a": 1}, "list of objects": [Nothing()], "wrong shape": np.zeros((2, 1, 3, 1, 2)),
    "array of NaN": np.full(3, np.nan), "array of text": np.array(["a", "b"]),
    "array of objects": np.array([Nothing()]), "complex array": np.ones(3, complex),
    "quantity": 3 * u.kg, "type": int, "function": len,
}
MEANINGLESS = ("object", "nan", "complex", "list of objects", "array of objects", "complex array", "type", "function")


def sky_wcs(n=16, scale=0.396):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150, 2], [n / 2, n / 2]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    wcs.array_shape = (n, n)
    return wcs


def cases():
    """Return the valid calls: name -> function and arguments."""
    rng = np.random.default_rng(1)
    sdss = surveys.get_survey("SDSS")
    n = 16
    y, x = np.indices((n, n)) - (n - 1) / 2
    profile = np.exp(-(x**2 + y**2) / 18)
    flux = 20 * profile / profile.sum() + sdss.sky_noise[:, None, None] * rng.normal(size=(5, n, n))
    cube = images.BandCube(flux, unit="nmgy", wcs=sky_wcs(), bands="ugriz", survey="SDSS")
    stack = np.stack([flux] * 3)
    unit = 1e-17 * u.erg / u.s / u.cm**2 / u.AA
    spectrum = Spectrum(flux=np.full(300, 2.0) * unit, spectral_axis=np.linspace(3000, 11000, 300) * u.AA,
                        uncertainty=StdDevUncertainty(np.full(300, 0.1)))
    grid = np.linspace(0, 1, 21)
    z_spec = rng.uniform(0.1, 0.9, 30)
    z_phot = z_spec + rng.normal(0, 0.02, 30)
    pdf = photoz.RedshiftPDF(grid, np.exp(-((grid - z_spec[:, None]) / 0.1)**2 / 2))
    sky = SkyCoord(150 + rng.uniform(0, 0.1, 5), 2 + rng.uniform(0, 0.1, 5), unit="deg")
    radii = np.array([0.0, 1.0, 2.0]) * u.arcsec
    scale = 0.396 * u.arcsec
    three = dict(zip("ugriz", images.split_bands(cube).values()))
    target = np.zeros((3, 5, 34, 34)) + 1.0
    set_of_pairs = pairs.PairSet.from_arrays(stack, target, input_survey="SDSS", target_survey="CFHTLS",
                                             redshift=[0.1, 0.2, 0.3])
    table = Table({"z_spec": z_spec, "pdf": pdf.density})
    band = sdss["r"]
    found = {
        "surveys.Band": (surveys.Band, dict(name="r", wavelength=band.wavelength, response=band.response,
                                            zero_point=22.5, psf_fwhm=1 * u.arcsec, sky_noise=0.1, gain=4.0)),
        "surveys.Survey": (surveys.Survey, dict(name="Mine", bands=sdss.bands, pixel_scale=scale, unit="nmgy",
                                                description="", keywords={})),
        "surveys.get_survey": (surveys.get_survey, dict(name="SDSS")),
        "surveys.register_survey": (surveys.register_survey, dict(survey=sdss, overwrite=True)),
        "surveys.same_name": (surveys.same_name, dict(one="SDSS", other="sdss")),
        "surveys.matching_size": (surveys.matching_size, dict(
            size=16, input_scale=scale, target_scale=0.187 * u.arcsec)),
        "surveys.synthetic_magnitude": (surveys.synthetic_magnitude, dict(spectrum=spectrum, band=band)),
        "surveys.band_flux_density": (surveys.band_flux_density, dict(
            wavelength=np.linspace(3000, 11000, 300) * u.AA, flux_density=np.ones(300) * unit, band=band)),
        "spectra.SpectrumGrid": (spectra.SpectrumGrid, dict(first=3600.0, last=10000.0, n_pixels=64)),
        "spectra.join_arms": (spectra.join_arms, dict(arms=[spectrum])),
        "spectra.resample_spectrum": (spectra.resample_spectrum, dict(spectrum=spectrum, grid=None)),
        "spectra.resample_spectra": (spectra.resample_spectra, dict(spectra=[spectrum], grid=None)),
        "spectra.to_spectrum": (spectra.to_spectrum, dict(flux=np.ones(1024), weight=np.ones(1024), grid=None)),
        "images.BandCube": (images.BandCube, dict(
            data=flux, unit="nmgy", wcs=sky_wcs(), bands="ugriz", survey="SDSS", mask=None, uncertainty=None, psf=None,
            meta=None)),
        "images.BandCube.cutout": (cube.cutout, dict(
            position=SkyCoord(150, 2, unit="deg"), size=8, mode="partial")),
        "images.FieldPSF": (images.FieldPSF, dict(model=Moffat(), wcs={"r": sky_wcs()})),
        "images.FrameSet": (images.FrameSet, dict(images=three, survey="SDSS", reference="r", psf=None)),
        "images.ReadConfig": (images.ReadConfig, {}),
        "images.as_band_cube": (images.as_band_cube, dict(image=cube, survey=None)),
        "images.detect_galaxies": (images.detect_galaxies, dict(
            image=cube, band="r", threshold=1.5, min_pixels=8, kernel_fwhm=None, max_magnitude=None)),
        "images.empty_pixels": (images.empty_pixels, dict(flux=flux[0])),
        "images.flux_and_weight": (images.flux_and_weight, dict(image=cube)),
        "images.like_input": (images.like_input, dict(cube=cube, original=cube)),
        "images.missing_bands": (images.missing_bands, dict(valid=np.ones((5, n, n), bool), pixel_scale=scale)),
        "images.regrid": (images.regrid, dict(image=three["r"], wcs=sky_wcs(20, 0.3), shape=(20, 20), method=None)),
        "images.segment_galaxy": (images.segment_galaxy, dict(image=flux[2], sigma=0.03, pixel_scale=scale)),
        "images.split_bands": (images.split_bands, dict(cube=cube)),
        "images.stack_bands": (images.stack_bands, dict(images=three, survey="SDSS")),
        "images.read_stamps": (images.read_stamps, dict(paths={}, survey="SDSS", bands=None, psf_size=25)),
        "pairs.MatchConfig": (pairs.MatchConfig, {}),
        "pairs.checked_flux": (pairs.checked_flux, dict(flux=stack, survey=sdss, weight=None)),
        "pairs.match_one_to_one": (pairs.match_one_to_one, dict(position=sky, other=sky, radius=1 * u.arcsec)),
        "pairs.PairSet.from_arrays": (pairs.PairSet.from_arrays, dict(
            input_flux=stack, target_flux=target, input_survey="SDSS", target_survey="CFHTLS",
            redshift=[0.1, 0.2, 0.3], ids=None, input_weight=None, target_weight=None)),
        "pairs.PairSet.split": (set_of_pairs.split, dict(fractions=(0.5, 0.5), seed=0)),
        "gradients.annulus_weights": (gradients.annulus_weights, dict(
            shape=(n, n), radii=radii, pixel_scale=scale)),
        "gradients.aperture_weights": (gradients.aperture_weights, dict(
            shape=(n, n), radius=1 * u.arcsec, pixel_scale=scale)),
        "gradients.color_gradient_profile": (gradients.color_gradient_profile, dict(image=cube, bands=("g", "r"))),
        "gradients.color_map": (gradients.color_map, dict(image=cube, bands=("g", "r"), significance=3.0)),
        "gradients.integrate_gradients": (gradients.integrate_gradients, dict(
            gradients=gradients.sed_gradients(cube), anchor=None, total_flux=None, unit=u.Jy)),
        "gradients.match_psf": (gradients.match_psf, dict(image=cube, to=None, method=None)),
        "gradients.radial_color_profiles": (gradients.radial_color_profiles, dict(
            flux=stack, survey="SDSS", bands=("g", "r"), radii=radii)),
        "gradients.radial_fluxes": (gradients.radial_fluxes, dict(
            flux=stack, weights=gradients.annulus_weights((n, n), radii, scale))),
        "gradients.radial_slopes": (gradients.radial_slopes, dict(
            colors=rng.normal(size=(3, 4)), radii=np.array([0.5, 1, 2, 3, 4]))),
        "gradients.sed_gradient_arrays": (gradients.sed_gradient_arrays, dict(
            flux=stack, survey="SDSS", weight=None, softening=None)),
        "gradients.sed_gradients": (gradients.sed_gradients, dict(image=cube)),
        "gradients.sed_spectrum": (gradients.sed_spectrum, dict(image=cube, aperture=None)),
        "photoz.CatalogConfig": (photoz.CatalogConfig, {}),
        "photoz.EstimatorConfig": (photoz.EstimatorConfig, {}),
        "photoz.DistributionAccumulator": (photoz.DistributionAccumulator, {}),
        "photoz.RedshiftPDF": (photoz.RedshiftPDF, dict(grid=grid, density=pdf.density)),
        "photoz.binned_point_metrics": (photoz.binned_point_metrics, dict(
            z_phot=z_phot, z_spec=z_spec, by=z_spec, edges=3)),
        "photoz.combine": (photoz.combine, dict(ensembles=[pdf, pdf], weights=None)),
        "photoz.coverage": (photoz.coverage, dict(pdf=pdf, z_spec=z_spec, levels=None)),
        "photoz.distribution_metrics": (photoz.distribution_metrics, dict(pdf=pdf, z_spec=z_spec, metrics=None)),
        "photoz.evaluate_redshifts": (photoz.evaluate_redshifts, dict(pdf=pdf, z_spec=z_spec, n_bootstrap=5)),
        "photoz.nz_metrics": (photoz.nz_metrics, dict(pdf=pdf, z_spec=z_spec, weights=None, edges=None)),
        "photoz.paired_bootstrap": (photoz.paired_bootstrap, dict(
            z_phot_a=z_phot, z_phot_b=z_phot, z_spec=z_spec, n_bootstrap=5)),
        "photoz.pit_statistics": (photoz.pit_statistics, dict(pit=rng.uniform(size=30))),
        "photoz.point_metrics": (photoz.point_metrics, dict(z_phot=z_phot, z_spec=z_spec)),
        "photoz.read_pdf_table": (photoz.read_pdf_table, dict(source=table, grid=grid)),
        "photoz.fit_catalog_estimator": (photoz.fit_catalog_estimator, dict(
            magnitudes=rng.normal(20, 1, (30, 3)), redshift=z_spec, errors=None, features=None,
            config=photoz.CatalogConfig(epochs=1, n_members=1, width=4, depth=1, n_bins=10, calibrate=False))),
        "photoz.fit_redshift_estimator": (photoz.fit_redshift_estimator, dict(
            flux=np.stack([flux] * 30), redshift=z_spec, survey="SDSS", weight=None, features=None,
            config=photoz.EstimatorConfig(epochs=1, n_members=1, width=4, n_bins=10, calibrate=False))),
        "simulation.SimulationConfig": (simulation.SimulationConfig, {}),
        "simulation.DegradeConfig": (simulation.DegradeConfig, {}),
        "simulation.SemiRealConfig": (simulation.SemiRealConfig, {}),
        "simulation.Artifacts": (simulation.Artifacts, {}),
        "simulation.Noise": (simulation.Noise, {}),
        "simulation.Scene": (simulation.Scene, {}),
        "simulation.Sky": (simulation.Sky, {}),
        "simulation.GalaxyPopulation": (simulation.GalaxyPopulation, dict(
            name="mine", magnitude_range=(15, 18), redshift_range=(0.02, 0.3))),
        "simulation.galaxy_counts": (simulation.galaxy_counts, dict(magnitude=20.0)),
        "simulation.star_counts": (simulation.star_counts, dict(magnitude=20.0)),
        "simulation.simulate_pairs": (simulation.simulate_pairs, dict(
            n=1, seed=1, sky="plain", galaxies="templates", workers=1, input_size=16)),
        "translation.Conditions": (Conditions, {}),
        "translation.Sampling": (Sampling, {}),
        "training.TrainConfig": (TrainConfig, {}),
        "field.FieldConfig": (FieldConfig, {}),
        "field.TranslationConfig": (TranslationConfig, {}),
        "evaluation.EvaluationConfig": (EvaluationConfig, {}),
        "evaluation.PopulationsConfig": (PopulationsConfig, {}),
    }
    return found


def parameters(function, valid):
    """Return the names of the parameters to try: those of the signature, and further keywords of the valid call."""
    signature = inspect.signature(function).parameters
    return [*(name for name, one in signature.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)),
            *(name for name in valid if name not in signature)]


def answer(function, arguments, name, kind):
    """Return how a call answers, and the error."""
    signal.alarm(LIMIT)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            function(**arguments)
    except TimeoutError:
        return ("accepted" if kind == "huge" else "slow"), None
    except (ValueError, TypeError) as error:
        words = {name, name.removesuffix("s"), name.replace("_", " ")}
        return ("named" if any(word in str(error) for word in words) else "unnamed"), error
    except (FileNotFoundError, FileExistsError, PermissionError) as error:  # of a text that is a path
        return "named", error
    except Exception as error:
        return "other", error
    finally:
        signal.alarm(0)
    return ("meaningless" if kind in MEANINGLESS else "accepted"), None


def stop(*_):
    raise TimeoutError


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("functions", nargs="*", help="parts of the names of the functions to try; default: all")
    parser.add_argument("--show", action="store_true", help="print the calls that have no clear answer")
    options = parser.parse_args()
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", GaltransWarning)
    signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    total = Counter()
    print(f"{'':34}" + "".join(f"{one:>12}" for one in ANSWERS))
    for label, (function, valid) in cases().items():
        if options.functions and not any(one in label for one in options.functions):
            continue
        counts = Counter()
        with contextlib.redirect_stderr(io.StringIO()):
            if valid and "paths" not in valid:
                function(**valid)  # the call must be right, and what is computed once does not count as slow
        for name in parameters(function, valid):
            if name in ("path", "out", "checkpoint", "directory"):
                continue  # they would write
            for kind, value in WRONG.items():
                if name == "config" and value is None:
                    continue  # the defaults train for minutes
                result, error = answer(function, {**valid, name: value}, name, kind)
                counts[result] += 1
                if options.show and result in ("other", "meaningless", "slow", "unnamed"):
                    print(f"    {result}: {label}({name}={kind}): {type(error).__name__}: {str(error)[:150]!r}")
        total += counts
        print(f"{label:34}" + "".join(f"{counts[one]:12}" for one in ANSWERS), flush=True)
    print(f"{'all, ' + str(total.total()) + ' calls':34}" + "".join(f"{total[one]:12}" for one in ANSWERS))
    return int(total["other"] + total["slow"] > 0)


if __name__ == "__main__":
    sys.exit(main())
