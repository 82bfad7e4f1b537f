"""Filter curves by name, from files, or as top-hats."""

from pathlib import Path

import astropy.units as u
import numpy as np

__all__ = ["coarser", "curve_of_file", "sedpy_curve", "speclite_curve", "top_hat"]


def speclite_curve(name):
    """Return wavelengths and photon response of a curve of speclite, as ``"decam2014-g"``."""
    from speclite.filters import load_filter

    try:
        curve = load_filter(name)
    except ValueError as error:
        raise ValueError(f"speclite has no filter {name!r}: {error}") from error
    return curve.wavelength * u.AA, curve.response


def sedpy_curve(name):
    """Return wavelengths and photon response of a curve of astro-sedpy, as ``"decam_g"``."""
    from sedpy.observate import Filter

    try:
        curve = Filter(name)
    except (OSError, ValueError) as error:
        raise ValueError(f"astro-sedpy has no filter {name!r}") from error
    # These tables hold the photon response times the wavelength-free throughput, relative to its maximum.
    order = np.argsort(curve.wavelength)
    wavelength, first = np.unique(curve.wavelength[order], return_index=True)
    return wavelength * u.AA, np.clip(curve.transmission[order][first], 0, None)


def coarser(wavelength, response, step=10 * u.AA):
    """Return a curve without its wings below 0.001 of the maximum, at points with a distance of ``step``.

    The time of synthetic photometry is proportional to the number of points, of which some tables have thousands.
    """
    inside = np.flatnonzero(response > 1e-3 * response.max())
    first, last = max(inside[0] - 1, 0), min(inside[-1] + 1, len(response) - 1)
    edges = wavelength[[first, last]].to_value(u.AA)
    grid = np.linspace(*edges, 1 + max(2, round(np.ptp(edges) / step.to_value(u.AA))))
    values = np.interp(grid, wavelength.to_value(u.AA), response)
    return grid * u.AA, np.where((grid == edges[0]) | (grid == edges[1]), 0, values)


def top_hat(blue, red):
    """Return a response of 1 between two wavelengths, each a Quantity, and 0 outside."""
    blue, red = blue.to_value(u.AA), red.to_value(u.AA)
    if not 0 < blue < red:
        raise ValueError(f"top_hat must have two increasing wavelengths, got {blue} and {red} Angstrom")
    step = 1e-6 * (red - blue)
    return np.array([blue - step, blue, red, red + step]) * u.AA, np.array([0.0, 1.0, 1.0, 0.0])


def curve_of_file(path, unit=u.AA, response="photon"):
    """Return the curve of a text file of two columns, wavelength in ``unit`` and response.

    ``#`` starts a comment, and commas or blanks separate the columns. The response is ``"photon"``, in detected photons
    per photon, or ``"energy"``, that times the wavelength, as for integrals of the energy.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            rows.append([float(word) for word in words[:2]])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != 2 or not np.all(np.isfinite(rows[-1])):
            raise ValueError(f"{path}, line {number} must have a wavelength and a response, got {line.strip()!r}")
    if len(rows) < 2:
        raise ValueError(f"{path} must have at least two lines of wavelength and response, it has {len(rows)}")
    wavelength, values = np.array(rows).T
    order = np.argsort(wavelength, kind="stable")
    wavelength, values = wavelength[order], values[order]
    if response == "energy":
        values = values / wavelength
    elif response != "photon":
        raise ValueError(f"response must be 'photon' or 'energy', got {response!r}")
    return (wavelength * unit).to(u.AA), values
