"""Color images of galaxies: the galleries of the report, and contact sheets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans._utils.figures import new_figure
from astro_galtrans._utils.io import check_folder, write_whole
from astro_galtrans._utils.optional import optional
from astro_galtrans._utils.rgb import BALANCE, rgb_bands, lupton_image, rgb_stretch
from astro_galtrans.evaluation._run import INPUT, TARGET, display_name
from astro_galtrans.images import as_band_cube, flux_and_weight
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from astro_galtrans.images import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["contact_sheet", "gallery", "image_stretch", "show_galaxy", "weights"]

_N_SIGMA = 1.5
_SHEET_STRETCH = 2.0  # with less, the noise hides faint galaxies in small images
_WEIGHT_TITLES = {"x": "weights along x", "y": "weights along y", "passband": "weights along\nthe passbands"}


def _rgb_index(survey):
    """Indices of the bands of a survey for red, green and blue."""
    return [survey.band_names.index(name) for name in rgb_bands(survey.band_names)]


def _planes(flux, survey):
    """Red, green and blue as surface brightness in microjansky per square arcsecond, (3, y, x)."""
    area = survey.pixel_scale.to_value(u.arcsec)**2
    index = _rgb_index(survey)
    scale = [survey.bands[band].flux_per_unit().to_value(u.uJy) * balance / area
             for band, balance in zip(index, BALANCE)]
    return np.nan_to_num(np.asarray(flux, dtype=float)[index]) * np.reshape(scale, (3, 1, 1))


def image_stretch(flux, survey):
    """Return the stretch for `show_galaxy` of an image (band, y, x) in the unit of its survey."""
    return rgb_stretch(_planes(flux, survey).mean(axis=0), _N_SIGMA)


def show_galaxy(axis, flux, survey, stretch):
    """Draw a color image of a galaxy; all images of a galaxy should have the same stretch."""
    axis.imshow(lupton_image(_planes(flux, survey), stretch), origin="lower", interpolation="nearest")


def _finished(axes, titles, last):
    """Remove the frames of all axes, write titles above the first row, and a label beside each row."""
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    for axis, title in zip(axes[0], titles):
        axis.set_title(title, fontsize=9.5)
    for axis, label in zip(axes[:, 0], last):
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, labelpad=8)


def _galaxy_label(samples, row):
    """Magnitude in the middle band, and redshift."""
    survey = samples["target_survey"]
    band = len(survey) // 2
    flux = samples["target_flux"][row][band].sum()
    parts = []
    if flux > 0:
        magnitude = survey.bands[band].zero_point - 2.5 * np.log10(flux)
        parts.append(f"{survey.bands[band].name} = {magnitude:.1f}")
    if samples["redshift"] is not None:
        parts.append(f"z = {samples['redshift'][row]:.2f}")
    return "\n".join(parts)


def gallery(evaluation):
    """Draw a row for each galaxy: input, translations, target, truth, residuals; None without galaxies."""
    samples = evaluation.samples
    names, n, truth = list(samples["translated"]), len(samples["rows"]), samples["target_truth"]
    if not n:
        return None
    simulated = evaluation.meta["simulated"]
    titles = [display_name(INPUT, simulated).replace(" ", "\n"), *names,
              display_name(TARGET, simulated).replace(" ", "\n"), *([] if truth is None else ["noiseless\ntruth"]),
              *(f"residual:\n{name}" for name in names)]
    figure = new_figure(1.62 * len(titles) + 0.7, 1.62 * n + 0.7)
    axes = figure.subplots(n, len(titles), squeeze=False)
    shown = None
    for row in range(n):
        source, target = samples["input_flux"][row], samples["target_flux"][row]
        # Half the stretch of the noisier input: its noise stays visible without hiding the galaxy.
        stretch = max(image_stretch(target, samples["target_survey"]),
                      0.5 * image_stretch(source, samples["input_survey"]))
        show_galaxy(axes[row, 0], source, samples["input_survey"], stretch)
        planes = [*(samples["translated"][name][row] for name in names), target,
                  *([] if truth is None else [truth[row]])]
        for axis, flux in zip(axes[row, 1:], planes):
            show_galaxy(axis, flux, samples["target_survey"], stretch)
        for axis, name in zip(axes[row, 1 + len(planes):], names):
            shown = axis.imshow(_residual(samples, name, row), origin="lower", cmap="RdBu_r", vmin=-5, vmax=5,
                                interpolation="nearest")
    _finished(axes, titles, [_galaxy_label(samples, row) for row in range(n)])
    figure.colorbar(shown, ax=axes[:, -1], shrink=min(1.0, 3 / n), aspect=25, label="residual / noise of one pixel")
    return figure


def _residual(samples, name, row):
    """Translated minus reference in the green band, in units of the target's pixel noise."""
    band = _rgb_index(samples["target_survey"])[1]
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
    """Draw the mean weights of the gradient elements for some galaxies; None without a translator that has them."""
    from matplotlib.colors import LogNorm

    samples = evaluation.samples
    rows = [(name, row) for name in samples["weights"] for row in range(min(3, len(samples["rows"])))]
    if not rows:
        return None
    kinds = [kind for kind in _WEIGHT_TITLES if kind in next(iter(samples["weights"].values()))]
    figure = new_figure(1.9 * (len(kinds) + 1) + 1.6, 1.9 * len(rows) + 0.5)
    axes = figure.subplots(len(rows), len(kinds) + 1, squeeze=False)
    maps = [[_mean_over_bands(samples["weights"][name][kind][row]) for kind in kinds] for name, row in rows]
    every = np.concatenate([plane.ravel() for planes in maps for plane in planes])
    every = every[np.isfinite(every) & (every > 0)]
    low, high = np.percentile(every, [1, 99.5]) if every.size else (0.5, 2.0)
    norm = LogNorm(min(low, 0.8), max(high, 1.25))
    shown = None
    for line, (name, row), planes in zip(axes, rows, maps):
        target, survey = samples["target_flux"][row], samples["target_survey"]
        show_galaxy(line[0], target, survey, image_stretch(target, survey))
        for axis, plane in zip(line[1:], planes):
            shown = axis.imshow(np.where(plane > 0, plane, np.nan), origin="lower", cmap="viridis", norm=norm,
                                interpolation="nearest")
    several = len(samples["weights"]) > 1
    _finished(axes, [display_name(TARGET, evaluation.meta["simulated"]), *(_WEIGHT_TITLES[kind] for kind in kinds)],
              [name if several else _galaxy_label(samples, row) for name, row in rows])
    figure.colorbar(shown, ax=axes[:, -1], shrink=min(1.0, 2.4 / len(rows)), label="weight (mean 1 per type)")
    return figure


