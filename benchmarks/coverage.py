"""Measure how often the truth is within the errors that samples of a translator give, before and after calibration.

    python benchmarks/coverage.py --n 1100 --epochs 5 --out benchmarks/results/coverage

A small translator is trained on simulated galaxies of the realistic sky, its errors are measured on the validation
galaxies (before), and on as many held-out ones by `astro_galtrans.translation.calibrate` (after). On the test galaxies,
measurements of each sample are compared with those of the noiseless target image. ``coverage.ecsv`` has a row for each
measurement, half of the galaxies by brightness, and way to get the errors: the fraction of the true values within the
central 50, 68 and 95 % of the samples, and the scatter of the differences in units of the spread. The rows
``independent`` have the errors of apertures from independent pixels.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans.backbones import aperture_fluxes
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.training import fit
from astro_galtrans.translation import calibrate

LEVELS = (0.50, 0.68, 0.95)
RADII = (1.0, 2.0, 4.0)
GROWTH = np.geomspace(0.3, 4, 12)  # arcsec
NETWORK = {"widths": [8, 16], "n_features": 8}
N_BATCH = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1100)
    parser.add_argument("--size", type=int, default=32, help="of the input, in pixels")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pairs = simulate_pairs(options.n, input_survey="SDSS", target_survey="CFHTLS", seed=options.seed, truth=True,
                           input_size=options.size)
    train, valid, held, test = pairs.split((0.45, 0.18, 0.18, 0.19), seed=options.seed)
    translator = fit(train, validation=valid, epochs=options.epochs, seed=options.seed, batch_size=16,
                     backbone_options=NETWORK).translator
    table = coverage({"before": translator, "after": calibrate(translator, held)}, test, options.samples)
    options.out.mkdir(parents=True, exist_ok=True)
    table.write(options.out / "coverage.ecsv", overwrite=True)


def coverage(translators, test, n_samples):
    """Return a table with the coverage of each measurement by samples of each translator."""
    rows, truth = [], np.asarray(test.target_truth)
    true = measurements(truth, test.target_survey)
    flux = true["aperture 2 arcsec"][:, len(test.target_survey) // 2, 0]
    bright = flux > np.median(flux)
    groups = {"all": np.ones(len(test), bool), "bright": bright, "faint": ~bright}
    for name, translator in translators.items():
        drawn, mean, independent = [], [], []
        for start in range(0, len(test), N_BATCH):
            part = slice(start, min(start + N_BATCH, len(test)))
            given = {"weight": None if test.input_weight is None else test.input_weight[part], "allow_missing": False,
                     **translator.known_fwhms(test, part)}
            samples = translator.sample_array(test.input_flux[part], n_samples=n_samples, seed=1,
                                              galaxies=np.arange(part.start, part.stop), **given)
            drawn.append([measurements(one, test.target_survey) for one in samples])
            image, sigma = translator.translate_array_with_uncertainty(test.input_flux[part], **given)
            mean.append(measurements(image, test.target_survey))
            independent.append(measurements(sigma**2, test.target_survey))
        for key, value in true.items():
            spread = np.concatenate([np.stack([one[key] for one in part]) for part in drawn], 1)
            center = np.concatenate([one[key] for one in mean])
            noise = np.random.default_rng(0).uniform(size=value.shape)
            rank = ((spread < value).sum(0) + noise) / (n_samples + 1)
            spread = np.maximum(spread.std(0), 1e-30)  # 0 for a half-light radius below the smallest aperture
            pull = (value - center) / spread
            for group, chosen in groups.items():
                rows.append(row(name, key, group, rank[chosen], pull[chosen]))
            if key.startswith("aperture"):
                error = np.sqrt(np.concatenate([one[key] for one in independent]))
                rows.append(row(f"{name}, independent", key, "all", normal((value - center) / error),
                                (value - center) / error))
    table = Table(rows=rows)
    for column in table.itercols():
        if column.dtype.kind == "f":
            column.format = ".3f"
            column[:] = np.round(column, 3)
    return table


def row(errors, measurement, galaxies, rank, pull):
    """Return one row of the table: coverage at each level, and scatter of the pulls."""
    finite = np.isfinite(pull)
    within = {f"within_{100 * level:.0f}": np.mean(abs(rank[finite] - 0.5) < level / 2) for level in LEVELS}
    return {"errors": errors, "measurement": measurement, "galaxies": galaxies, "n": int(finite.sum()), **within,
            "scatter_of_pulls": 1.4826 * np.median(abs(pull[finite]))}


def normal(pull):
    """Return the rank of pulls under a normal distribution."""
    return torch.special.ndtr(torch.from_numpy(pull)).numpy()


def measurements(images, survey):
    """Return measurements of images of shape (galaxy, band, Y, X), each an array (galaxy, band or color, value)."""
    images = torch.from_numpy(np.nan_to_num(np.asarray(images, dtype=np.float32)))
    scale = survey.pixel_scale.to_value("arcsec")
    fluxes, areas = (part.double().numpy() for part in aperture_fluxes(images, tuple(np.array(RADII) / scale)))
    noise = survey.sky_noise[:, None] * np.sqrt(areas)
    magnitude = np.arcsinh(fluxes / (2 * noise))  # softened, so that a negative flux has a color too
    color = np.diff(magnitude, axis=1)
    ring = np.arcsinh((fluxes[..., 2] - fluxes[..., 0]) / (2 * noise[:, 2]))
    found = {f"aperture {radius:g} arcsec": fluxes[..., k, None] for k, radius in enumerate(RADII)}
    found |= {f"color {radius:g} arcsec": color[..., k, None] for k, radius in enumerate(RADII)}
    found["color gradient"] = (np.diff(ring, axis=1) - color[..., 0])[..., None]
    growth = aperture_fluxes(images, tuple(GROWTH / scale))[0].double().numpy()
    share = np.maximum.accumulate(growth, axis=-1) / np.maximum(growth[..., -1:], 1e-9)
    below = (share < 0.5).sum(-1).clip(1, len(GROWTH) - 1)[..., None]
    low, high = (np.take_along_axis(share, below - step, -1) for step in (1, 0))
    part = ((0.5 - low) / np.maximum(high - low, 1e-9)).clip(0, 1)
    found["half-light radius"] = GROWTH[below - 1] + part * (GROWTH[below] - GROWTH[below - 1])
    y, x = (np.arange(n) - (n - 1) / 2 for n in images.shape[-2:])
    inside = np.hypot(y[:, None], x) < RADII[-1] / scale
    found["pixel"] = images.numpy()[..., inside][..., ::7]
    return found


if __name__ == "__main__":
    main()
