"""Noise-free images of galaxies, drawn by one Fourier transform per band from profiles that the bands share."""

from math import ceil, pi
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.stats import mad_std
from scipy import fft, ndimage

from astro_galtrans._utils.optional import optional

__all__ = ["RealMorphologies", "Renderer", "import_galsim", "isolated", "pixel_phases"]

_MOFFAT_BETA = 3.5
_ENLARGEMENT = (0.5, 8.0)
_SMOOTHING = 2.0  # pixels
_THRESHOLD = 2.0  # standard deviations of the smoothed background


def import_galsim():
    """Return the galsim module, or raise an ImportError that names the extra."""
    return optional("galsim", "simulation", "simulated galaxies")


def pixel_phases(wave_numbers, positions, scale):
    """Return the transform along one axis of pixels of a scale at positions, complex64 of shape ``(position, k)``."""
    phases = np.exp(-1j * np.multiply.outer(positions, wave_numbers)) * np.sinc(wave_numbers * scale / (2 * pi))
    return phases.astype(np.complex64)


class Renderer:
    """Draws galaxies on the pixel grid of one survey.

    A galaxy is a sum of components, each of one shape in all bands. The transform of each shape is evaluated once. The
    transform of a band is their weighted sum times the transforms of PSF and pixel. ``size`` is the side of a stamp in
    pixels, ``padding`` the side of the Fourier grid, and thus the period of the image, in stamps.
    """

    def __init__(self, survey, size, padding=2):
        self.galsim = import_galsim()
        self.survey, self.size = survey, size
        self.scale = survey.pixel_scale.to_value(u.arcsec)
        sharpest = min(band.psf_fwhm.to_value(u.arcsec) for band in survey)
        # Below about 2.5 samples per FWHM a PSF holds power beyond the Nyquist frequency of the grid.
        self.oversampling = max(1, ceil(2.5 * self.scale / sharpest))
        fine_scale = self.scale / self.oversampling
        self.n = 2 * fft.next_fast_len(ceil(padding * size * self.oversampling / 2), real=True)
        self.dk = 2 * pi / (self.n * fine_scale)
        half = self.n // 2
        self.kx = self.dk * np.arange(half + 1)
        self.ky = self.dk * fft.fftfreq(self.n, 1 / self.n)
        self._grid = self.galsim.BoundsI(0, half, -half, half - 1)
        self.pixel = np.outer(np.sinc(self.ky * self.scale / (2 * pi)), np.sinc(self.kx * self.scale / (2 * pi)))

    def transform(self, profile):
        """Return the complex Fourier transform of a centered GalSim profile of flux 1 on the half plane."""
        image = self.galsim.ImageCD(self._grid, scale=self.dk)
        profile.drawKImage(image=image, recenter=False)
        return fft.ifftshift(image.array, axes=0)

    def points(self, x, y, brightness):
        """Return the transform of points at positions in arcsec, of relative brightness and total flux 1."""
        along_y = np.exp(-1j * np.outer(self.ky, y)) * (brightness / np.sum(brightness))
        along_x = np.exp(-1j * np.outer(x, self.kx))
        return along_y @ along_x

    def psf(self, fwhm, profile="moffat"):
        """Return the real transform of a PSF of a FWHM in arcsec."""
        if profile == "moffat":
            return self.transform(self.galsim.Moffat(beta=_MOFFAT_BETA, fwhm=fwhm)).real
        return self.transform(self.galsim.Kolmogorov(fwhm=fwhm)).real

    def psfs(self, widths, profile="moffat"):
        """Return the transforms of round PSFs of FWHM in arcsec, one per band."""
        return [self.psf(width, profile) for width in widths]

    def point(self, psfs):
        """Return a point at the center of the stamp in all bands, each of sum 1; ``psfs`` as of `draw`."""
        images = self.draw([np.ones(1)], np.ones((1, len(psfs))), psfs, (0, 0))
        return images / images.sum(axis=(1, 2), keepdims=True)

    def draw(self, transforms, fluxes, psfs, offset):
        """Return images in all bands, float32 of shape ``(band, size, size)``.

        ``transforms`` are those of the components, from `transform` or `points`. ``fluxes`` have shape ``(component,
        band)``, in the unit of the survey, ``psfs`` are the real transforms of the PSFs, one per band, and ``offset``
        is the position of the galaxy from the center of the stamp in x and y, in arcsec.
        """
        center = (self.size - 1) / 2 * self.scale
        shift = self._shift(center + offset[0], center + offset[1])
        shift *= self.pixel
        shared = [(shift * transform).astype(np.complex64) for transform in transforms]
        bands = np.empty((len(psfs), *shift.shape), dtype=np.complex64)
        for band, psf, flux in zip(bands, psfs, np.asarray(fluxes, dtype=np.float32).T):
            np.multiply(shared[0], flux[0], out=band)
            for transform, part in zip(shared[1:], flux[1:]):
                band += part * transform
            band *= psf.astype(np.float32, copy=False)
        images = fft.irfft2(bands, s=(self.n, self.n), overwrite_x=True, workers=1)
        stride, stop = self.oversampling, self.size * self.oversampling
        return images[:, :stop:stride, :stop:stride] * np.float32(stride**2)

    def _shift(self, x, y):
        """Return the transform of a shift in arcsec."""
        return np.outer(np.exp(-1j * self.ky * y), np.exp(-1j * self.kx * x))

    def mixed(self, transforms, fluxes, blurs):
        """Return the transform of all components in each band, complex64 of shape ``(band, ky, kx)``.

        ``transforms`` and ``fluxes`` are as of `draw`, ``blurs`` are the real transforms of the PSFs as one array.
        """
        planes = np.stack(transforms, dtype=np.complex64, casting="same_kind")
        bands = np.asarray(fluxes, dtype=np.float32).T @ planes.view(np.float32).reshape(len(planes), -1)
        return bands.view(np.complex64).reshape(blurs.shape) * blurs

    def images(self, bands, offsets):
        """Return the images of the transforms of `mixed`, float32 of shape ``(band, size, size)``.

        ``offsets`` are the positions in each band from the center of the stamp, x and y in arcsec, shape ``(band, 2)``.
        Up to rounding, the images are those of `draw`. Rows beyond the stamp are not transformed along x.
        """
        along_x, along_y = (pixel_phases(k, position, self.scale) for k, position in zip(
            (self.kx, self.ky), np.transpose(offsets) + (self.size - 1) / 2 * self.scale))
        stride, stop = self.oversampling, self.size * self.oversampling
        rows = fft.ifft(bands * along_y[:, :, None], axis=1, overwrite_x=True, workers=1)[:, :stop:stride]
        images = fft.irfft(rows * along_x[:, None], self.n, axis=2, overwrite_x=True, workers=1)
        return images[:, :, :stop:stride] * np.float32(stride**2)


