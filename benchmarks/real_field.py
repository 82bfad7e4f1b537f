"""Aperture magnitudes and colors of a real field, translated and input.

    python benchmarks/real_field.py t.asdf FRAMES --out real_field.ecsv

Two surveys differ in filters and PSF, so a perfect translation changes the magnitude in an aperture. The expected
change is fitted to simulated noiseless galaxies as a linear function of g - r, r - i and the concentration (the
difference of the r magnitudes within the two radii), and evaluated for each galaxy of the field. The columns:

- "offset", the median of translated minus input;
- "expected", the median of the expected change;
- "excess", the median of the difference of the two for each galaxy, with its standard error: 0 would be perfect;
- "scatter", 1.4826 times the median absolute deviation of that difference;
- "input_error", the median error from the noise of the input alone;
- "simulated_excess", the median of translated minus noiseless target of simulated galaxies outside the training set.

A row uses galaxies without neighbors, away from the edge, with a flux above 5 times its error.
"""

import argparse
import logging
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from astropy.table import Table  # noqa: E402

from astro_galtrans.field import translate_field  # noqa: E402
from astro_galtrans.gradients import aperture_weights, radial_fluxes  # noqa: E402
from astro_galtrans.simulation import simulate_pairs  # noqa: E402
from astro_galtrans.storage import load  # noqa: E402

log = logging.getLogger("real_field")
RADII = (2.0, 4.0)
# Magnitude error of a flux of 5 times its error.
_LIMIT = 2.5 / np.log(10) / 5


def magnitudes_of(flux, survey):
    """Return aperture magnitudes of centered stamps, shape (galaxy, band, radius)."""
    weights = np.stack([aperture_weights(flux.shape[-2:], radius, survey.pixel_scale) for radius in RADII])
    total = radial_fluxes(flux, weights)
    zero_point = np.array([band.zero_point for band in survey])[:, None]
    return zero_point - 2.5 * np.log10(np.where(total > 0, total, np.nan))


def simulated_magnitudes(translator, n, seed):
    """Return magnitudes of simulated galaxies: noiseless in both surveys, and translated; and which are measured."""
    pairs = simulate_pairs(
        n, input_survey=translator.input_survey, target_survey=translator.target_survey, seed=seed, sample="faint",
        input_size=32, truth=True, galaxies="templates", sky="plain")
    redshift = pairs.redshift if translator.conditioning == "redshift" else None
    made = translator.translate_array(pairs.input_flux, weight=pairs.input_weight, redshift=redshift)
    weights = np.stack([aperture_weights((32, 32), radius, translator.input_survey.pixel_scale) for radius in RADII])
    noise = np.sqrt(radial_fluxes(1 / np.asarray(pairs.input_weight), weights**2))
    signal = radial_fluxes(np.asarray(pairs.input_flux), weights)
    return {
        "input": magnitudes_of(np.asarray(pairs.input_truth), translator.input_survey),
        "target": magnitudes_of(np.asarray(pairs.target_truth), translator.target_survey),
        "translated": magnitudes_of(made, translator.target_survey),
        "measured": signal > 5 * noise,
    }


def features(magnitude, bands):
    """Return the features of the expected change: 1, g - r, r - i and concentration, shape (galaxy, 4)."""
    g, r, i = (magnitude[:, bands.index(name)] for name in "gri")
    return np.stack([np.ones(len(g)), (g - r)[:, 1], (r - i)[:, 1], r[:, 0] - r[:, 1]], axis=1)


def field_magnitudes(table, prefix, bands):
    """Return magnitudes of shape (galaxy, band, radius)."""
    columns = [[table[f"{prefix}_{band}_{radius:g}arcsec"] for radius in RADII] for band in bands]
    return np.stack(columns).transpose(2, 0, 1)


def quantities(magnitude, bands):
    """Return magnitudes and colors by name, each of shape (galaxy, radius)."""
    planes = {band: magnitude[:, index] for index, band in enumerate(bands)}
    planes.update({f"{a} - {b}": planes[a] - planes[b] for a, b in zip(bands, bands[1:])})
    return planes


