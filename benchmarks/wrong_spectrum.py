"""Measure how a translator that is conditioned on a spectrum responds to a wrong one.

    python benchmarks/wrong_spectrum.py --translator t.asdf --pairs test.zarr --estimator estimator.asdf --out DIR
    python benchmarks/wrong_spectrum.py --out DIR

The second form simulates pairs, trains a small translator and a small redshift estimator on them (``--train``,
``--epochs``), and uses other galaxies. Each galaxy is translated with

- "own", its own spectrum;
- "other", that of the galaxy half the sample away in the order of redshift, so redshift and type are wrong;
- "quasar", a simple composite quasar at redshift 1.5: the two power laws of Vanden Berk et al. (2001, AJ 122, 549) and
  the strongest of their lines with rounded equivalent widths, scaled to the mean flux of the galaxy's spectrum, with
  its noise;
- "none", if the training included galaxies without a spectrum; "unconditioned", by a translator that is not conditioned
  on spectra (``--unconditioned``);
- each of the files in ``--spectra``, read by `astro_galtrans.spectra.read_spectrum`.

The folder ``--out`` gets, with changes relative to "own",

- colors.ecsv: median of the change of the colors within 4 arcsec, of its absolute value, and of that over the stated
  standard deviation (of independent pixels), with the fraction of galaxies above 3; median and scatter (1.4826
  times the median absolute deviation) of the color around the truth;
- pixels.ecsv: median absolute change of the pixels within 4 arcsec whose flux is above 5 standard deviations, over the
  stated standard deviation and over their flux;
- redshifts.ecsv: redshifts that the estimator finds in the translated images: NMAD around the true redshifts; median
  change in units of the estimator's standard deviation; "follows", the slope of the change against the difference of
  the redshifts of the two galaxies, 1 if the image gets the redshift of the spectrum; and the redshifts that the
  spectrum encoder of the translator finds, with their stated error;
- wrong_spectrum.png: a galaxy (``--show``), and the changes in all galaxies.
"""

import argparse
import logging
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from astropy.table import Table  # noqa: E402
from color_images import color_image, color_stretch  # noqa: E402

from astro_galtrans.gradients import aperture_weights, radial_fluxes  # noqa: E402
from astro_galtrans.pairs import PairSet  # noqa: E402
from astro_galtrans.spectra import read_spectrum, resample_spectrum  # noqa: E402
from astro_galtrans.storage import load  # noqa: E402

log = logging.getLogger("wrong_spectrum")
RADIUS, QUASAR_REDSHIFT = 4.0, 1.5
# Wavelength, rest equivalent width and standard deviation in Angstrom.
LINES = ((1216, 93, 19), (1546, 24, 14), (1906, 21, 24), (2800, 32, 35), (4103, 5, 19), (4346, 13, 20), (4853, 46, 40),
         (4960, 3.5, 3.9), (5008, 13, 6), (6565, 195, 47))
LABELS = {"own": "its own spectrum", "other": "another galaxy's", "quasar": "a quasar's", "none": "no spectrum",
          "unconditioned": "translator without spectra"}
COLORS = {"own": "#2a313b", "other": "#d55e00", "quasar": "#0072b2", "none": "#009e73", "unconditioned": "#8a8f98"}


def quasar_flux(wavelength, redshift):
    """Return the flux density per wavelength of a composite quasar, 1 at 5000 Angstrom in its rest frame."""
    rest = wavelength / (1 + redshift)
    # In frequency the slopes are -0.44 and -2.45.
    flux = np.where(rest < 5000, (rest / 5000) ** -1.56, (rest / 5000) ** 0.45)
    for line, width, sigma in LINES:
        flux = flux * (1 + width / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((rest - line) / sigma) ** 2))
    return flux


def quasar_spectra(flux, weight, grid, seed):
    """Return a quasar spectrum for each galaxy, with its mean flux and its noise."""
    model = quasar_flux(grid.wavelength.value, QUASAR_REDSHIFT)
    seen = weight > 0
    scale = (flux * seen).sum(1) / (model * seen).sum(1)
    noise = np.random.default_rng(seed).standard_normal(flux.shape) * np.where(seen, weight, 1) ** -0.5
    return np.where(seen, scale[:, None] * model + noise, 0).astype(np.float32), weight


