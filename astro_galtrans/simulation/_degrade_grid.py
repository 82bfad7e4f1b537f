"""Larger pixels of a shallower survey: their WCS, and convolution and sampling of an image in one Fourier sum."""

from copy import deepcopy

import astropy.units as u
import numpy as np
from astropy.wcs import WCS, Sip
from astropy.wcs.utils import proj_plane_pixel_scales
from scipy import fft, ndimage

__all__ = ["Sampler", "plain_wcs", "scaled_wcs"]

_MAX_BAD_WEIGHT = 0.05  # largest fraction of the kernel weight on bad pixels


def plain_wcs(shape, pixel_scale):
    """Return a tangent projection around RA 0, Dec 0, north up, for images of unknown position."""
    scale = pixel_scale.to_value(u.deg)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [0.0, 0.0]
    wcs.wcs.crpix = [(side + 1) / 2 for side in shape[::-1]]
    wcs.wcs.cdelt = [-scale, scale]
    wcs.array_shape = tuple(shape)
    wcs.wcs.set()
    return wcs


def scaled_wcs(wcs, origin, scale_ratio, shape):
    """Return the WCS of pixels of ``scale_ratio`` times the side, the first centered on pixel ``origin`` (x, y).

    SIP distortions are scaled with the pixels; distortion tables raise a ValueError.
    """
    if any(getattr(wcs, name) is not None for name in ("cpdis1", "cpdis2", "det2im1", "det2im2")):
        raise ValueError("image must have a WCS without distortion tables; use regrid() first")
    sides = proj_plane_pixel_scales(wcs)
    if abs(sides[0] / sides[1] - 1) > 0.01:
        raise ValueError(f"image must have square pixels, got a WCS of {sides[0]:.6g} x {sides[1]:.6g} degrees; "
                         "use regrid() first")
    new = deepcopy(wcs)
    new.wcs.crpix = (wcs.wcs.crpix - 1 - np.asarray(origin)) / scale_ratio + 1
    if wcs.wcs.has_cd():
        new.wcs.cd = wcs.wcs.cd * scale_ratio
    else:
        new.wcs.cdelt = wcs.wcs.cdelt * scale_ratio
    if wcs.sip is not None:
        parts = [_scaled_sip(getattr(wcs.sip, name), scale_ratio) for name in ("a", "b", "ap", "bp")]
        new.sip = Sip(*parts, (wcs.sip.crpix - 1 - np.asarray(origin)) / scale_ratio + 1)
    new.array_shape = tuple(shape)
    new.wcs.set()
    return new


def _scaled_sip(coefficients, scale_ratio):
    if coefficients is None:
        return None
    p, q = np.indices(coefficients.shape)
    return coefficients * scale_ratio ** (p + q - 1.0)


class Sampler:
    """Convolves planes of one shape with a kernel and samples them exactly on larger pixels, by Fourier sums.

    A convolved image has no power beyond the frequencies of its own pixels, so its Fourier series is the image between
    the pixels: no interpolation widens it. Flux is surface brightness times the area of the new pixels. ``new_shape``
    has the same center as ``shape``; ``margin`` is the number of pixels around the planes for the extent of the kernel.
    """

    def __init__(self, shape, new_shape, scale_ratio, margin):
        self.shape, self.new_shape, self.scale_ratio = tuple(shape), tuple(new_shape), scale_ratio
        whole = [fft.next_fast_len(side + 2 * margin, real=True) for side in shape]
        self.pad = [((n - side) // 2, n - side - (n - side) // 2) for n, side in zip(whole, shape)]
        self.whole = tuple(whole)
        self.fy, self.fx = fft.fftfreq(whole[0]), fft.rfftfreq(whole[1])
        self.places = [(side - 1) / 2 + (np.arange(new) - (new - 1) / 2) * scale_ratio
                       for side, new in zip(shape, new_shape)]
        y, x = (place + before for place, (before, _) in zip(self.places, self.pad))
        # Each column stands for two frequencies but the first and, of an even number, the last.
        self._fold = np.full(len(self.fx), 2.0)
        self._fold[0] = 1
        if whole[1] % 2 == 0:
            self._fold[-1] = 1
        self._y = np.exp(2j * np.pi * np.outer(y, self.fy)) / whole[0]
        self._x = (np.exp(2j * np.pi * np.outer(self.fx, x)) * self._fold[:, np.newaxis]) / whole[1]
        self.inside = np.logical_and.outer(*[
            (place > -0.5 - 1e-9) & (place < side - 0.5 + 1e-9) for place, side in zip(self.places, shape)])

    @property
    def origin(self):
        """Pixel (x, y) of the old grid on which the first new pixel is centered."""
        return self.places[1][0], self.places[0][0]

    def _padded(self, plane):
        """Return the plane in the middle of its Fourier grid, with a border that fades to 0 around it."""
        out = np.pad(plane, self.pad, mode="edge")
        for axis, (pads, side) in enumerate(zip(self.pad, self.shape)):
            fade = [(1 - np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))) / 2 for n in pads]
            ramp = np.concatenate([fade[0], np.ones(side), fade[1][::-1]])
            out = out * (ramp[:, np.newaxis] if axis == 0 else ramp)
        return out

    def _sampled(self, plane, transform):
        return (self._y @ (fft.rfft2(self._padded(plane)) * transform) @ self._x).real

    def flux(self, plane, transform):
        """Return the plane on the new pixels, for the ``transform`` of the kernel at ``fy`` and ``fx``."""
        return self._sampled(plane, transform) * self.scale_ratio**2

    def noise_factor(self, transform):
        """Return the factor on the variance of independent pixels."""
        total = np.sum(self._fold * np.abs(transform) ** 2)
        return total / (self.whole[0] * self.whole[1]) * self.scale_ratio**4

    def variance(self, plane, transform):
        """Return the variance of single new pixels, from that of independent old pixels."""
        squared = fft.irfft2(transform, self.whole) ** 2
        spread = fft.rfft2(squared / squared.sum())
        return np.clip(self._sampled(plane, spread), plane.min(), plane.max()) * self.noise_factor(transform)

    def bad(self, plane, transform):
        """Return True where more than a twentieth of the kernel weight is on bad pixels or beyond the image."""
        weight = np.abs(fft.irfft2(transform, self.whole))
        spread = fft.rfft2(weight / weight.sum())
        padded = np.pad(plane.astype(float), self.pad, constant_values=1.0)
        bad_weight = fft.irfft2(fft.rfft2(padded) * spread, self.whole)
        y, x = (place + before for place, (before, _) in zip(self.places, self.pad))
        grid = np.meshgrid(y, x, indexing="ij")
        return ndimage.map_coordinates(bad_weight, grid, order=1, mode="nearest") > _MAX_BAD_WEIGHT