def compare(table, simulated, bands):
    """Return a row for each magnitude and color in each aperture."""
    clean = (table["status"] == "translated") & (table["coverage"] == 1)
    if "neighbor" in table.colnames:
        clean &= ~table["neighbor"] & ~table["edge"]
    table = table[clean]
    given, made = (field_magnitudes(table, prefix, bands) for prefix in ("input", "translated"))
    error = np.stack([[table[f"input_{band}_{radius:g}arcsec_error"] for radius in RADII] for band in bands])
    errors = {band: error[index].T for index, band in enumerate(bands)}
    errors.update({f"{a} - {b}": np.hypot(errors[a], errors[b]) for a, b in zip(bands, bands[1:])})
    there, here = features(simulated["input"], bands), features(given, bands)
    known = [quantities(simulated[side], bands) for side in ("input", "target", "translated")]
    measured = {band: simulated["measured"][:, index] for index, band in enumerate(bands)}
    found = [quantities(magnitude, bands) for magnitude in (given, made)]
    rows = []
    for name in found[0]:
        for index, radius in enumerate(RADII):
            change = known[1][name][:, index] - known[0][name][:, index]
            usable = np.isfinite(change) & np.isfinite(there).all(axis=1)
            expected = here @ np.linalg.lstsq(there[usable], change[usable], rcond=None)[0]
            offset = found[1][name][:, index] - found[0][name][:, index]
            parts = [errors[part][:, index] < _LIMIT for part in name.split(" - ")]
            good = np.all(parts, axis=0) & np.isfinite(offset) & np.isfinite(expected)
            excess = offset[good] - expected[good]
            used = np.all([measured[part][:, index] for part in name.split(" - ")], axis=0)
            error_there = (known[2][name] - known[1][name])[used, index]
            rows.append((name, radius, int(good.sum()), *_statistics(offset[good], expected[good], excess),
                         _median(errors[name][good, index]), _median(error_there[np.isfinite(error_there)])))
    names = ("quantity", "radius", "n", "offset", "expected", "excess", "excess_error", "scatter", "input_error",
             "simulated_excess")
    result = Table(rows=rows, names=names)
    result["radius"].unit = "arcsec"
    for name in names[3:]:
        result[name].unit, result[name].format = "mag", ".3f" if name.endswith(("error", "scatter")) else "+.3f"
    return result


def _median(values):
    return float(np.median(values)) if len(values) else np.nan


def _statistics(offset, expected, excess):
    scatter = 1.4826 * _median(np.abs(excess - _median(excess)))
    return _median(offset), _median(expected), _median(excess), 1.2533 * scatter / max(len(excess), 1) ** 0.5, scatter


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("translator", help="ASDF file of a translator")
    parser.add_argument("frames", help="folder or pattern of the frames of a field")
    parser.add_argument("--size", type=int, default=64, help="side of the cutouts in pixels")
    parser.add_argument("--simulated", type=int, default=600, help="galaxies for the fit of the expected change")
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--out", help="ECSV file for the table")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    translator = load(options.translator)
    bands = translator.input_survey.band_names
    if bands != translator.target_survey.band_names or not set("gri") <= set(bands):
        parser.error(f"input and target must have the same bands, g, r and i among them, got {translator}")
    with tempfile.TemporaryDirectory() as folder:
        table = translate_field(
            translator, options.frames, Path(folder) / "field", size=options.size, radii=RADII, max_sheet=0,
            progress=True)
    result = compare(table, simulated_magnitudes(translator, options.simulated, options.seed), bands)
    result.meta.update(translator=translator.name, hash=translator.hash, config=translator.provenance["config"])
    log.info("%s, trained on %d pairs: %d of %d sources translated", translator.name,
             translator.provenance["n_pairs"], (table["status"] == "translated").sum(), len(table))
    log.info("\n".join(result.pformat(max_lines=-1, max_width=-1)))
    if options.out:
        result.write(options.out, overwrite=True)


if __name__ == "__main__":
    main()