def contact_sheet(
    images: Sequence[Sequence[BandCube | np.ndarray]], path: str | PathLike, labels: Sequence[str] | None = None, *,
    surveys: Sequence[Survey | str] | None = None, columns: int = 5, title: str | None = None,
    names: Sequence[str] = ("input", "translated"),
) -> None:
    """Write a PNG with color images of many galaxies; all images of a galaxy have the same stretch.

    Parameters
    ----------
    images : sequence
        For each galaxy a tuple of images, as ``(input, translated)``: BandCube with a survey, or ndarray
        ``(band, y, x)`` in the unit of its survey.
    path : str or path-like
        File to write. It appears complete or not at all.
    labels : sequence of str, optional
        Label of each galaxy, written above it.
    surveys : sequence of Survey or str, optional
        Survey of each image of a tuple; needed for arrays.
    columns : int, optional
        Galaxies side by side.
    title : str, optional
    names : sequence of str, optional
        Names of the images of a tuple.

    Raises
    ------
    ImportError
        Without matplotlib, which is in ``astro_galtrans[report]``.
    """
    optional("matplotlib")
    check_folder(path)
    images = [tuple(group) for group in images]
    if not images:
        raise ValueError("images holds no galaxy")
    n = len(images[0])
    if any(len(group) != n for group in images) or (labels is not None and len(labels) != len(images)):
        raise ValueError(f"images must hold {n} images for every galaxy, and labels one for each of {len(images)}")
    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    figure = new_figure(columns * n * 1.25, rows * 1.45 + 0.6)
    axes = figure.subplots(rows, columns * n, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for index, group in enumerate(images):
        row, column = divmod(index, columns)
        group = [_with_survey(image, None if surveys is None else surveys[i]) for i, image in enumerate(group)]
        stretch = _SHEET_STRETCH * max(image_stretch(_middle(flux), survey) for flux, survey in group)
        line = axes[row, column * n:(column + 1) * n]
        for axis, (flux, survey) in zip(line, group):
            show_galaxy(axis, flux, survey, stretch)
        if labels is not None:
            line[0].set_title(str(labels[index]), fontsize=7, loc="left", pad=2)
    for axis, name in zip(axes[0, :n], names):
        axis.text(0.04, 0.04, name, color="white", fontsize=7, transform=axis.transAxes)
    if title:
        figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    write_whole(path, buffer.getvalue())


def _middle(flux):
    """Central half of the image, so that a bright neighbor does not set the stretch."""
    ny, nx = flux.shape[1:]
    return flux[:, ny // 4:ny - ny // 4, nx // 4:nx - nx // 4]


def _with_survey(image, survey):
    if isinstance(image, np.ndarray):
        if survey is None:
            raise ValueError("surveys must be given for images that are plain arrays")
        survey = get_survey(survey)
        if image.ndim != 3 or len(image) != len(survey):
            raise ValueError(f"image must have shape ({len(survey)}, y, x) for {survey.name}, got {image.shape}")
        return image, survey
    cube = as_band_cube(image, survey=survey)
    if cube.survey is None:
        raise ValueError("images must have a survey, or surveys must name those of each image; got one without")
    return flux_and_weight(cube)[0], cube.survey
