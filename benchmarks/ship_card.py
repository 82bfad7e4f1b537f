"""Measure a translator by magnitude and on unusual images and write its model card; for ``ship_translator.py``."""

import textwrap

import numpy as np

from astro_galtrans.gradients import aperture_weights, radial_fluxes
from astro_galtrans.photoz import binned_point_metrics, fit_redshift_estimator

__all__ = ["RADIUS", "image_rows", "redshift_rows", "unusual_rows", "write_card"]

RADIUS, INNER = 4.0, 1.0  # arcsec
_BATCH = 256
_ERRORS = "median ± scatter (1.4826 times the median absolute deviation)"


def magnitudes(flux, survey):
    """Return aperture magnitudes, colors, and the r magnitude in the inner aperture, shape ``(galaxy, ...)``."""
    weights = np.stack([aperture_weights(flux.shape[-2:], radius, survey.pixel_scale) for radius in (RADIUS, INNER)])
    total = radial_fluxes(flux, weights)
    zero_point = np.array([band.zero_point for band in survey])[:, None]
    outer, inner = np.moveaxis(zero_point - 2.5 * np.log10(np.where(total > 0, total, np.nan)), -1, 0)
    r = survey.band_names.index("r")
    return np.concatenate([outer, outer[:, :-1] - outer[:, 1:], inner[:, r:r + 1]], axis=1)


def errors(translator, pairs, lost=None):
    """Compare translations with noiseless target images.

    Parameters
    ----------
    translator : Translator
    pairs : PairSet
    lost : ndarray of bool, optional
        Input pixels without data, shape ``(band, y, x)``.

    Returns
    -------
    found : ndarray
        Magnitudes and colors, translated minus true, shape ``(galaxy, ...)``.
    within : ndarray
        Fraction of the aperture's pixels whose error is below their standard deviation, shape ``(galaxy, band)``.
    """
    found, within = [], []
    for start in range(0, len(pairs), _BATCH):
        rows = slice(start, min(start + _BATCH, len(pairs)))
        batch = pairs.read(rows, images=("input_flux", "input_weight", "target_truth"))
        weight = batch["input_weight"] if lost is None else np.where(lost, 0, batch["input_weight"])
        made, sigma = translator.translate_array_with_uncertainty(batch["input_flux"], weight=weight,
                                                                  allow_missing=lost is not None,
                                                                  **translator.known_fwhms(pairs, rows))
        truth, survey = batch["target_truth"], pairs.target_survey
        found.append(magnitudes(made, survey) - magnitudes(truth, survey))
        inside = aperture_weights(truth.shape[-2:], RADIUS, survey.pixel_scale) > 0.5
        good = np.where(np.isfinite(made), np.abs(made - truth) < sigma, np.nan)[..., inside]
        # A band with masked pixels in the aperture gives NaN.
        within.append(np.mean(good, axis=-1))
    return np.concatenate(found), np.concatenate(within)


def cell(values):
    """Return median and scatter of magnitudes as text; empty for fewer than 10 values."""
    values = values[np.isfinite(values)]
    if len(values) < 10:
        return ""
    median = np.median(values)
    return f"{median:+.3f} ± {1.4826 * np.median(np.abs(values - median)):.3f}"


def bin_name(low, high):
    return f"{low:g} to {high:g}"


def image_rows(translator, test, edges):
    """Return one row per bin of r: number of galaxies, errors of magnitudes and colors."""
    r_mag, (found, _) = np.asarray(test.catalog["r_mag"]), errors(translator, test)
    rows = []
    for low, high in zip(edges, edges[1:]):
        inside = (r_mag >= low) & (r_mag < high)
        rows.append([bin_name(low, high), str(inside.sum()), *map(cell, found[inside].T)])
    return rows


def unusual_rows(translator, tests, faintest):
    """Return one row per kind of image, for the same galaxies, those brighter than ``faintest``.

    Returns
    -------
    off, within : list of list of str
        Errors of magnitudes and colors; and the fraction of pixels whose error is below the stated one.
    """
    off, within = [], []
    for label, (pairs, lost) in tests.items():
        usable = np.asarray(pairs.catalog["r_mag"]) < faintest
        found, inside = errors(translator, pairs, lost)
        off.append([label, str(usable.sum()), *map(cell, found[usable].T)])
        shares = inside[usable].mean(axis=0)
        within.append([label, str(usable.sum()), *("" if np.isnan(share) else f"{share:.0%}" for share in shares)])
    return off, within


