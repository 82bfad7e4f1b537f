"""Shapes of the components of galaxies, and how the components share the light of a galaxy.

Each shape has flux 1, a method ``transform(renderer)``, its Fourier transform on the grid of a `Renderer`, and a method
``fraction(radius)``, its flux within a circle around the center of the galaxy.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.special import chndtr, gammainc, gammaincinv, jv, ndtr

from astro_galtrans.simulation._psf import quadratic_form
from astro_galtrans.simulation._render import import_galsim
from astro_galtrans.simulation._spectrograph import image_fraction

__all__ = ["Blobs", "Ellipse", "GridImage", "Profile", "SkyGrid", "ferrers", "ring", "sersic"]

# Transforms of round profiles are tabulated in sqrt(k), in which those of cuspy profiles are smooth.
_SPACING, _N_VALUES = 0.005, 4200
_N_ANGLES = 128
_RING_WIDTH = 0.13


class _RoundTable:
    """Transform and curve of growth of a round profile of flux 1 and unit size."""

    def __init__(self, transform, growth):
        values = np.asarray(transform((_SPACING * np.arange(_N_VALUES)) ** 2), dtype=np.float32)
        self.values, self.slopes = values, np.append(np.diff(values), np.float32(0))
        self.growth = growth

    def __call__(self, wave_number_squared):
        """Return the transform, for a float32 array that is overwritten."""
        position = np.sqrt(np.sqrt(wave_number_squared, out=wave_number_squared), out=wave_number_squared)
        position *= np.float32(1 / _SPACING)
        np.minimum(position, np.float32(_N_VALUES - 1), out=position)
        whole = np.floor(position)
        index = whole.astype(np.intp)
        position -= whole
        position *= self.slopes.take(index, mode="clip")
        position += self.values.take(index, mode="clip")
        return position


@lru_cache(maxsize=32)
def sersic(index):
    """Return the table of a Sersic profile whose half-light radius is 1."""
    profile = import_galsim().Sersic(index, half_light_radius=1.0)
    scale = gammaincinv(2 * index, 0.5)
    return _RoundTable(lambda k: [profile.kValue(one, 0.0).real for one in k],
                       lambda radius: gammainc(2 * index, scale * radius ** (1 / index)))


@lru_cache(maxsize=1)
def ferrers():
    """Return the table of a bar of surface brightness (1 - r^2)^2 (Ferrers 1877) that ends at radius 1."""
    def transform(k):
        near = k < 0.05
        k = np.where(near, 1.0, k)
        return np.where(near, 1.0, 48 * jv(3, k) / k**3)

    return _RoundTable(transform, lambda radius: 1 - np.clip(1 - radius**2, 0, None) ** 3)


@lru_cache(maxsize=1)
def ring():
    """Return the table of a thin ring of radius 1, blurred by a Gaussian."""
    radii = np.linspace(0, 2, 201)
    growth = chndtr((radii / _RING_WIDTH) ** 2, 2, _RING_WIDTH**-2)
    return _RoundTable(lambda k: jv(0, k) * np.exp(-0.5 * (_RING_WIDTH * k) ** 2),
                       lambda radius: np.interp(radius, radii, growth))


@dataclass
class Ellipse:
    """A round profile that is stretched and moved.

    Attributes
    ----------
    table : _RoundTable
    matrix : ndarray of shape (2, 2)
        From the profile of unit size to arcsec on the sky.
    center : tuple of float
        Position from the center of the galaxy in x and y, in arcsec.
    """

    table: _RoundTable
    matrix: np.ndarray
    center: tuple = (0.0, 0.0)

    @property
    def size(self):
        """Circularized size in arcsec: the half-light radius of a Sersic profile."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def transform(self, renderer):
        (a, b), (c, d) = self.matrix.tolist()
        kx, ky = renderer.kx.astype(np.float32), renderer.ky.astype(np.float32)
        values = self.table(quadratic_form(kx, ky, a * a + b * b, a * c + b * d, c * c + d * d))
        if self.center == (0.0, 0.0):
            return values
        return values * (_phases(ky, self.center[1])[:, None] * _phases(kx, self.center[0]))

    def fraction(self, radius):
        """Return the flux within a circle in arcsec; the center is taken as that of the galaxy."""
        angle = (np.arange(_N_ANGLES) + 0.5) / _N_ANGLES * np.pi
        inverse = np.linalg.inv(self.matrix)
        stretch = np.hypot(*(inverse @ np.array([np.cos(angle), np.sin(angle)])))
        area = abs(np.linalg.det(self.matrix))
        return float(np.mean(self.table.growth(radius * stretch) / stretch**2) / area)


