"""Figures that show galaxies: input, translations, truth, residuals and the weights of the gradients."""

import numpy as np

from astro_galtrans._utils.figures import new_figure
from astro_galtrans.evaluation._rgb import rgb_image, rgb_index, rgb_stretch

__all__ = ["gallery", "weights"]


def _bare(axis):
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _label(samples, row):
    band = len(samples["target_survey"]) // 2
    survey = samples["target_survey"]
    flux = samples["target_flux"][row][band].sum()
    parts = []
    if flux > 0:
        magnitude = survey.bands[band].zero_point - 2.5 * np.log10(flux)
        parts.append(f"{survey.bands[band].name} = {magnitude:.1f}")
    if samples["redshift"] is not None:
        parts.append(f"z = {samples['redshift'][row]:.2f}")
    return "\n".join(parts)


def gallery(evaluation):
    """A row for each galaxy: input, each translation, real target, truth, residuals of the translations; or None."""
    samples = evaluation.samples
    names, n = list(samples["translated"]), len(samples["rows"])
    if not n:
        return None
    truth = samples["target_truth"]
    titles = ["input", *names, "real target", *([] if truth is None else ["noiseless truth"]),
              *(f"residual:\n{name}" for name in names)]
    figure = new_figure(1.62 * len(titles) + 0.7, 1.62 * n + 0.7)
    axes = figure.subplots(n, len(titles), squeeze=False)
    shown = None
    for row in range(n):
        target = samples["target_flux"][row]
        # half the stretch that the noisier input asks for: its noise stays visible without taking over
        stretch = max(rgb_stretch(target, samples["target_survey"]),
                      0.5 * rgb_stretch(samples["input_flux"][row], samples["input_survey"]))
        pictures = [(samples["input_flux"][row], samples["input_survey"])]
        planes = [samples["translated"][name][row] for name in names] + [target]
        planes += [] if truth is None else [truth[row]]
        pictures += [(plane, samples["target_survey"]) for plane in planes]
        for axis, (flux, survey) in zip(axes[row], pictures):
            axis.imshow(rgb_image(flux, survey, stretch), origin="lower", interpolation="nearest")
        for axis, name in zip(axes[row, len(pictures):], names):
            shown = axis.imshow(_residual(samples, name, row), origin="lower", cmap="RdBu_r", vmin=-5, vmax=5,
                                interpolation="nearest")
        axes[row, 0].set_ylabel(_label(samples, row), rotation=0, ha="right", va="center", fontsize=9, labelpad=8)
    for axis in axes.flat:
        _bare(axis)
    for axis, title in zip(axes[0], titles):
        axis.set_title(title, fontsize=9.5)
    figure.colorbar(shown, ax=axes[:, -1], shrink=min(1.0, 3 / n), aspect=25, label="residual / noise of one pixel")
    return figure


def _residual(samples, name, row):
    """Translated minus reference in the middle band of the pictures, in units of the target's pixel noise."""
    band = rgb_index(samples["target_survey"])[1]
    truth = samples["target_flux"] if samples["target_truth"] is None else samples["target_truth"]
    error = samples["translated"][name][row, band] - truth[row, band]
    if samples["target_weight"] is None:
        return error / samples["target_survey"].sky_noise[band]
    return error * np.sqrt(samples["target_weight"][row, band])


def _mean_over_bands(weight):
    """Mean of the finite weights, NaN where no band has one."""
    finite = np.isfinite(weight)
    count = finite.sum(axis=0)
    return np.where(count > 0, np.where(finite, weight, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def weights(evaluation):
    """Weights of the gradient elements for some galaxies, as means over the bands; None without such a translator."""
    from matplotlib.colors import LogNorm

    samples = evaluation.samples
    rows = [(name, row) for name in samples["weights"] for row in range(min(3, len(samples["rows"])))]
    if not rows:
        return None
    kinds = [kind for kind in ("x", "y", "passband") if kind in next(iter(samples["weights"].values()))]
    titles = {"x": "weights along x", "y": "weights along y", "passband": "weights along\nthe passbands"}
    figure = new_figure(1.9 * (len(kinds) + 1) + 1.6, 1.9 * len(rows) + 0.5)
    axes = figure.subplots(len(rows), len(kinds) + 1, squeeze=False)
    maps = {(name, row): [_mean_over_bands(samples["weights"][name][kind][row]) for kind in kinds]
            for name, row in rows}
    every = np.concatenate([plane.ravel() for planes in maps.values() for plane in planes])
    every = every[np.isfinite(every) & (every > 0)]
    low, high = np.percentile(every, [1, 99.5]) if every.size else (0.5, 2.0)
    norm = LogNorm(min(low, 0.8), max(high, 1.25))
    shown = None
    for line, (name, row) in enumerate(rows):
        target = samples["target_flux"][row]
        picture = rgb_image(target, samples["target_survey"], rgb_stretch(target, samples["target_survey"]))
        axes[line, 0].imshow(picture, origin="lower", interpolation="nearest")
        axes[line, 0].set_ylabel(name if len(samples["weights"]) > 1 else _label(samples, row), rotation=0, ha="right",
                                 va="center", fontsize=9, labelpad=8)
        for axis, plane in zip(axes[line, 1:], maps[name, row]):
            shown = axis.imshow(np.where(plane > 0, plane, np.nan), origin="lower", cmap="viridis", norm=norm,
                                interpolation="nearest")
    for axis in axes.flat:
        _bare(axis)
    for axis, title in zip(axes[0], ["real target", *(titles[kind] for kind in kinds)]):
        axis.set_title(title, fontsize=9.5)
    figure.colorbar(shown, ax=axes[:, -1], shrink=min(1.0, 2.4 / len(rows)), label="weight (mean 1 per type)")
    return figure
