"""How a translator does by magnitude and in unusual images, and the card that says so; for ``ship_translator.py``."""

import textwrap

import numpy as np

from astro_galtrans.gradients import aperture_weights, radial_fluxes
from astro_galtrans.photoz import binned_point_metrics, fit_redshift_estimator

__all__ = ["RADIUS", "image_rows", "redshift_rows", "unusual_rows", "write_card"]

RADIUS, INNER = 4.0, 1.0  # arcsec
_BATCH = 256
_ERRORS = "median ± scatter (1.4826 times the median absolute deviation)"


def magnitudes(flux, survey):
    """Magnitudes within the aperture, colours, and the magnitude in r within the inner one, in one row a galaxy."""
    weights = np.stack([aperture_weights(flux.shape[-2:], radius, survey.pixel_scale) for radius in (RADIUS, INNER)])
    total = radial_fluxes(flux, weights)
    zero_point = np.array([band.zero_point for band in survey])[:, None]
    outer, inner = np.moveaxis(zero_point - 2.5 * np.log10(np.where(total > 0, total, np.nan)), -1, 0)
    r = survey.band_names.index("r")
    return np.concatenate([outer, outer[:, :-1] - outer[:, 1:], inner[:, r:r + 1]], axis=1)


def errors(translator, pairs, lost=None):
    """What translations are off by, against noiseless target images.

    Parameters
    ----------
    translator : Translator
    pairs : PairSet
    lost : ndarray of bool, optional
        Input pixels without data, shape ``(band, y, x)``.

    Returns
    -------
    found : ndarray
        Magnitudes and colours, translated minus true, shape ``(galaxy, ...)``.
    within : ndarray
        Share of the pixels of the aperture that are off by less than their standard deviation, ``(galaxy, band)``.
    """
    found, within = [], []
    for start in range(0, len(pairs), _BATCH):
        rows = slice(start, min(start + _BATCH, len(pairs)))
        batch = pairs.read(rows, images=("input_flux", "input_weight", "target_truth"))
        weight = batch["input_weight"] if lost is None else np.where(lost, 0, batch["input_weight"])
        made, sigma = translator.translate_array(batch["input_flux"], weight=weight, return_uncertainty=True,
                                                 allow_missing=lost is not None)
        truth, survey = batch["target_truth"], pairs.target_survey
        found.append(magnitudes(made, survey) - magnitudes(truth, survey))
        inside = aperture_weights(truth.shape[-2:], RADIUS, survey.pixel_scale) > 0.5
        good = np.where(np.isfinite(made), np.abs(made - truth) < sigma, np.nan)[..., inside]
        # Of bands with masked pixels in the aperture nothing is claimed.
        within.append(np.mean(good, axis=-1))
    return np.concatenate(found), np.concatenate(within)


def cell(values):
    """Median and scatter of magnitudes as text; empty for too few."""
    values = values[np.isfinite(values)]
    if len(values) < 10:
        return ""
    median = np.median(values)
    return f"{median:+.3f} ± {1.4826 * np.median(np.abs(values - median)):.3f}"


def bin_name(low, high):
    return f"{low:g} to {high:g}"


def image_rows(translator, test, edges):
    """A row for each bin of r: galaxies, and errors of magnitudes and colours."""
    r_mag, (found, _) = np.asarray(test.catalog["r_mag"]), errors(translator, test)
    rows = []
    for low, high in zip(edges, edges[1:]):
        inside = (r_mag >= low) & (r_mag < high)
        rows.append([bin_name(low, high), str(inside.sum()), *map(cell, found[inside].T)])
    return rows