def _phases(wave_numbers, position):
    """Return exp(-i k x) as complex64, of the shape of ``wave_numbers``."""
    angles = (wave_numbers * np.float32(position)).astype(np.float32, copy=False)
    phases = np.empty(angles.shape, dtype=np.complex64)
    np.cos(angles, out=phases.real)
    np.sin(angles, out=phases.imag)
    np.negative(phases.imag, out=phases.imag)
    return phases


@dataclass
class Blobs:
    """Round Gaussian blobs at positions in arcsec, with weights of sum 1 and one dispersion in arcsec."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    dispersion: float

    def transform(self, renderer):
        along_y, along_x = self._blurred(_upper(renderer), self.y), self._blurred(renderer.kx, self.x)
        return _half_plane(*(along_y * self.weights.astype(np.float32)), *along_x)

    def _blurred(self, wave_numbers, positions):
        smooth = np.exp(-0.5 * (self.dispersion * wave_numbers) ** 2)
        return _waves(wave_numbers, positions) * smooth[:, None].astype(np.float32)

    def fraction(self, radius):
        """Return the flux within a circle in arcsec."""
        # Blobs are small, so that the circle is a straight line for them.
        return float(self.weights @ ndtr((radius - np.hypot(self.x, self.y)) / self.dispersion))


def _waves(wave_numbers, positions):
    """Return cos(k x) and sin(k x), float32 of shape ``(2, k, position)``."""
    angles = np.multiply.outer(wave_numbers.astype(np.float32), positions.astype(np.float32))
    return np.stack([np.cos(angles), np.sin(angles)])


def _upper(renderer):
    """Return the wave numbers along y that are not negative, up to and with the Nyquist one."""
    return np.abs(renderer.ky[:renderer.n // 2 + 1])


def _half_plane(cos_y, sin_y, cos_x, sin_x):
    """Return the transform of real amplitudes at positions, complex64 on the half plane of a `Renderer`.

    The arguments have shape ``(k, position)``, of x for all wave numbers, of y for those of `_upper`; those of y are
    multiplied by the amplitudes. The negative ones follow from the symmetry of cosine and sine.
    """
    n_y, n_x = len(cos_y), len(cos_x)
    products = np.concatenate([cos_y, sin_y]) @ np.concatenate([cos_x, sin_x]).T
    (cc, cs), (sc, ss) = ((half[:, :n_x], half[:, n_x:]) for half in (products[:n_y], products[n_y:]))
    plane = np.empty((2 * n_y - 2, n_x), dtype=np.complex64)
    upper, lower = plane[:n_y - 1], plane[:n_y - 2:-1]
    upper.real, upper.imag = (cc - ss)[:-1], -(cs + sc)[:-1]
    lower.real, lower.imag = (cc + ss)[1:], (sc - cs)[1:]
    return plane


class SkyGrid:
    """Square grid of ``n`` by ``n`` points on the sky, ``spacing`` arcsec apart, around the center of a galaxy."""

    def __init__(self, spacing, n):
        self.spacing, self.n = float(spacing), n
        self.points = ((np.arange(n) - (n - 1) / 2) * spacing).astype(np.float32)
        self._known = {}

    def waves(self, renderer):
        """Return cosine and sine along y, and those along x, of which those of one renderer are computed once."""
        key = renderer.n, renderer.dk
        if key not in self._known:
            self._known[key] = self._smoothed(_upper(renderer)), self._smoothed(renderer.kx)
        return self._known[key]

    def _smoothed(self, wave_numbers):
        # Between the points the image is interpolated linearly, whose transform is a squared sinc.
        smooth = np.sinc(wave_numbers * self.spacing / (2 * np.pi)) ** 2
        return _waves(wave_numbers, self.points) * smooth[:, None].astype(np.float32)


@dataclass
class GridImage:
    """An image on a `SkyGrid`, float32 of sum 1, interpolated linearly: the same function for every renderer."""

    grid: SkyGrid
    image: np.ndarray

    def transform(self, renderer):
        along_y, along_x = self.grid.waves(renderer)
        return _half_plane(*(along_y @ self.image), *along_x)

    def fraction(self, radius):
        """Return the flux within a circle in arcsec."""
        fine = 3
        offset = (np.arange(fine) - (fine - 1) / 2) / fine * self.grid.spacing
        points = (self.grid.points[:, None] + offset).ravel()
        inside = np.hypot(points, points[:, None]) < radius
        cover = inside.reshape(self.grid.n, fine, self.grid.n, fine).mean(axis=(1, 3))
        return float(np.sum(self.image * cover, dtype=float))


@dataclass
class Profile:
    """A centered GalSim profile of flux 1."""

    profile: object = field(repr=False)

    def transform(self, renderer):
        return renderer.transform(self.profile)

    def fraction(self, radius):
        """Return the flux within a circle in arcsec."""
        return image_fraction(radius, self.profile)
