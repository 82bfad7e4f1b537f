"""SDSS corrected frames, with the noise of each pixel from the frame's own calibration and sky.

The file is described by the SDSS data model, ``BOSS_PHOTOOBJ/frames/RERUN/RUN/CAMCOL/frame.html``, the same in DR9 to
DR17; the gains and dark variances below are its tables of electrons per count and of counts squared.
"""

import numpy as np

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images._fits_read import native

__all__ = ["frame_meta", "frame_noise", "gain_and_dark_variance", "is_frame", "is_whole_frame", "sigma_of_frame"]

_GAIN = {
    "u": (1.62, 1.825, 1.59, 1.6, 1.47, 2.17),
    "g": (3.32, 3.855, 3.845, 3.995, 4.05, 4.035),
    "r": (4.71, 4.6, 4.72, 4.76, 4.725, 4.895),
    "i": (5.165, 5.195, 4.86, 4.885, 4.64, 4.76),
    "z": (4.745, 5.155, 4.885, 4.775, 3.48, 4.69),
}
_DARK_VARIANCE = {
    "u": (9.61, 12.6025, 8.7025, 12.6025, 9.3025, 7.0225),
    "g": (15.6025, 1.44, 1.3225, 1.96, 1.1025, 1.8225),
    "r": (1.8225, 1.0, 1.3225, 1.3225, 0.81, 0.9025),
    "i": (7.84, 6.25, 4.6225, 7.5625, 7.84, 5.0625),
    "z": (0.81, 1.0, 1.0, 12.6025, 2.1025, 1.21),
}
# Before the electronics changed: (band, camcol) -> (last run, value). The data model gives 6.565 for the gain of i,
# column 2, at all times; the photometric pipeline's own files of runs 2583 to 3836 have 5.195, as is taken above.
_EARLY_GAIN = {("u", 2): (1100, 1.595), ("i", 2): (1500, 6.565)}
_EARLY_DARK_VARIANCE = {
    ("i", 2): (1500, 5.76), ("i", 4): (1500, 6.25), ("z", 4): (1500, 9.61), ("z", 5): (1500, 1.8225),
}


def gain_and_dark_variance(band, camcol, run):
    """Electrons per count, and variance of the dark current and read noise in counts squared."""
    if band not in _GAIN or camcol not in range(1, 7):
        raise ValueError(f"SDSS has bands u, g, r, i, z and camera columns 1 to 6, not {band!r} and {camcol!r}")
    values = []
    for table, early in ((_GAIN, _EARLY_GAIN), (_DARK_VARIANCE, _EARLY_DARK_VARIANCE)):
        last_run, value = early.get((band, camcol), (-1, None))
        values.append(value if run <= last_run else table[band][camcol - 1])
    return tuple(values)


def is_frame(parts):
    """Whether the parts of a file are those of an SDSS corrected frame."""
    header = parts[0].header
    return all(key in header for key in ("CAMCOL", "RUN", "FILTER", "NMGY")) and np.ndim(parts[0].data) == 2


def frame_noise(flux, calibration, sky_counts, gain, dark_variance):
    """Standard deviation of each pixel of a frame in nanomaggies.

    The counts are ``flux / calibration + sky``, and their variance ``counts / gain + dark_variance`` (data model).

    Parameters
    ----------
    flux : ndarray
        The frame in nanomaggies, shape ``(y, x)``.
    calibration : ndarray
        Nanomaggies per count of each column, shape ``(x,)``.
    sky_counts : ndarray
        Sky in counts, shape ``(y, x)``.
    gain, dark_variance : float
        In electrons per count, and counts squared.
    """
    variance = np.maximum(flux / calibration + sky_counts, 0) / gain + dark_variance
    return np.sqrt(variance) * calibration


def frame_meta(header):
    """What the header of a frame, or of a piece of one, tells: band, field, gain and dark variance."""
    band, run, camcol = str(header["FILTER"]).strip(), int(header["RUN"]), int(header["CAMCOL"])
    gain, dark_variance = gain_and_dark_variance(band, camcol, run)
    return {"band": band, "survey": "SDSS", "run": run, "camcol": camcol, "field": int(header.get("FRAME", 0)),
            "gain": gain, "dark_variance": dark_variance}


def is_whole_frame(parts):
    """Whether a frame has its calibration vector and sky, which a cutout of one has not."""
    return (len(parts) >= 3 and np.shape(parts[1].data) == np.shape(parts[0].data)[1:]
            and {"ALLSKY", "XINTERP", "YINTERP"} <= set(getattr(parts[2].data, "names", None) or ())
            and np.size(parts[2].data["XINTERP"][0]) == np.shape(parts[0].data)[1]
            and np.size(parts[2].data["YINTERP"][0]) == np.shape(parts[0].data)[0])


def sigma_of_frame(file, flux, meta):
    """Standard deviation of each pixel of a whole frame, from its calibration and sky."""
    calibration = native(file.parts[1].data, np.float32)
    sky = _sky_counts(file, file.parts[2].data, flux.shape)
    return frame_noise(flux, calibration, sky, meta["gain"], meta["dark_variance"]).astype(np.float32)


def _sky_counts(path, table, shape):
    """The coarse sky image interpolated linearly to all pixels, in counts."""
    sky = native(table["ALLSKY"][0], np.float64)
    columns, rows = native(table["XINTERP"][0], np.float64), native(table["YINTERP"][0], np.float64)
    if sky.ndim != 2 or (len(rows), len(columns)) != shape:
        raise FileFormatError(f"{path} has a sky for {(len(rows), len(columns))} pixels, the frame has {shape}")
    return _lerp(_lerp(sky, columns).T, rows).T


def _lerp(image, places):
    """Linear interpolation along the last axis at places in pixels, which are held within it."""
    places = np.clip(places, 0, image.shape[1] - 1)
    low = np.minimum(places.astype(int), max(image.shape[1] - 2, 0))
    share = places - low
    return image[:, low] * (1 - share) + image[:, np.minimum(low + 1, image.shape[1] - 1)] * share