def redshift_rows(translator, training, test, edges, **settings):
    """Return one row per bin of r: NMAD and outliers of real input, translated and real target images.

    Estimators are trained on the real images of the training galaxies. The target estimator reads the translations too.
    """
    estimators = {
        side: fit_redshift_estimator(
            getattr(training, f"{side}_flux"), training.redshift, survey=getattr(training, f"{side}_survey"),
            weight=getattr(training, f"{side}_weight"), **settings) for side in ("input", "target")}
    given = test.read(images=("input_flux", "input_weight", "target_flux", "target_weight"))
    made = translator.translate_array(given["input_flux"], weight=given["input_weight"], **translator.known_fwhms(test))
    tables = []
    for side, flux, weight in (("input", given["input_flux"], given["input_weight"]), ("target", made, None),
                               ("target", given["target_flux"], given["target_weight"])):
        redshift = np.asarray(estimators[side].predict(flux, weight=weight).mean(), dtype=float)
        tables.append(binned_point_metrics(redshift, test.redshift, np.asarray(test.catalog["r_mag"]), edges,
                                           on_invalid="mask"))
    return [[bin_name(low, high), str(tables[0]["count"][row]),
             *(f"{table['nmad'][row]:.4f}" for table in tables),
             *(f"{table['outlier_005'][row]:.1%}" for table in tables)]
            for row, (low, high) in enumerate(zip(edges, edges[1:]))]


