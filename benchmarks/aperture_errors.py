"""Compare errors of aperture fluxes of translated images with those of independent pixels.

    python benchmarks/aperture_errors.py sdss-to-cfhtls --n 400 --seed 71

For simulated galaxies outside the training set, fluxes in circles around the center of the translation are compared
with those of the noiseless target image. Each row has the scatter (1.4826 times the median absolute deviation) of the
difference over the error for independent pixels; the fraction of galaxies within one error of the truth before and
after a correction for correlated pixels, ideally 0.683; and the same for colors after the correction. The last line
is the best-fit correlation length in arcsec; `astro_galtrans.field` uses that of the shipped translator.
"""

import argparse

import numpy as np
from photutils.aperture import CircularAperture

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

RADII = (1.0, 2.0, 3.0, 4.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("translator")
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=71)
    options = parser.parse_args()
    translator = load(options.translator)
    pairs = simulate_pairs(options.n, input_survey=translator.input_survey, target_survey=translator.target_survey,
                           seed=options.seed, truth=True, galaxies="templates", sky="plain")
    flux, sigma = translator.translate_array_with_uncertainty(pairs.input_flux)
    scale = translator.target_survey.pixel_scale.to_value("arcsec")
    bands = translator.target_survey.band_names
    found, true, independent = measured(flux, sigma, np.asarray(pairs.target_truth), scale)
    factor = scatter((found - true) / independent)  # shape (radius, band)
    lengths = np.geomspace(0.05, 3, 300)
    model = np.array([inflation(np.array(RADII), length, scale) for length in lengths])  # shape (length, radius)
    best = np.argmin(np.sum(np.log(model[:, :, None] / factor)**2, axis=(1, 2)))
    corrected = model[best]
    print("radius band  factor  within before  within after  factor, color  within after, color")
    magnitude = [np.log(np.maximum(one, 1e-9)) for one in (found, true)]
    relative = independent / found
    for row, radius in enumerate(RADII):
        for k, band in enumerate(bands):
            z = (found - true)[:, row, k] / independent[:, row, k]
            after = np.mean(np.abs(z) < corrected[row])
            color = ""
            if k + 1 < len(bands):
                both = relative[:, row, k:k + 2]
                bright = ((both > 0) & (both < 0.2)).all(axis=1)
                error = np.hypot(relative[bright, row, k], relative[bright, row, k + 1])
                difference = [one[bright, row, k] - one[bright, row, k + 1] for one in magnitude]
                z_color = (difference[0] - difference[1]) / error
                color = f"{scatter(z_color):6.2f}  {np.mean(np.abs(z_color) < corrected[row]):.3f}"
            print(f"{radius:4g}  {band:4s} {factor[row, k]:6.2f}  {np.mean(np.abs(z) < 1):.3f}  {after:.3f}  {color}")
    print(f"correlation length {lengths[best]:.3f} arcsec; inflation {np.round(corrected, 2)}")


def measured(flux, sigma, truth, scale):
    """Return translated flux, true flux and error for independent pixels, each of shape (galaxy, radius, band)."""
    shape = flux.shape[-2:]
    center = tuple((side - 1) / 2 for side in shape[::-1])
    circles = [CircularAperture(center, radius / scale) for radius in RADII]
    weights = np.array([circle.to_mask(method="exact").to_image(shape) for circle in circles])
    sums = [np.einsum("gbyx,ryx->grb", np.nan_to_num(one).astype(float), weights) for one in (flux, truth)]
    return (*sums, np.sqrt(np.einsum("gbyx,ryx->grb", np.nan_to_num(sigma).astype(float)**2, weights**2)))


def inflation(radius, length, scale):
    """Return the factor of `astro_galtrans.field`: pixels within a correlation length share their error."""
    return np.sqrt(1 + (np.pi * length**2 / scale**2) * (1 - np.exp(-(radius / length)**2)))


def scatter(values):
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)


if __name__ == "__main__":
    main()
