"""Noise-free images: one Fourier transform a band from profiles that the bands share."""

from math import ceil, pi

import astropy.units as u
import numpy as np
from scipy import fft

from astro_galtrans.simulation._galsim import import_galsim

__all__ = ["Renderer"]

_MOFFAT_BETA = 3.5


class Renderer:
    """Draws galaxies on the pixel grid of one survey.

    A galaxy is a sum of components, each of one shape in all bands. The transform of each shape is evaluated once,
    the bands are weighted sums of these times the transforms of PSF and pixel, and one inverse transform a band makes
    the image. The periodic images of the transform lie ``padding`` stamps apart.

    Parameters
    ----------
    survey : Survey
        Pixel scale and bands.
    size : int
        Side of the stamp in pixels.
    padding : int, optional
        Side of the Fourier grid in stamps.
    """

    def __init__(self, survey, size, padding=2):
        self.galsim = import_galsim()
        self.survey, self.size = survey, size
        self.scale = survey.pixel_scale.to_value(u.arcsec)
        sharpest = min(band.psf_fwhm.to_value(u.arcsec) for band in survey)
        # Below about 2.5 samples per FWHM a PSF holds power beyond the Nyquist frequency of the grid.
        self.oversampling = max(1, ceil(2.5 * self.scale / sharpest))
        self.step = self.scale / self.oversampling
        self.n = 2 * fft.next_fast_len(ceil(padding * size * self.oversampling / 2), real=True)
        self.dk = 2 * pi / (self.n * self.step)
        half = self.n // 2
        self.kx = self.dk * np.arange(half + 1)
        self.ky = self.dk * fft.fftfreq(self.n, 1 / self.n)
        self._grid = self.galsim.BoundsI(0, half, -half, half - 1)
        self.pixel = np.outer(np.sinc(self.ky * self.scale / (2 * pi)), np.sinc(self.kx * self.scale / (2 * pi)))

    def transform(self, profile):
        """Fourier transform of a centred GalSim profile of flux 1 on the half plane of this grid, complex."""
        image = self.galsim.ImageCD(self._grid, scale=self.dk)
        profile.drawKImage(image=image, recenter=False)
        return fft.ifftshift(image.array, axes=0)

    def points(self, x, y, brightness):
        """Transform of points at positions in arcsec, of relative brightness, and total flux 1."""
        along_y = np.exp(-1j * np.outer(self.ky, y)) * (brightness / np.sum(brightness))
        along_x = np.exp(-1j * np.outer(x, self.kx))
        return along_y @ along_x

    def psf(self, fwhm, profile="moffat"):
        """Transform of the PSF of a width in arcsec, real."""
        if profile == "moffat":
            psf = self.galsim.Moffat(beta=_MOFFAT_BETA, fwhm=fwhm)
        else:
            psf = self.galsim.Kolmogorov(fwhm=fwhm)
        return self.transform(psf).real

    def point(self, psf_fwhm, psf_profile="moffat"):
        """A point at the centre of the stamp in all bands, arguments as of `draw`, each of sum 1."""
        images = self.draw([np.ones(1)], np.ones((1, len(psf_fwhm))), psf_fwhm, (0, 0), psf_profile)
        return images / images.sum(axis=(1, 2), keepdims=True)

    def draw(self, transforms, fluxes, psf_fwhm, offset, psf_profile="moffat"):
        """Images in all bands.

        Parameters
        ----------
        transforms : list of ndarray
            Of the components, from `transform` or `points`.
        fluxes : ndarray
            Shape ``(component, band)``, in the unit of the survey.
        psf_fwhm : sequence of float
            In arcsec, one a band.
        offset : tuple of float
            Position of the galaxy from the centre of the stamp in x and y, arcsec.
        psf_profile : str, optional
            As in `GalaxyPopulation`.

        Returns
        -------
        ndarray
            Shape ``(band, size, size)``, float32.
        """
        centre = (self.size - 1) / 2 * self.scale
        shift = np.outer(np.exp(-1j * self.ky * (centre + offset[1])), np.exp(-1j * self.kx * (centre + offset[0])))
        shift *= self.pixel
        shared = [(shift * transform).astype(np.complex64) for transform in transforms]
        bands = np.empty((len(psf_fwhm), *shift.shape), dtype=np.complex64)
        for band, fwhm, flux in zip(bands, psf_fwhm, np.asarray(fluxes, dtype=np.float32).T):
            np.multiply(shared[0], flux[0], out=band)
            for transform, part in zip(shared[1:], flux[1:]):
                band += part * transform
            band *= self.psf(fwhm, psf_profile).astype(np.float32)
        images = fft.irfft2(bands, s=(self.n, self.n), overwrite_x=True, workers=1)
        stride, stop = self.oversampling, self.size * self.oversampling
        return images[:, :stop:stride, :stop:stride] * np.float32(stride**2)