def _table(head, rows):
    """Return a simple table of reStructuredText that is readable as plain text."""
    rows = [head, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def _text(text):
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def _item(text):
    return textwrap.fill(" ".join(text.split()), 120, initial_indent="- ", subsequent_indent="  ",
                         break_on_hyphens=False)


def _about(translator, training, population, title, bytes_, command):
    """Return the blocks that describe the translator and its training data."""
    provenance = translator.provenance
    psf = [", ".join(f"{band.psf_fwhm.to_value('arcsec'):.2f}" for band in survey)
           for survey in (training.input_survey, training.target_survey)]
    bright, faint = population.magnitude_range
    near, far = population.redshift_range
    n_weights = sum(p.numel() for p in translator.network.parameters())
    side = training.input_flux.shape[-1]
    return [
        f"{title}\n{'-' * len(title)}",
        _text(f"""
            Translates an image of a galaxy from SDSS (0.396 arcsec per pixel, nmgy) to CFHTLS (0.187 arcsec per pixel,
            adu, zero point 30). U-Net with {n_weights:,} parameters, trained with the objective
            "{translator.objective_name}", without redshifts or spectra. File size {bytes_ / 1e6:.1f} MB, hash
            ``{translator.hash[:16]}``."""),
        _text(f"""
            **Trained on** {provenance['n_pairs']:,} simulated galaxies, {provenance['config']['epochs']} epochs,
            seed {provenance['seed']}. Another {provenance['n_validation']:,} galaxies selected the epoch. SDSS r is
            {bright:g} to {faint:g} with nearly flat counts (slope {population.counts_slope:g} dex per magnitude), the
            redshift {near:g} to {far:g}, the half-light radius at most {population.max_radius:g} arcsec. Galaxies
            have a bulge, a disk and knots with four template spectra and dust. Stamps have {side} x {side} SDSS
            pixels, and the galaxy is within {population.offset:g} arcsec of the center in x and y. The PSF is a
            Moffat profile with a FWHM in u, g, r, i, z of {psf[0]} arcsec (SDSS) and {psf[1]} arcsec (CFHTLS), which
            varies by {population.psf_scatter:.0%} between galaxies. The noise is Gaussian, from sky and photons at
            the typical depth of each survey, and uncorrelated between pixels. In each step,
            {provenance['config']['input_dropout']:.0%} of the galaxies lose one to three bands, or a region of some
            bands. Made by"""),
        f"::\n\n    {command}",
    ]


def _measured(translator, training, test, rows):
    """Return the blocks with the tables."""
    bands = translator.target_survey.band_names
    n, colors = 2 + len(bands), [*(f"{a} - {b}" for a, b in zip(bands, bands[1:])), f"r in {INNER:g} arcsec"]
    stamp, trained = (f"{pairs.input_flux.shape[-1]} x {pairs.input_flux.shape[-1]}" for pairs in (test, training))
    blocks = [
        _text(f"""
            **Measured** on simulated galaxies that are not in the training set, on stamps of {stamp} pixels. The tables
            give the magnitude error within {RADIUS:g} arcsec (translated minus noiseless truth) as {_ERRORS}. A perfect
            translation has zero. The galaxies in the last row are fainter than the training set."""),
        _table(["r", "galaxies", *bands], [row[:n] for row in rows["images"]]),
        f"Errors of the colors, and of the r magnitude within {INNER:g} arcsec:",
        _table(["r", "galaxies", *colors], [row[:2] + row[n:] for row in rows["images"]]),
        _text(f"""
            Errors on unusual images, r < {rows['faintest']:g}. All rows have the same galaxies. The neighbor is another
            test galaxy, and the truth includes its flux within the aperture. "no u" has no data in u, "half of r" has
            no data in r for x > 0, "no r < 1.5 arcsec" has no data in r around the center, and "trail in r" has a
            masked trail 2 arcsec wide, 3 arcsec from the center. Images that lack data are translated with
            ``allow_missing=True``. A cell is empty where the translated band is masked."""),
        _table(["images", "galaxies", *bands], [row[:n] for row in rows["unusual"]]),
        _table(["images", "galaxies", *colors], [row[:2] + row[n:] for row in rows["unusual"]]),
        _text(f"""
            Uncertainty: the fraction of pixels within {RADIUS:g} arcsec whose error is below their stated standard
            deviation. It is 68 % for an exact Gaussian uncertainty. Errors of neighboring pixels are correlated, so the
            error of an aperture flux is larger than for independent pixels."""),
        _table(["images", "galaxies", *bands], rows["uncertainty"]),
    ]
    if rows["redshifts"]:
        blocks += [
            _text(f"""
                Redshifts from estimators trained on real images of {len(training):,} training galaxies,
                {trained} pixels: NMAD of (z_phot - z) / (1 + z), and the fraction of galaxies with an error above 0.05.
                The estimator of the target images reads the translations. The input images set the limit of what a
                translation can preserve."""),
            _table(["r", "galaxies", "input", "translated", "target", "input > 0.05", "translated > 0.05",
                    "target > 0.05"], rows["redshifts"]),
        ]
    return blocks


def _limits(population):
    bright, faint = population.magnitude_range
    return "\n".join([
        _item(f"""
            Galaxies fainter than r = {faint:g}, brighter than r = {bright:g} or above redshift
            {population.redshift_range[1]:g} are outside the training range."""),
        _item("""
            Single galaxies have the scatter of the tables above. Where the noise of SDSS hides the galaxy, above all in
            u, the translation shows what is typical of such a galaxy."""),
        _item("""
            The simulation has no stars, quasars or other active nuclei, mergers, strong emission lines, dust lanes,
            spiral arms or bars. Such images are translated without a warning."""),
        _item("""
            The tables cover small changes of the PSF, the stamp size and the center, and one neighbor. Errors
            beyond them are unknown. The network does not know the PSF, and a real PSF is neither round nor a
            Moffat profile."""),
        _item("""
            The image and its uncertainty are not reliable where the noise is not that of a typical SDSS image, as in
            co-added or resampled images."""),
        _item("""
            Structure below the seeing of SDSS is likely structure, not observed structure. Do not count knots in
            it."""),
        _item("""
            A translation is not a measurement. Conclusions about real galaxies need real pairs of images, and this
            translator was trained without any."""),
    ])


def write_card(translator, training, test, population, rows, bytes_, command, quick):
    """Return the text of the model card.

    Parameters
    ----------
    translator : Translator
        The translator to ship.
    training, test : PairSet
        The pairs for training and evaluation.
    population : GalaxyPopulation
        The population of the galaxies.
    rows : dict
        Rows of the tables "images", "unusual", "uncertainty" and "redshifts" (may be empty), and
        "faintest", the magnitude limit of the galaxies in "unusual".
    bytes_ : int
        Size of the file.
    command : str
        The command that made the translator.
    quick : bool
        Whether the translator is a stand-in after a short training.

    Returns
    -------
    str
    """
    title = "SDSS to CFHTLS in u, g, r, i, z: a small U-Net trained on simulated galaxies"
    about = _about(translator, training, population, title + (" (a stand-in)" if quick else ""), bytes_, command)
    if quick:
        about.insert(1, "**This is a stand-in after a training of minutes. It only shows that everything runs.**")
    return "\n\n".join([
        *about, *_measured(translator, training, test, rows), "**Limitations**", _limits(population),
        "To evaluate it on a real field, run ``python benchmarks/real_field.py sdss-to-cfhtls FRAMES``."]) + "\n"
