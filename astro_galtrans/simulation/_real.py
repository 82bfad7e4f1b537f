"""Shapes of real galaxies from a GalSim RealGalaxyCatalog."""

from pathlib import Path

import numpy as np

from astro_galtrans.simulation._galsim import import_galsim

__all__ = ["RealMorphologies"]

_ENLARGEMENT = (0.5, 8.0)


class RealMorphologies:
    """Images of real galaxies, with their own PSF removed, turned and resized at will.

    Parameters
    ----------
    path : path-like
        Catalogue file of a `galsim.RealGalaxyCatalog`; its image files lie in the same folder.
    """

    def __init__(self, path):
        galsim = import_galsim()
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"morphologies: there is no file {self.path}")
        try:
            self.catalog = galsim.RealGalaxyCatalog(str(self.path))
        except (OSError, KeyError, galsim.GalSimError) as error:
            raise ValueError(f"morphologies: {self.path} is not a galsim.RealGalaxyCatalog: {error}") from error
        self._radii = {}

    def __len__(self):
        return self.catalog.nobjects

    def _radius(self, index):
        """Half-light radius in arcsec of the image as observed, never below a pixel."""
        if index not in self._radii:
            image = self.catalog.getGalImage(index)
            radius = image.calculateHLR()
            self._radii[index] = max(radius, image.scale) if np.isfinite(radius) else image.scale
        return self._radii[index]

    def draw(self, rng, radius):
        """A random galaxy, turned at random, of about a half-light radius.

        Parameters
        ----------
        rng : `numpy.random.Generator`
            Its random numbers.
        radius : float
            Wanted half-light radius in arcsec. The image is enlarged 8 times at most and shrunk 2 times at most.

        Returns
        -------
        profile : `galsim.GSObject`
            Of flux 1.
        index : int
            Row of the catalogue.
        radius : float
            The half-light radius after the limits.
        """
        galsim = import_galsim()
        index = int(rng.integers(len(self)))
        angle, own = rng.uniform(0, 360), self._radius(index)
        enlargement = float(np.clip(radius / own, *_ENLARGEMENT))
        # An rng of our own, though no noise is added: GalSim would seed one from the clock.
        profile = galsim.RealGalaxy(self.catalog, index=index, flux=1.0, rng=galsim.BaseDeviate(index + 1),
                                    noise_pad_size=0)
        return profile.dilate(enlargement).rotate(angle * galsim.degrees), index, own * enlargement
