"""Contact sheets: many galaxies, input beside translation."""

from __future__ import annotations

import io
from typing import Any, TYPE_CHECKING

import numpy as np

from astro_galtrans._utils.optional import optional
from astro_galtrans.evaluation._extras import check_folder, write_whole
from astro_galtrans.evaluation._rgb import rgb_image, rgb_stretch
from astro_galtrans.images import as_band_cube, flux_and_weight
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from astro_galtrans.surveys import Survey

__all__ = ["contact_sheet"]

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
    from matplotlib.figure import Figure

    images = [tuple(group) for group in images]
    if not images:
        raise ValueError("images holds no galaxy")
    n = len(images[0])
    if any(len(group) != n for group in images) or (labels is not None and len(labels) != len(images)):
        raise ValueError(f"images must hold {n} images for every galaxy, and labels one for each of {len(images)}")
    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(columns * n * 1.25, rows * 1.45 + 0.6), layout="constrained")
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
