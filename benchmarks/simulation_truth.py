"""Measure how much of the flux simulated stamps and PSF images contain, and how far images are from the truth.

    python benchmarks/simulation_truth.py --n 200

Three parts are printed, each for SDSS and CFHTLS and the bright sample:

- flux: the magnitude of the galaxy in its stamp, without noise, neighbors and dust of the Galaxy, minus ``input_mag``
  or ``target_mag``: median over galaxies and bands and 95th percentile, for observed galaxies, and for smooth ones
  under a plain sky;
- psf: the fraction of the flux of the typical PSF of each band outside the image that ``psf=True`` keeps;
- truth: the largest difference of a pixel of flux and truth in units of the standard deviation that the weight gives:
  median, 95th percentile and maximum over galaxies, without artifacts: of the galaxy alone, without errors of positions
  and zero points too, and with neighbors and stars.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u  # noqa: E402
import numpy as np  # noqa: E402

from astro_galtrans.pairs import psf_side  # noqa: E402
from astro_galtrans.simulation import Sky, get_conditions, simulate_pairs  # noqa: E402
from astro_galtrans.surveys import get_survey  # noqa: E402

SIDES = {"input": "SDSS", "target": "CFHTLS"}
FINE = 0.05  # arcsec


def missing_flux(options, galaxies, sky):
    """Print magnitudes in the stamp minus those of the catalog."""
    pairs = simulate_pairs(options.n, seed=options.seed, galaxies=galaxies, sky=sky, truth=True)
    for side, name in SIDES.items():
        survey = get_survey(name)
        zero_points = np.array([band.zero_point for band in survey])
        flux = getattr(pairs, f"{side}_truth").sum(axis=(2, 3))
        missing = zero_points - 2.5 * np.log10(flux) - pairs.catalog[f"{side}_mag"].value
        print(f"flux, {galaxies}, {name}: {np.median(missing):.3f} mag, 95 % below {np.percentile(missing, 95):.3f}")


def profile(radius, psf, row):
    """Return the typical profile of a band at radii in arcsec, of flux 1."""
    beta, wings, scale = (np.broadcast_to(value, row + 1)[row] if np.ndim(value) == 0 else value[row]
                          for value in (psf.beta, psf.wings, psf.wing_scale))

    def of_core_width(radius, width):
        alpha = width / (2 * np.sqrt(2 ** (1 / beta) - 1))
        core = (beta - 1) / (np.pi * alpha**2) * (1 + (radius / alpha) ** 2) ** -beta
        return (1 - wings) * core + wings / (2 * np.pi * (scale * width) ** 2) * (1 + (
            radius / (scale * width)) ** 2) ** -1.5

    # The width of the conditions is that of core and wings together.
    fine = np.linspace(0, 1, 10001)
    together = 2 * fine[np.argmax(of_core_width(fine, 1.0) < of_core_width(0.0, 1.0) / 2)]
    return of_core_width(radius, psf.fwhm[row] / together)


def outside_psf(name):
    """Print the fraction of the flux of the PSF outside its image."""
    survey = get_survey(name)
    half, psf = psf_side(survey) * survey.pixel_scale.to_value(u.arcsec) / 2, get_conditions(survey).psf
    axis = (np.arange(round(2 * half / FINE)) + 0.5) * FINE - half
    radius = np.hypot(axis, axis[:, None])
    outside = [1 - profile(radius, psf, row).sum() * FINE**2 for row in range(len(survey))]
    print(f"psf, {name}: " + ", ".join(f"{band} {part:.3f}" for band, part in zip(survey.band_names, outside)))


def distance_from_truth(options, label, **parts):
    """Print the largest difference of flux and truth in units of the noise."""
    pairs = simulate_pairs(options.n, seed=options.seed, truth=True, sky=Sky(artifacts=None, **parts))
    for side, name in SIDES.items():
        flux, truth, weight = (getattr(pairs, f"{side}_{kind}") for kind in ("flux", "truth", "weight"))
        largest = (np.abs(flux - truth) * np.sqrt(weight)).max(axis=(1, 2, 3))
        print(f"truth, {label}, {name}: median {np.median(largest):.1f} sigma, 95 % below "
              f"{np.percentile(largest, 95):.1f}, at most {largest.max():.1f}")


def main():
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="galaxies (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in SIDES.values():
        outside_psf(name)
    missing_flux(options, "observed", Sky(scene=None, extinction=None))
    missing_flux(options, "templates", "plain")
    distance_from_truth(options, "galaxy alone", scene=None)
    distance_from_truth(options, "without errors", scene=None, astrometry=None, calibration=None)
    distance_from_truth(options, "with neighbors")


if __name__ == "__main__":
    main()
