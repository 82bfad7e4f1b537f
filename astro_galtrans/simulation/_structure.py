"""Structure of simulated galaxies: which components they have, of which shape, and their shares in the light.

Frequencies and sizes follow published samples, which the functions cite. Lengths are in scale lengths of the disk, or
in half-light radii of a galaxy without a disk, until the whole is scaled to the half-light radius of the galaxy.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from astro_galtrans.simulation._components import Blobs, Ellipse, GridImage, SkyGrid, ferrers, ring, sersic
from astro_galtrans.simulation._population import DISK_SCALES

__all__ = ["Structure", "draw_structure"]

_INDICES = np.array([1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0])
_RADII = np.geomspace(0.02, 40.0, 96)
_SIDES = (48, 64, 96)  # points of a grid, by the size of the galaxy
_REACH = 4.5  # half side of the grid of arms in scale lengths
_ROUNDS = 12
# How much more a component has of the youngest template than of the oldest, as a natural log.
_YOUTH = {"bulge": -2.5, "outer": 0.5, "bar": -1.5, "disk": 0.0, "arms": 1.5, "clumps": 3.5, "ring": 1.5, "tidal": 0.0}
# Share of the emission lines per share in the light.
_LINES = {"bulge": 0.1, "outer": 0.5, "bar": 0.3, "disk": 0.6, "arms": 2.0, "clumps": 15.0, "ring": 2.0, "tidal": 0.5}


@dataclass
class Structure:
    """Components of a galaxy.

    Attributes
    ----------
    names : list of str
    shapes : list
        Shape of each component, see `astro_galtrans.simulation._components`.
    shares : ndarray of shape (n_components, n_templates)
        Share of each component in the flux of each template; columns add up to 1.
    line_shares : ndarray of shape (n_components,)
        Share of each component in the emission lines, of sum 1.
    reddening : ndarray of shape (n_components,)
        E(B-V) in mag of each component relative to the galaxy: of dust, metals and age that the templates leave out.
    lane : tuple or None
        Shape of a dust lane, share of the light of the galaxy that is behind it, and E(B-V) of its dust in mag.
    nucleus : float
        Share of an active nucleus in the SDSS r flux.
    columns : dict
        Columns of the catalog.
    """

    names: list
    shapes: list
    shares: np.ndarray
    line_shares: np.ndarray
    reddening: np.ndarray
    lane: tuple | None
    nucleus: float
    columns: dict


@dataclass
class _Part:
    """A component before its size is known: ``shape`` takes the size of the unit length in arcsec.

    ``fraction`` is its part of the SDSS r flux, ``growth`` its flux within the circularized radii ``_RADII``.
    """

    name: str
    fraction: float
    growth: np.ndarray
    shape: object
    reddening: float = 0.0


def _rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _ellipse(name, fraction, table, matrix, reddening=0.0, center=(0.0, 0.0)):
    size = np.sqrt(abs(np.linalg.det(matrix)))
    position = np.asarray(center)

    def shape(unit):
        middle = (0.0, 0.0) if not position.any() else tuple(float(value) for value in unit * position)
        return Ellipse(table, unit * matrix, middle)

    return _Part(name, fraction, table.growth(_RADII / size), shape, reddening)


def _nearest(value):
    """Return the tabulated Sersic index that is nearest."""
    return float(_INDICES[np.argmin(np.abs(np.log(_INDICES / value)))])


@dataclass
class _Disk:
    """Orientation of a disk: ``matrix`` leads from its plane to the sky, ``axis_ratio`` is the apparent one."""

    angle: float
    axis_ratio: float

    @property
    def matrix(self):
        return _rotation(self.angle) @ np.diag([1.0, self.axis_ratio])

    def columns(self, bulge_fraction):
        """Return columns of the catalog."""
        return {"axis_ratio": self.axis_ratio, "position_angle": self.angle, "bulge_fraction": bulge_fraction}


def _draw_disk(rng, thickness):
    """Return a disk of random inclination.

    Disks are not quite round: ellipticities in the plane are log-normal (Ryden 2004, ApJ 601, 214).
    """
    cos_inclination = rng.random()
    ratio = np.sqrt(thickness**2 + (1 - thickness**2) * cos_inclination**2)
    ellipticity = min(np.exp(rng.normal(-2.3, 0.8)), 0.4)
    return _Disk(rng.uniform(0, np.pi), max(ratio * (1 - ellipticity * rng.random()), thickness))


def _lognormal(rng, median, scatter, low, high):
    return float(np.clip(median * np.exp(scatter * rng.standard_normal()), low, high))


# ---- early types -------------------------------------------------------------------------------------------------

def _draw_elliptical(rng, row):
    """Return the parts of an elliptical galaxy.

    The Sersic index rises with luminosity (Graham & Guzman 2003, AJ 125, 2936, B - r = 1.2); axis ratios are those of
    ellipticals in SDSS (Padilla & Strauss 2008, MNRAS 388, 1321). Two profiles, of one shape, carry the color gradient.
    """
    index = np.clip(10 ** (-(row["absolute_r_mag"] + 1.2 + 14.3) / 9.4 + rng.normal(0, 0.12)), 1.8, 6.0)
    ratio = float(np.clip(rng.normal(0.77, 0.14), 0.35, 1.0))
    angle = rng.uniform(0, np.pi)
    matrix = _rotation(angle) @ np.diag([ratio**-0.5, ratio**0.5])
    table, gradient = sersic(_nearest(0.9 * index)), rng.normal(0.16, 0.07)
    parts = [_ellipse("bulge", 0.5, table, 0.7 * matrix, gradient / 2),
             _ellipse("outer", 0.5, table, 1.5 * matrix, -gradient / 2)]
    return parts, {"axis_ratio": ratio, "position_angle": angle, "bulge_fraction": 1.0}


def _draw_lenticular(rng, row):
    """Return the parts of a lenticular galaxy: bulge fractions of Laurikainen et al. (2010, MNRAS 405, 1089).

    A bar is in 46 percent (Laurikainen et al. 2009, ApJ 692, L34), a ring or lens in a third (Comeron et al. 2014, A&A
    562, A121).
    """
    disk = _draw_disk(rng, 0.28)
    bulge_fraction = float(np.clip(rng.normal(0.42, 0.16), 0.1, 0.8))
    index = float(np.clip(rng.lognormal(np.log(2.3), 0.35), 1.0, 4.0))
    gradient = rng.normal(0.08, 0.05)
    parts = [_draw_bulge(rng, disk, bulge_fraction, _nearest(index), _lognormal(rng, 0.45, 0.35, 0.15, 1.0), gradient)]
    rest = 1 - bulge_fraction
    if rng.random() < 0.46:
        rest -= _add_bar(rng, parts, disk, rest, 1.3)
    if rng.random() < 0.3:
        fraction = rest * rng.uniform(0.03, 0.12)
        parts.append(_ellipse("ring", fraction, ring(), rng.uniform(1.2, 2.2) * disk.matrix))
        rest -= fraction
    profile = sersic(float(rng.choice([0.7, 1.0, 1.5], p=[0.3, 0.45, 0.25])))
    parts.append(_ellipse("disk", rest, profile, DISK_SCALES * disk.matrix, -gradient / 2))
    return parts, disk.columns(bulge_fraction)


def _draw_bulge(rng, disk, fraction, index, size, reddening):
    """Return a bulge with a half-light radius in scale lengths; flatter ones have disks that are seen from the side."""
    flattening = rng.uniform(0.6, 0.9) if index > 2 else rng.uniform(0.35, 0.7)
    ratio = np.sqrt(flattening**2 + (1 - flattening**2) * max(disk.axis_ratio**2 - 0.04, 0) / 0.96)
    matrix = size * _rotation(disk.angle) @ np.diag([ratio**-0.5, ratio**0.5])
    return _ellipse("bulge", fraction, sersic(index), matrix, reddening)


def _add_bar(rng, parts, disk, rest, length):
    """Add a bar with a length in scale lengths (Erwin 2005, MNRAS 364, 283); return its fraction.

    Bars have about a tenth of the light (Weinzirl et al. 2009, ApJ 696, 411) and axis ratios of 0.2 to 0.6.
    """
    fraction = min(_lognormal(rng, 0.09, 0.5, 0.02, 0.25), 0.5 * rest)
    angle = rng.uniform(0, np.pi)
    plane = _rotation(angle) @ np.diag([1.0, rng.uniform(0.2, 0.5)])
    major = _lognormal(rng, length, 0.3, 0.3, 3.0)
    # The ends of the profile are faint: half of the light is within 0.45 of the radius.
    parts.append(_ellipse("bar", fraction, ferrers(), 1.2 * major * disk.matrix @ plane))
    return fraction


# ---- late types --------------------------------------------------------------------------------------------------

def _hubble_stage(rng, row, youth):
    """Return the Hubble stage, 0 for S0/a to 9 for Sm: later for fainter and younger galaxies, with scatter."""
    return float(np.clip(3.0 + 1.1 * (row["absolute_r_mag"] + 20.8) + 5 * (youth - 0.45) + rng.normal(0, 1.3), 0, 9))


# Median bulge fractions and half-light radii of bulges over scale lengths (Graham & Worley 2008, MNRAS 388, 1708,
# tables 4 and 5), by Hubble stage.
_STAGES = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9])
_BULGE_FRACTIONS = np.array([0.27, 0.25, 0.20, 0.14, 0.09, 0.06, 0.035, 0.02, 0.01])
_BULGE_SIZES = np.array([0.24, 0.22, 0.23, 0.22, 0.21, 0.21, 0.20, 0.20, 0.20])


def _draw_spiral(rng, row, youth):
    """Return the parts of a spiral galaxy.

    Bars are in 45 percent (Aguerri et al. 2009, A&A 495, 491), inner rings in a fifth of those of early stage (Comeron
    et al. 2014). A third of the disks are antitruncated and half are truncated (Pohlen & Trujillo 2006, A&A 454, 759);
    Sersic profiles stand for both.
    """
    stage = _hubble_stage(rng, row, youth)
    disk = _draw_disk(rng, 0.2)
    bulge_fraction = float(np.clip(np.interp(stage, _STAGES, _BULGE_FRACTIONS) * 10 ** rng.normal(0, 0.28), 0.003, 0.6))
    size = np.interp(stage, _STAGES, _BULGE_SIZES) * 10 ** rng.normal(0, 0.15)
    # Classical bulges are the bright ones (Fisher & Drory 2008, AJ 136, 773).
    classical = rng.random() < expit((bulge_fraction - 0.2) / 0.06)
    index = float(rng.choice([2.5, 3.0, 4.0] if classical else [1.0, 1.5, 2.0]))
    gradient = rng.normal(0.05, 0.05)
    parts = [_draw_bulge(rng, disk, bulge_fraction, index, size, gradient)]
    rest = 1 - bulge_fraction
    bar = rng.random() < 0.45
    if bar:
        rest -= _add_bar(rng, parts, disk, rest, 1.3 if stage < 4 else 0.7)
    if rng.random() < (0.2 if stage < 4 else 0.08):
        fraction = rest * rng.uniform(0.03, 0.12)
        parts.append(_ellipse("ring", fraction, ring(), rng.uniform(1.2, 2.0) * disk.matrix))
        rest -= fraction
    arms = _Arms(rng, row, disk, stage)
    clumps = rest * _lognormal(rng, 0.015 + 0.01 * stage, 0.5, 0.0, 0.2)
    arm_fraction = 0.0 if disk.axis_ratio < 0.27 else rest * _lognormal(rng, arms.strength, 0.4, 0.03, 0.5)
    if arm_fraction:
        parts.append(_Part("arms", arm_fraction, arms.growth, arms.shape, -0.02))
    parts.append(arms.clumps(rng, int(rng.poisson(25 + 8 * stage)) + 3, clumps))
    rest -= arm_fraction + clumps
    offset = _lopsided(rng, disk)
    profile = sersic(float(rng.choice([0.7, 1.0, 1.5], p=[0.5, 0.25, 0.25])))
    parts.append(_ellipse("disk", rest, profile, DISK_SCALES * disk.matrix, -gradient / 4, offset))
    lane = _draw_lane(rng, disk, arms, rest)
    return parts, disk.columns(bulge_fraction), lane


def _lopsided(rng, disk, dispersion=0.1):
    """Return the offset of a disk in scale lengths: relative to an exponential disk it is the m = 1 amplitude.

    Amplitudes beyond 0.2 are in a third of spiral galaxies (Zaritsky & Rix 1997, ApJ 477, 118) in the outer disk, and
    half as large near the center.
    """
    return disk.matrix @ (dispersion * rng.standard_normal(2))


def _draw_irregular(rng, row):
    """Return the parts of an irregular galaxy: no bulge, a patchy disk with large clumps, off center.

    Disks of dwarf irregulars are thick (Roychowdhury et al. 2013, MNRAS 436, L104) and flat in the middle.
    """
    disk = _draw_disk(rng, 0.45)
    arms = _Arms(rng, row, disk, 9.0)
    clumps, patches = rng.uniform(0.04, 0.25), rng.uniform(0.1, 0.4)
    parts = [arms.clumps(rng, int(rng.poisson(12)) + 3, clumps), _Part("arms", patches, arms.growth, arms.shape)]
    profile = sersic(float(rng.choice([0.7, 1.0])))
    parts.append(_ellipse("disk", 1 - clumps - patches, profile, DISK_SCALES * disk.matrix, 0.0,
                          _lopsided(rng, disk, 0.25)))
    return parts, disk.columns(0.0)


class _Arms:
    """Spiral arms, or patches, on a grid on the sky.

    Half of the spirals are flocculent, a third have many arms and a fifth are of grand design (Elmegreen et al. 2011,
    ApJ 737, 32). Pitch angles rise from 10 degrees in Sa to 20 and more in Sc (Kennicutt 1981, AJ 86, 1847). Arms have
    a fifth of the light of the disk (Savchenko et al. 2020, MNRAS 493, 390).
    """

    def __init__(self, rng, row, disk, stage):
        self.disk, self._grids = disk, {}
        # A guess of the scale length in arcsec: how fine the grid has to be.
        scale = row["half_light_radius"] / (1.5 * np.sqrt(disk.axis_ratio))
        n = next((side for side in _SIDES if 2 * _REACH * scale / side < 0.25), _SIDES[-1])
        self.points = (np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2)) * np.float32(2 * _REACH / n)
        (a, b), (c, d) = np.linalg.inv(disk.matrix).astype(np.float32)
        x, y = self.points[None], self.points[:, None]
        first, second = a * x + b * y, c * x + d * y
        self.radius = np.sqrt(first * first + second * second)
        inverse = 1 / np.maximum(self.radius, np.float32(1e-3))
        azimuth = (first + 1j * second) * inverse
        pitch = np.deg2rad(np.clip(rng.normal(10 + 2.2 * min(stage, 6.0), 5), 6, 40))
        winding = np.log(self.radius + np.float32(0.15)) * np.float32(rng.choice([-1, 1]) / np.tan(pitch))
        spiral = np.empty(winding.shape, dtype=np.complex64)
        np.cos(winding, out=spiral.real)
        np.sin(winding, out=spiral.imag)
        spiral *= azimuth
        kind = "irregular" if stage >= 9 else rng.choice(["grand", "many", "flocculent"], p=[0.18, 0.32, 0.50])
        self.strength = {"grand": 0.22, "many": 0.18, "flocculent": 0.14, "irregular": 0.2}[kind]
        if kind == "irregular":
            spiral = azimuth.astype(np.complex64)
        self._pattern(rng, kind, spiral)
        inner = np.float32(rng.uniform(0.3, 0.8))
        square = self.radius * self.radius
        outer = np.float32(rng.uniform(1.0, 1.3))
        # Nothing is left at the border of the grid.
        self.envelope = np.exp(-self.radius / outer) * np.clip(1 - square / np.float32(_REACH**2), 0, None) ** 2
        if kind != "irregular":
            self.envelope *= square / (square + inner * inner)
        self.contrast = np.float32(rng.uniform(1.0, 2.0))
        image = self.envelope * np.exp(self.contrast * self.pattern)
        self.image = image / image.sum()
        self.growth = self._growth(self.image)

    def _pattern(self, rng, kind, spiral):
        """Set the logarithm of the brightness around the circle, within about -1 and 1, and where dust lanes are."""
        orders = {"grand": [2, 1, 4], "many": [2, 3, 4, 5], "flocculent": [2, 3, 5, 7], "irregular": [1, 2, 3]}[kind]
        # Only grand design is coherent over all radii; otherwise each order has ripples of its own along the radius.
        ripples = np.ones((3, *self.radius.shape), dtype=np.complex64)
        angle = np.float32(2.2) * self.radius
        np.cos(angle, out=ripples[1].real)
        np.sin(angle, out=ripples[1].imag)
        np.multiply(ripples[1], ripples[1], out=ripples[2])
        self.pattern = np.zeros(self.radius.shape, dtype=np.float32)
        self.ahead = np.zeros(self.radius.shape, dtype=np.float32)
        power, reached = spiral, 1
        for order in sorted(orders):
            while reached < order:
                power, reached = power * spiral, reached + 1
            n = 1 if kind == "grand" else 3
            phases = np.exp(2j * np.pi * rng.random(n)) * (1.0 if kind == "grand" else rng.uniform(0.3, 0.8, n))
            amplitude = (1.0 if order == orders[0] else 0.2) if kind == "grand" else 0.7
            term = power * np.tensordot((amplitude * phases).astype(np.complex64), ripples[:n], 1)
            self.pattern += term.real
            self.ahead += (term * np.complex64(np.exp(0.35j * np.sqrt(order)))).real
        for image in (self.pattern, self.ahead):
            image /= 1.4 * image.std()

    def _growth(self, image):
        """Return the flux within ``_RADII`` of an image, whose pixels are sorted by circularized radius in bins."""
        width = 0.05
        circular = self.radius * np.float32(np.sqrt(self.disk.axis_ratio) / width)
        bins = np.bincount(circular.ravel().astype(np.int32), weights=image.ravel())
        return np.interp(_RADII, width * np.arange(len(bins) + 1), np.concatenate([[0], np.cumsum(bins)]))

    def grid(self, unit):
        """Return the grid on the sky, the same for all images of the galaxy."""
        if unit not in self._grids:
            self._grids[unit] = SkyGrid(unit * float(self.points[1] - self.points[0]), len(self.points))
        return self._grids[unit]

    def shape(self, unit):
        return GridImage(self.grid(unit), self.image)

    def clumps(self, rng, n, fraction):
        """Return the part of blobs that follow the arms: H II regions and their clusters.

        Luminosities have a power law of slope -2 (Kennicutt, Edgar & Hodge 1989, ApJ 337, 761). A dispersion of 0.04
        scale lengths is about 130 pc.
        """
        weights = np.cumsum(self.image * np.exp(self.contrast * self.pattern - 0.4 * self.radius), dtype=float)
        index = np.searchsorted(weights, rng.random(n) * weights[-1])
        row, column = np.divmod(index, len(self.points))
        spacing = float(self.points[1] - self.points[0])
        jitter = (rng.random((2, n)) - 0.5) * spacing
        x, y = self.points[column] + jitter[0], self.points[row] + jitter[1]
        brightness = 1 / rng.uniform(0.05, 1, n)
        brightness /= brightness.sum()
        dispersion = rng.uniform(0.03, 0.06)
        circular = self.radius[row, column] * np.sqrt(self.disk.axis_ratio)
        order = np.argsort(circular)
        growth = np.interp(_RADII, circular[order], np.cumsum(brightness[order]), left=0.0)
        return _Part("clumps", fraction, growth, lambda unit: Blobs(unit * x, unit * y, brightness, unit * dispersion))


def _draw_lane(rng, disk, arms, fraction):
    """Return a dust lane or None: function to the shape, share of the light behind it, and its E(B-V) in mag.

    Disks seen from the side have a lane along the plane (Dalcanton et al. 2004, ApJ 608, 189), others at the inner
    edges of arms. Optical depths in the V band are of order 1 (Holwerda et al. 2005, AJ 129, 1396).
    """
    if rng.random() < 0.25:
        return None
    reddening = rng.uniform(0.1, 0.35)
    if disk.axis_ratio < 0.33:
        # At most 0.7 of the disk is taken where the lane is relatively brightest, 1.4 scale lengths from the center.
        matrix = disk.matrix @ np.diag([1.2, 0.3])
        table = sersic(0.5)
        factor = np.sqrt(2 * np.log(2))
        return (lambda unit: Ellipse(table, factor * unit * matrix)), 0.12 * fraction, reddening
    image = np.exp(-arms.radius) * np.clip(arms.ahead - 0.3, 0, 1.2) / 1.2
    total = float(image.sum())
    spacing = float(arms.points[1] - arms.points[0])
    # An exponential disk of flux 1 has the central brightness 1 / (2 pi q).
    cover = total * spacing**2 / (2 * np.pi * disk.axis_ratio)
    image = image / total
    return (lambda unit: GridImage(arms.grid(unit), image)), 0.7 * cover * fraction, reddening


def _draw_tidal(rng, row):
    """Return a tidal arc or tail as a part, of the unit length of the others.

    Features are seen in 18 percent of bright galaxies (Atkinson, Abraham & Ferguson 2013, ApJ 765, 28).
    """
    n, reach = 64, 6.0
    points = (np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2)) * np.float32(2 * reach / n)
    azimuth, radius = np.arctan2(points[:, None], points[None]), np.hypot(points[:, None], points[None])
    start, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 2.5)
    if row["early"]:
        image = np.exp(-0.5 * ((radius - rng.uniform(1.5, 4.0)) / rng.uniform(0.2, 0.5)) ** 2)
    else:
        wound = azimuth - rng.choice([-1, 1]) * rng.uniform(0.3, 0.9) * radius
        image = np.exp(3 * (np.cos(wound) - 1)) * np.exp(-0.5 * ((radius - rng.uniform(2, 3)) / 1.1) ** 2)
    image = image * np.exp(width * (np.cos(azimuth - start) - 1))
    image = (image / image.sum()).astype(np.float32)
    bins = np.bincount((radius / 0.1).ravel().astype(np.int32), weights=image.ravel())
    growth = np.interp(_RADII, 0.1 * np.arange(len(bins) + 1), np.concatenate([[0], np.cumsum(bins)]))
    spacing = float(points[1] - points[0])
    return _Part("tidal", _lognormal(rng, 0.03, 0.6, 0.005, 0.12), growth,
                 lambda unit: GridImage(SkyGrid(unit * spacing, n), image))


# ---- the whole ---------------------------------------------------------------------------------------------------

def _draw_parts(rng, row, youth):
    """Return the parts of a galaxy, columns of the catalog and a lane or None.

    Ellipticals are a third of early types and more among luminous ones (Cappellari et al. 2011, MNRAS 416, 1680).
    Irregulars are the late types of low luminosity (Sandage, Binggeli & Tammann 1985, AJ 90, 1759), more often at high
    redshift (Abraham et al. 1996, MNRAS 279, L47).
    """
    luminosity = row["absolute_r_mag"]
    if row["early"]:
        elliptical = rng.random() < 0.3 + 0.5 * expit((-22.0 - luminosity) / 0.5)
        return *(_draw_elliptical if elliptical else _draw_lenticular)(rng, row), None
    irregular = expit((luminosity + 17.3) / 0.5) + 0.25 * np.clip(row["redshift"] - 0.3, 0, 1)
    if rng.random() < irregular:
        return *_draw_irregular(rng, row), None
    return _draw_spiral(rng, row, youth)


def _shares(names, fractions, templates, lines):
    """Return the shares of the components in the templates and in the lines.

    Component c has the part ``fractions[c]`` of the SDSS r flux, of which the templates are the parts ``templates`` and
    lines the part ``lines``; the shares are as near as that allows to what `_YOUTH` says (iterative proportional
    fitting).
    """
    line_shares = fractions * [_LINES[name] for name in names]
    # No component has more in lines than half of its light.
    line_shares = np.minimum(line_shares / line_shares.sum(), 0.5 * fractions / max(lines, 1e-9))
    line_shares = line_shares / line_shares.sum()
    continuum = np.clip(fractions - lines * line_shares, 0.1 * fractions, None)
    continuum *= templates.sum() / continuum.sum()
    youth = np.linspace(0, 1, len(templates))
    light = np.exp(np.multiply.outer([_YOUTH[name] for name in names], youth))
    for _ in range(_ROUNDS):
        light *= (continuum / (light @ templates))[:, None]
        light /= light.sum(axis=0)
    return light, line_shares


def draw_structure(rng, row, templates, lines):
    """Return the `Structure` of a galaxy.

    Parameters
    ----------
    rng : `numpy.random.Generator`
    row : dict
        With ``early``, ``absolute_r_mag``, ``redshift`` and ``half_light_radius`` (circularized, arcsec), which becomes
        that of all components together.
    templates : ndarray of shape (n_templates,)
        Parts of the templates in the SDSS r flux, from old to young.
    lines : float
        Part of the emission lines in it.
    """
    youth = float(np.linspace(0, 1, len(templates)) @ templates / templates.sum())
    parts, columns, lane = _draw_parts(rng, row, youth)
    if rng.random() < 0.18:
        tidal = _draw_tidal(rng, row)
        for part in parts:
            part.fraction *= 1 - tidal.fraction
        parts.append(tidal)
    # Broad lines are in a few percent of galaxies (Hao et al. 2005, AJ 129, 1783), with a nucleus of any strength.
    nucleus = float(min(rng.exponential(0.1), 0.6)) if rng.random() < 0.03 else 0.0
    fractions = np.array([part.fraction for part in parts])
    fractions /= fractions.sum()
    growth = nucleus + (1 - nucleus) * (fractions @ [part.growth for part in parts])
    unit = row["half_light_radius"] / np.interp(0.5, growth, _RADII)
    names = [part.name for part in parts]
    shares, line_shares = _shares(names, fractions, templates, lines)
    if lane is not None:
        shape, cover, reddening = lane
        lane = shape(unit), cover, reddening
    columns = {**columns, "nucleus_fraction": nucleus}
    return Structure(names, [part.shape(unit) for part in parts], shares, line_shares,
                     np.array([part.reddening for part in parts]), lane, nucleus, columns)
