"""The larger pixels of a shallower survey: their WCS, and an image convolved and sampled on them in one step."""

from copy import deepcopy

import astropy.units as u
import numpy as np
from astropy.wcs import WCS, Sip
from astropy.wcs.utils import proj_plane_pixel_scales
from scipy import fft, ndimage

from astro_galtrans.surveys import matching_size

__all__ = ["Sampler", "grid_shape", "plain_wcs", "scaled_wcs"]

_BAD_SHARE = 0.05  # of the kernel's weight that may lie on bad pixels


def plain_wcs(shape, pixel_scale):
    """A tangent projection around RA 0, Dec 0, north up, for images that tell no place on the sky."""
    scale = pixel_scale.to_value(u.deg)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [0.0, 0.0]
    wcs.wcs.crpix = [(side + 1) / 2 for side in shape[::-1]]
    wcs.wcs.cdelt = [-scale, scale]
    wcs.array_shape = tuple(shape)
    wcs.wcs.set()
    return wcs


def scaled_wcs(wcs, origin, step, shape):
    """The WCS of pixels of ``step`` times the side, the first of which is centred on pixel ``origin`` (x, y).

    SIP distortions are scaled with the pixels; tables of distortion are refused.
    """
    if any(getattr(wcs, name) is not None for name in ("cpdis1", "cpdis2", "det2im1", "det2im2")):
        raise ValueError("image has a WCS with tables of distortion; regrid() it first")
    sides = proj_plane_pixel_scales(wcs)
    if abs(sides[0] / sides[1] - 1) > 0.01:
        raise ValueError(f"image must have square pixels, got a WCS of {sides[0]:.6g} x {sides[1]:.6g} degrees; "
                         "regrid() it first")
    new = deepcopy(wcs)
    new.wcs.crpix = (wcs.wcs.crpix - 1 - np.asarray(origin)) / step + 1
    if wcs.wcs.has_cd():
        new.wcs.cd = wcs.wcs.cd * step
    else:
        new.wcs.cdelt = wcs.wcs.cdelt * step
    if wcs.sip is not None:
        parts = [_scaled_sip(getattr(wcs.sip, name), step) for name in ("a", "b", "ap", "bp")]
        new.sip = Sip(*parts, (wcs.sip.crpix - 1 - np.asarray(origin)) / step + 1)
    new.array_shape = tuple(shape)
    new.wcs.set()
    return new


def _scaled_sip(coefficients, step):
    if coefficients is None:
        return None
    p, q = np.indices(coefficients.shape)
    return coefficients * step ** (p + q - 1.0)


def grid_shape(shape, scale, new_scale):
    """Rows and columns of the largest grid of pixels of another size that lies within an image."""
    return tuple(matching_size(side, scale, new_scale) for side in shape)


class Sampler:
    """Convolves planes of one shape with a kernel and samples them on larger pixels, exactly, by Fourier sums.

    A convolved image holds nothing beyond the frequencies of its own pixels, so that the Fourier series is the image
    between the pixels: no interpolation widens it. Flux is surface brightness times the area of the new pixels.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the planes.
    new_shape : tuple of int
        Rows and columns wanted, around the same centre.
    step : float
        Side of a new pixel in old ones.
    margin : int
        Pixels that are put around the planes, for the kernel's reach.
    """

    def __init__(self, shape, new_shape, step, margin):
        self.shape, self.new_shape, self.step = tuple(shape), tuple(new_shape), step
        whole = [fft.next_fast_len(side + 2 * margin, real=True) for side in shape]
        self.pad = [((n - side) // 2, n - side - (n - side) // 2) for n, side in zip(whole, shape)]
        self.whole = tuple(whole)
        self.fy, self.fx = fft.fftfreq(whole[0]), fft.rfftfreq(whole[1])
        self.places = [(side - 1) / 2 + (np.arange(new) - (new - 1) / 2) * step
                       for side, new in zip(shape, new_shape)]
        y, x = (place + before for place, (before, _) in zip(self.places, self.pad))
        fold = np.full(len(self.fx), 2.0)
        fold[0] = 1
        if whole[1] % 2 == 0:
            fold[-1] = 1
        self._y = np.exp(2j * np.pi * np.outer(y, self.fy)) / whole[0]
        self._x = (np.exp(2j * np.pi * np.outer(self.fx, x)) * fold[:, np.newaxis]) / whole[1]
        self.inside = np.logical_and.outer(*[
            (place > -0.5 - 1e-9) & (place < side - 0.5 + 1e-9) for place, side in zip(self.places, shape)])

    @property
    def origin(self):
        """Pixel (x, y) of the old grid on which the first new pixel is centred."""
        return self.places[1][0], self.places[0][0]

    def _padded(self, plane):
        """The plane in the middle of its Fourier grid; around it its border fades, so that nothing jumps."""
        out = np.pad(plane, self.pad, mode="edge")
        for axis, (pads, side) in enumerate(zip(self.pad, self.shape)):
            fade = [(1 - np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))) / 2 for n in pads]
            ramp = np.concatenate([fade[0], np.ones(side), fade[1][::-1]])
            out = out * (ramp[:, np.newaxis] if axis == 0 else ramp)
        return out

    def _sampled(self, plane, transform):
        return (self._y @ (fft.rfft2(self._padded(plane)) * transform) @ self._x).real

    def flux(self, plane, transform):
        """The plane on the new pixels, for the kernel's ``transform`` at ``fy`` and ``fx``."""
        return self._sampled(plane, transform) * self.step**2

    def noise_factor(self, transform):
        """What multiplies the variance of independent pixels."""
        power = np.abs(transform) ** 2
        ends = 1 if self.whole[1] % 2 else -1
        total = power[:, 0].sum() + 2 * power[:, 1:None if ends == 1 else -1].sum()
        total += 0 if ends == 1 else power[:, -1].sum()
        return total / (self.whole[0] * self.whole[1]) * self.step**4

    def variance(self, plane, transform):
        """Variance of single new pixels, from that of old pixels that are independent."""
        squared = fft.irfft2(transform, self.whole) ** 2
        spread = fft.rfft2(squared / squared.sum())
        return np.clip(self._sampled(plane, spread), plane.min(), plane.max()) * self.noise_factor(transform)

    def bad(self, plane, transform):
        """True where bad pixels, or what is beyond the image, hold more than a twentieth of the kernel's weight."""
        weight = np.abs(fft.irfft2(transform, self.whole))
        spread = fft.rfft2(weight / weight.sum())
        padded = np.pad(plane.astype(float), self.pad, constant_values=1.0)
        share = fft.irfft2(fft.rfft2(padded) * spread, self.whole)
        y, x = (place + before for place, (before, _) in zip(self.places, self.pad))
        grid = np.meshgrid(y, x, indexing="ij")
        return ndimage.map_coordinates(share, grid, order=1, mode="nearest") > _BAD_SHARE