def trained(options):
    """Return a small translator with spectra, a small estimator, and test galaxies."""
    from astro_galtrans.photoz import fit_redshift_estimator
    from astro_galtrans.simulation import simulate_pairs
    from astro_galtrans.training import TrainConfig, fit

    pairs = simulate_pairs(options.train, seed=options.seed, input_size=32, spectra=True,
                           galaxies="templates", sky="plain")
    config = TrainConfig(epochs=options.epochs, batch_size=16, conditioning="spectrum", seed=options.seed,
                         backbone_options={"widths": [16, 32, 64]})
    translator = fit(pairs, config).translator
    estimator = fit_redshift_estimator(np.asarray(pairs.target_flux), pairs.redshift, survey=pairs.target_survey,
                                       weight=np.asarray(pairs.target_weight), epochs=4 * options.epochs,
                                       seed=options.seed)
    test = simulate_pairs(options.galaxies, seed=options.seed + 1, input_size=32, spectra=True, truth=True,
                          galaxies="templates", sky="plain")
    return translator, estimator, test


def other_galaxies(redshift):
    """Return for each galaxy the row of the one half the sample away in the order of redshift."""
    order = np.argsort(redshift)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, -(len(order) // 2))
    return partner


def conditions(translator, part, options):
    """Return the spectra (flux, weight) of each case, and the partners."""
    own = part["spectrum_flux"], part["spectrum_weight"]
    partner = other_galaxies(part["redshift"])
    cases = {"own": own, "other": tuple(one[partner] for one in own),
             "quasar": quasar_spectra(*own, translator.spectrum_grid, options.seed)}
    if translator.takes_unknown:
        cases["none"] = tuple(np.zeros_like(one) for one in own)
    for path in options.spectra:
        flux, weight = resample_spectrum(read_spectrum(path), translator.spectrum_grid)
        cases[Path(path).stem] = tuple(np.repeat(one[None], len(own[0]), axis=0) for one in (flux, weight))
    return cases, partner


def aperture_colors(flux, sigma, survey):
    """Return colors of adjacent bands in the aperture, and their standard deviation for independent pixels."""
    weights = aperture_weights(flux.shape[-2:], RADIUS, survey.pixel_scale)[None]
    total = radial_fluxes(np.nan_to_num(flux), weights)[..., 0]
    error = None if sigma is None else np.sqrt(radial_fluxes(np.nan_to_num(sigma) ** 2, weights**2)[..., 0])
    zero_point = np.array([band.zero_point for band in survey])
    magnitude = zero_point - 2.5 * np.log10(np.where(total > 0, total, np.nan))
    error = None if sigma is None else 1.0857 * error / total
    return magnitude[:, :-1] - magnitude[:, 1:], None if sigma is None else np.hypot(error[:, :-1], error[:, 1:])


def scatter(values):
    return 1.4826 * np.nanmedian(np.abs(values - np.nanmedian(values)))


def color_table(made, truth, survey):
    names = [f"{a} - {b}" for a, b in zip(survey.band_names, survey.band_names[1:])]
    true = aperture_colors(truth, None, survey)[0]
    own, error = aperture_colors(*made["own"], survey)
    rows = []
    for case, (flux, _) in made.items():
        color = aperture_colors(flux, None, survey)[0]
        for index, name in enumerate(names):
            change = (color - own)[:, index]
            rows.append((case, name, np.nanmedian(change), np.nanmedian(np.abs(change)),
                         np.nanmedian(np.abs(change) / error[:, index]),
                         np.mean(np.abs(change) > 3 * error[:, index]), np.nanmedian((color - true)[:, index]),
                         scatter((color - true)[:, index])))
    return Table(rows=rows, names=("case", "color", "change", "abs_change", "abs_change_sigma", "above_3_sigma", "bias",
                                   "scatter"))


def pixel_table(made, survey):
    flux, sigma = made["own"]
    inside = aperture_weights(flux.shape[-2:], RADIUS, survey.pixel_scale) > 0.5
    bright = inside & (flux > 5 * sigma)
    rows = []
    for case, (other, _) in made.items():
        for index, band in enumerate(survey.band_names):
            used = bright[:, index]
            change = np.abs(other - flux)[:, index][used]
            rows.append((case, band, int(used.sum()), np.median(change / sigma[:, index][used]),
                         np.median(change / flux[:, index][used])))
    return Table(rows=rows, names=("case", "band", "pixels", "abs_change_sigma", "relative_change"))


def reader_of(translator):
    return getattr(translator.network.condition, "reader", None)


def redshift_table(made, cases, pdfs, partner, redshift, translator):
    rows = []
    for case in made:
        row = {"case": case}
        if pdfs:
            found, own = pdfs[case].median(), pdfs["own"].median()
            change = found - own
            row["nmad"] = scatter((found - redshift) / (1 + redshift))
            row["abs_change_sigma"] = np.nanmedian(np.abs(change) / pdfs["own"].std())
            row["abs_change"] = np.nanmedian(np.abs(change) / (1 + redshift))
            away = redshift[partner] - redshift
            row["follows"] = np.nanmean(change * away) / np.mean(away**2) if case == "other" else np.nan
        if reader_of(translator) is not None and case in cases and (cases[case][1] > 0).any():
            with torch.no_grad():
                read, error = (part.numpy() for part in reader_of(translator)(*map(torch.from_numpy, cases[case])))
            row["read"], row["read_error"] = np.median(read), np.median(error)
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table([[row.get(name, np.nan) for row in rows] for name in names], names=names)


def draw(path, part, cases, made, pdfs, translator, row):
    """Draw a galaxy in each case, its spectra, and the changes in all galaxies."""
    from matplotlib.figure import Figure

    shown = [case for case in LABELS if case in made]
    survey = translator.target_survey
    figure = Figure(figsize=(10.5, 6.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(3.9, 2.7))
    _draw_galaxy(upper, part, made, shown, survey, row)
    spectra, change, redshift = lower.subplots(1, 3)
    _draw_spectra(spectra, cases, translator.spectrum_grid, row)
    own, error = (values[:, 0] for values in aperture_colors(*made["own"], survey))
    edges = np.linspace(-40, 40, 65)
    for case in shown[1:]:
        pull = (aperture_colors(made[case][0], None, survey)[0][:, 0] - own) / error
        change.hist(np.clip(pull, -39.9, 39.9), edges, histtype="step", color=COLORS[case], label=LABELS[case])
    first, second = survey.band_names[:2]
    change.set(xlabel=f"change of {first} - {second} / stated std", ylabel="galaxies", yticks=[])
    change.axvspan(-1, 1, color="0.85", lw=0)
    if pdfs:
        for case in ("other", "own"):
            redshift.plot(part["redshift"], pdfs[case].median(), ".", ms=2.5, color=COLORS[case], label=LABELS[case])
        redshift.plot([0, 0.45], [0, 0.45], color="0.6", lw=0.7, zorder=0)
        redshift.set(xlabel="true redshift", ylabel="redshift from the image", xlim=(0, 0.4), ylim=(0, 0.4))
    for axis in (spectra, change, redshift):
        axis.tick_params(labelsize=7)
        axis.xaxis.label.set_size(8)
        axis.yaxis.label.set_size(8)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=6.5, frameon=False, loc="upper left", handlelength=1.2)
    change.margins(y=0.25)
    figure.savefig(path, dpi=100)


def _draw_galaxy(figure, part, made, shown, survey, row):
    axes = figure.subplots(2, 1 + len(shown))
    flux, sigma = (part[row] for part in made["own"])
    stretch = color_stretch(part["target_flux"][row], survey)
    axes[0, 0].imshow(color_image(part["target_flux"][row], survey, stretch), origin="lower")
    axes[0, 0].set_title(f"target: r = {part['r_mag'][row]:.1f}, z = {part['redshift'][row]:.2f}", fontsize=8)
    for axis, case in zip(axes[0, 1:], shown):
        axis.imshow(color_image(np.nan_to_num(made[case][0][row]), survey, stretch), origin="lower")
        axis.set_title(LABELS[case], fontsize=8)
    band = survey.band_names[0]  # the bluest, which depends most on the redshift
    truth = part["target_truth"][row]
    differences = [flux - truth, *(made[case][0][row] - flux for case in shown[1:])]
    names = ["own minus truth", *["minus own"] * len(shown[1:])]
    axes[1, 0].set_axis_off()
    for axis, difference, name in zip(axes[1, 1:], differences, names):
        drawn = axis.imshow((difference / sigma)[0], origin="lower", cmap="RdBu_r", vmin=-3, vmax=3)
        axis.set_title(f"{band}: {name}", fontsize=8)
    bar = figure.colorbar(drawn, ax=axes[1, 0], location="right", shrink=0.8, aspect=12)
    bar.set_label(f"change in {band} / stated std", fontsize=8)
    bar.ax.yaxis.set_ticks_position("left")
    bar.ax.yaxis.set_label_position("left")
    bar.ax.tick_params(labelsize=7)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])