def unusual_rows(translator, tests, faintest):
    """Rows for each kind of images of the same galaxies, those brighter than ``faintest`` of them.

    Returns
    -------
    off, within : list of list of str
        Errors of magnitudes and colours; and the share of pixels that are off by less than they are said to be.
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
    """A row for each bin of r: NMAD and outliers of real input, translated and real target images.

    Estimators are trained on the real images of the training galaxies; that of the target reads the translations too.
    """
    estimators = {
        side: fit_redshift_estimator(
            getattr(training, f"{side}_flux"), training.redshift, survey=getattr(training, f"{side}_survey"),
            weight=getattr(training, f"{side}_weight"), **settings) for side in ("input", "target")}
    given = test.read(images=("input_flux", "input_weight", "target_flux", "target_weight"))
    made = translator.translate_array(given["input_flux"], weight=given["input_weight"])
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
    """A simple table of reStructuredText, readable as it is."""
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
    """The blocks that say what it is and what it was trained on."""
    told = translator.provenance
    psf = [", ".join(f"{band.psf_fwhm.to_value('arcsec'):.2f}" for band in survey)
           for survey in (training.input_survey, training.target_survey)]
    bright, faint = population.magnitude_range
    near, far = population.redshift_range
    n_weights = sum(p.numel() for p in translator.network.parameters())
    side = training.input_flux.shape[-1]
    return [
        f"{title}\n{'-' * len(title)}",
        _text(f"""
            A galaxy of SDSS (0.396 arcsec a pixel, nmgy) as CFHTLS would see it (0.187 arcsec, adu of zero point 30).
            U-Net of {n_weights:,} parameters, trained with the objective "{translator.objective_name}", without
            redshifts or spectra; {bytes_ / 1e6:.1f} MB; hash ``{translator.hash[:16]}``."""),
        _text(f"""
            **Trained on** {told['n_pairs']:,} simulated galaxies ({told['n_validation']:,} more chose the epoch),
            {told['config']['epochs']} epochs, seed {told['seed']}: SDSS r {bright:g} to {faint:g} with nearly
            flat counts (a slope of {population.counts_slope:g} dex a magnitude), redshifts {near:g} to {far:g},
            half-light radii up to {population.max_radius:g} arcsec; bulge, disc and knots of four template
            spectra, with dust. Stamps of {side} x {side} SDSS pixels, the galaxy within {population.offset:g}
            arcsec of the centre in x and y. Moffat PSF, in u, g, r, i, z of FWHM {psf[0]} (SDSS) and {psf[1]}
            arcsec (CFHTLS), which varies by {population.psf_scatter:.0%} between galaxies. Gaussian noise of sky
            and photons at each survey's typical depth, not correlated between pixels. In each step
            {told['config']['input_dropout']:.0%} of the galaxies lost one to three bands, or a region of some bands.
            Made by"""),
        f"::\n\n    {command}",
    ]


def _measured(translator, training, test, rows):
    """The blocks of tables."""
    bands = translator.target_survey.band_names
    n, colors = 2 + len(bands), [*(f"{a} - {b}" for a, b in zip(bands, bands[1:])), f"r in {INNER:g} arcsec"]
    stamp, trained = (f"{pairs.input_flux.shape[-1]} x {pairs.input_flux.shape[-1]}" for pairs in (test, training))
    blocks = [
        _text(f"""
            **Measured** on simulated galaxies that were not trained on. Magnitudes within {RADIUS:g} arcsec,
            translated minus noiseless true ones, {_ERRORS}, on stamps of {stamp} pixels. Zero is perfect. The last
            row is fainter than all that was trained on:"""),
        _table(["r", "galaxies", *bands], [row[:n] for row in rows["images"]]),
        f"Colours likewise, and the light within {INNER:g} arcsec:",
        _table(["r", "galaxies", *colors], [row[:2] + row[n:] for row in rows["images"]]),
        _text(f"""
            In other images, r < {rows['faintest']:g}, each row of the same galaxies. A neighbour is another galaxy of
            the test, and the light of both within the aperture is what should come out. Images that lack data are
            translated with ``allow_missing=True``; nothing stands where the translated band is masked:"""),
        _table(["images", "galaxies", *bands], [row[:n] for row in rows["unusual"]]),
        _table(["images", "galaxies", *colors], [row[:2] + row[n:] for row in rows["unusual"]]),
        _text(f"""
            The uncertainty: the share of the pixels within {RADIUS:g} arcsec that are off by less than their stated
            standard deviation, of which 68 % would be right. Errors of neighbouring pixels are alike, so that those of
            apertures are larger than of independent pixels:"""),
        _table(["images", "galaxies", *bands], rows["uncertainty"]),
    ]
    if rows["redshifts"]:
        blocks += [
            _text(f"""
                Redshifts, by networks that were trained on untranslated images of {len(training):,} of these
                galaxies, {trained} pixels: NMAD of (z_phot - z) / (1 + z), and the share of galaxies off by more than
                0.05. The network of the target images reads the translations; the input images hold all that there is
                to know:"""),
            _table(["r", "galaxies", "input", "translated", "target", "input > 0.05", "translated > 0.05",
                    "target > 0.05"], rows["redshifts"]),
        ]
    return blocks


def _limits(population):
    bright, faint = population.magnitude_range
    return "\n".join([
        _item(f"""
            for galaxies fainter than r = {faint:g} or brighter than {bright:g}, nor above redshift
            {population.redshift_range[1]:g};"""),
        _item("""
            for single galaxies where the tables above show a scatter that matters: what the noise of SDSS hides,
            first of all in u, is filled in with what is usual for such a galaxy;"""),
        _item("""
            for what the simulation does not have: stars, quasars and other active nuclei, mergers, strong emission
            lines, dust lanes, arms, bars; such images are translated without a warning;"""),
        _item("""
            in images of another PSF, on smaller stamps, off the centre, or with neighbours, by more than the tables
            say: it was not told the PSF, and a real one is neither round nor a Moffat profile;"""),
        _item("""
            where the noise is not that of a typical SDSS image, as in co-added or resampled ones: this holds for the
            image and for its uncertainty;"""),
        _item("""
            for structure below the seeing of SDSS: it is what is likely, not what was seen. Do not count knots in
            it;"""),
        _item("""
            as a measurement: conclusions about real galaxies need real pairs of images, and none was used here."""),
    ])


def write_card(translator, training, test, population, rows, bytes_, command, quick):
    """The text of the card.

    Parameters
    ----------
    translator : Translator
        What is shipped.
    training, test : PairSet
        What it was trained and judged on.
    population : GalaxyPopulation
        What galaxies there were.
    rows : dict
        Rows of the tables "images", "unusual", "uncertainty" and "redshifts", the last of which may be empty, and
        "faintest", the limit of the galaxies in "unusual".
    bytes_ : int
        Size of the file.
    command : str
        That made it.
    quick : bool
        Whether it is a stand-in.

    Returns
    -------
    str
    """
    title = "SDSS to CFHTLS in u, g, r, i, z: a small U-Net trained on simulated galaxies"
    about = _about(translator, training, population, title + (" (a stand-in)" if quick else ""), bytes_, command)
    if quick:
        about.insert(1, "**This is a stand-in after a training of minutes. It shows that all works, and no more.**")
    return "\n\n".join([
        *about, *_measured(translator, training, test, rows), "**Do not trust it**", _limits(population),
        "On a real field it is judged by ``python benchmarks/real_field.py sdss-to-cfhtls FRAMES``."]) + "\n"