def isolated(image):
    """Return the galaxy in the middle of an image of shape ``(y, x)``, with 0 around it.

    The pixels are kept that are connected to the middle and where the smoothed image exceeds the background, measured
    at the border, by two standard deviations. Otherwise the noise and the square border would be enlarged together
    with the galaxy.
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, dtype=float), _SMOOTHING)
    border = np.concatenate([smooth[:3].ravel(), smooth[-3:].ravel(), smooth[:, :3].ravel(), smooth[:, -3:].ravel()])
    level = np.median(border)
    labels, _ = ndimage.label(smooth > level + _THRESHOLD * mad_std(border))
    y, x = labels.shape[0] // 2, labels.shape[1] // 2
    middle = labels[y - 3:y + 4, x - 3:x + 4]
    if not middle.any():
        raise ValueError("there is no galaxy in the middle of the image")
    kept = ndimage.binary_fill_holes(labels == np.bincount(middle[middle > 0]).argmax())
    return np.where(kept, image - level, 0.0)


class RealMorphologies:
    """Images of real galaxies, rotated and resized. The PSF of the images stays part of the shape.

    Parameters
    ----------
    path : path-like
        Catalog file of a `galsim.RealGalaxyCatalog`; its image files are in the same folder.
    """

    def __init__(self, path):
        self.galsim = import_galsim()
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"morphologies must be an existing file, got {self.path}")
        try:
            self.catalog = self.galsim.RealGalaxyCatalog(str(self.path))
        except (OSError, KeyError, self.galsim.GalSimError) as error:
            raise ValueError(
                f"morphologies must be a galsim.RealGalaxyCatalog, {self.path} is none: {error}") from error
        self._shapes = {}

    def _shape(self, index):
        """Return the profile of flux 1 of a galaxy and its half-light radius in arcsec, of at least a pixel."""
        if index not in self._shapes:
            image = self.catalog.getGalImage(index)
            try:
                clean = self.galsim.Image(isolated(image.array), scale=image.scale)
            except ValueError as error:
                raise ValueError(f"row {index} of {self.path}: {error}") from error
            profile = self.galsim.InterpolatedImage(clean, flux=1.0)
            self._shapes[index] = profile, max(clean.calculateHLR(), image.scale)
        return self._shapes[index]

    def draw(self, rng, radius):
        """Return a random galaxy, rotated at random: profile of flux 1, row of the catalog, half-light radius.

        ``radius`` is the half-light radius wanted, in arcsec. The image is enlarged at most 8 times and shrunk at most
        2 times; the radius returned is the one after these limits.
        """
        index, angle = int(rng.integers(self.catalog.nobjects)), rng.uniform(0, 360)
        profile, own = self._shape(index)
        enlargement = float(np.clip(radius / own, *_ENLARGEMENT))
        return profile.dilate(enlargement).rotate(angle * self.galsim.degrees), index, own * enlargement