def _draw_spectra(axis, cases, grid, row):
    for case in ("quasar", "other", "own"):
        flux, weight = (values[row] for values in cases[case])
        smooth = np.convolve(np.where(weight > 0, flux, np.nan), np.ones(5) / 5, "same")
        axis.plot(grid.wavelength.value / 10, smooth / np.nanmean(smooth), color=COLORS[case], lw=0.8)
    axis.set(xlabel="wavelength (nm)", ylabel="spectra of the cases", ylim=(0, 3), xlim=(375, 925))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--translator", help="file conditioned on the spectrum (default: train a small one)")
    parser.add_argument("--pairs", help="test pairs with spectra and truth, as written by simulate_pairs")
    parser.add_argument("--estimator", help="redshift estimator trained on target images")
    parser.add_argument("--unconditioned", help="translator without spectra, for comparison")
    parser.add_argument("--spectra", nargs="+", default=[], help="files of spectra, each for all galaxies")
    parser.add_argument("--galaxies", type=int, default=400)
    parser.add_argument("--train", type=int, default=1500, help="pairs to train on")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="row of the galaxy in the figure")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    if bool(options.translator) != bool(options.pairs):
        parser.error("--translator and --pairs go together")
    if options.translator:
        translator, test = load(options.translator), PairSet.open(options.pairs)
        estimator = load(options.estimator) if options.estimator else None
    else:
        translator, estimator, test = trained(options)
    part = test.select(np.arange(min(options.galaxies, len(test))))
    catalog = part.catalog
    part = {**part.read(), "r_mag": np.asarray(catalog["r_mag"])}
    cases, partner = conditions(translator, part, options)
    made = {case: translator.translate_array_with_uncertainty(
        part["input_flux"], weight=part["input_weight"], spectrum=spectrum) for case, spectrum in cases.items()}
    if options.unconditioned:
        made["unconditioned"] = load(options.unconditioned).translate_array_with_uncertainty(
            part["input_flux"], weight=part["input_weight"])
    pdfs = {} if estimator is None else {case: estimator.predict(flux) for case, (flux, _) in made.items()}
    survey, out = translator.target_survey, Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    tables = {"colors": color_table(made, part["target_truth"], survey), "pixels": pixel_table(made, survey),
              "redshifts": redshift_table(made, cases, pdfs, partner, part["redshift"], translator)}
    for name, table in tables.items():
        table.meta.update(translator=translator.name, hash=translator.hash, galaxies=len(part["redshift"]))
        for column in table.itercols():
            if column.dtype.kind == "f":
                column.info.format = ".4f"
        table.write(out / f"{name}.ecsv", overwrite=True)
        log.info("%s\n%s\n", name, "\n".join(table.pformat(max_lines=-1, max_width=-1)))
    draw(out / "wrong_spectrum.png", part, cases, made, pdfs, translator, options.show)


if __name__ == "__main__":
    main()
