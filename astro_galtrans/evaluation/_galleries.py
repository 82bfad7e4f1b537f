"""Color images of galaxies: galleries of the report and contact sheets."""

from __future__ import annotations

import io
from typing import Any, TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans._utils.figures import new_figure
from astro_galtrans._utils.optional import optional
from astro_galtrans._utils.rgb import BALANCE, rgb_bands, rgb_picture, rgb_stretch as stretch_of
from astro_galtrans._utils.io import check_folder, write_whole
from astro_galtrans.images import as_band_cube, flux_and_weight
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from astro_galtrans.surveys import Survey

__all__ = ["contact_sheet", "gallery", "rgb_image", "rgb_index", "rgb_stretch", "weights"]

_N_SIGMA = 1.5


def rgb_index(survey):
    """Indices of the bands of a survey for red, green and blue."""
    return [survey.band_names.index(name) for name in rgb_bands(survey.band_names)]


def _planes(flux, survey):
    """Red, green and blue as surface brightness in microjansky per square arcsecond, (3, y, x)."""
    area = survey.pixel_scale.to_value(u.arcsec)**2
    index = rgb_index(survey)
    scale = [survey.bands[band].flux_per_unit().to_value(u.uJy) * balance / area
             for band, balance in zip(index, BALANCE)]
    return np.nan_to_num(np.asarray(flux, dtype=float)[index]) * np.reshape(scale, (3, 1, 1))


def rgb_stretch(flux, survey):
    """Stretch of the picture of an image, as `rgb_image` takes it."""
    return stretch_of(_planes(flux, survey).mean(axis=0), _N_SIGMA)


def rgb_image(flux, survey, stretch):
    """The picture of an image, uint8 of shape ``(y, x, 3)``.

    Parameters
    ----------
    flux : ndarray of shape (band, y, x)
        In the survey's unit.
    survey : Survey
    stretch : float
        As of `rgb_stretch`, the same for all images of a galaxy.
    """
    return rgb_picture(_planes(flux, survey), stretch)


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


_STRETCH = 2.0  # small pictures of faint galaxies drown in the colours of their noise with less


def contact_sheet(
    images: Sequence[Any], path: str | PathLike, labels: Sequence[str] | None = None, *,
    surveys: Sequence[Survey | str] | None = None, columns: int = 5, title: str | None = None,
    names: Sequence[str] = ("input", "translated"),
) -> None:
    """Write a PNG with the colour pictures of many galaxies, each row of pictures with one stretch.

    Parameters
    ----------
    images : sequence
        For each galaxy a tuple of images, as ``(input, translated)``: BandCube with a survey, or ndarray
        ``(band, y, x)`` in the unit of its survey.
    path : str or path-like
        Where to; the file appears whole or not at all.
    labels : sequence of str, optional
        One a galaxy, written above it.
    surveys : sequence of Survey or str, optional
        Survey of each image of a tuple; needed for arrays.
    columns : int, optional
        Galaxies side by side.
    title : str, optional
    names : sequence of str, optional
        What the images of a tuple are.

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
        pair = [_arrays(image, None if surveys is None else surveys[i]) for i, image in enumerate(group)]
        stretch = _STRETCH * max(rgb_stretch(_middle(flux), survey) for flux, survey in pair)
        for offset, (flux, survey) in enumerate(pair):
            axis = axes[row, column * n + offset]
            axis.imshow(rgb_image(flux, survey, stretch), origin="lower", interpolation="nearest")
            if row == 0 and column == 0 and offset < len(names):
                axis.text(0.04, 0.04, names[offset], color="white", fontsize=7, transform=axis.transAxes)
        if labels is not None:
            axes[row, column * n].set_title(str(labels[index]), fontsize=7, loc="left", pad=2)
    if title:
        figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    write_whole(path, buffer.getvalue())


def _middle(flux):
    """The half of the image around its centre: a bright neighbour shall not set the stretch."""
    ny, nx = flux.shape[1:]
    return flux[:, ny // 4:ny - ny // 4, nx // 4:nx - nx // 4]


def _arrays(image, survey):
    if isinstance(image, np.ndarray):
        if survey is None:
            raise ValueError("surveys must be given for images that are plain arrays")
        survey = get_survey(survey)
        if image.ndim != 3 or len(image) != len(survey):
            raise ValueError(f"image must have shape ({len(survey)}, y, x) for {survey.name}, got {image.shape}")
        return image, survey
    cube = as_band_cube(image, survey=survey)
    if cube.survey is None:
        raise ValueError("image has no survey; give surveys=")
    return flux_and_weight(cube)[0], cube.survey
