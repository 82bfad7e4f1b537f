"""Shapes of real galaxies from a GalSim RealGalaxyCatalog."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from astro_galtrans.simulation._galsim import import_galsim

__all__ = ["RealMorphologies", "isolated"]

_ENLARGEMENT = (0.5, 8.0)
_SMOOTHING = 2.0  # pixels
_THRESHOLD = 2.0  # standard deviations of the smoothed background


def isolated(image):
    """The galaxy in the middle of an image, with 0 around it.

    Kept are the pixels that hang together with the middle where the smoothed image stands out of the background by
    two standard deviations, which is taken from the image's outermost pixels. Without this the noise of the image,
    and its square border, would be enlarged together with the galaxy.

    Parameters
    ----------
    image : ndarray
        Shape ``(y, x)``.

    Returns
    -------
    ndarray
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, dtype=float), _SMOOTHING)
    border = np.concatenate([smooth[:3].ravel(), smooth[-3:].ravel(), smooth[:, :3].ravel(), smooth[:, -3:].ravel()])
    level = np.median(border)
    scatter = 1.4826 * np.median(np.abs(border - level))
    labels, _ = ndimage.label(smooth > level + _THRESHOLD * scatter)
    y, x = labels.shape[0] // 2, labels.shape[1] // 2
    middle = labels[y - 3:y + 4, x - 3:x + 4]
    if not middle.any():
        raise ValueError("there is no galaxy in the middle of the image")
    kept = ndimage.binary_fill_holes(labels == np.bincount(middle[middle > 0]).argmax())
    return np.where(kept, image - level, 0.0)


class RealMorphologies:
    """Images of real galaxies, turned and resized at will. The PSF they were taken with remains part of the shape.

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
        self._shapes = {}

    def __len__(self):
        return self.catalog.nobjects

    def shape(self, index):
        """Profile of flux 1 and half-light radius in arcsec, never below a pixel, of one galaxy."""
        if index not in self._shapes:
            galsim = import_galsim()
            image = self.catalog.getGalImage(index)
            try:
                clean = galsim.Image(isolated(image.array), scale=image.scale)
            except ValueError as error:
                raise ValueError(f"row {index} of {self.path}: {error}") from error
            profile = galsim.InterpolatedImage(clean, flux=1.0)
            self._shapes[index] = profile, max(clean.calculateHLR(), image.scale)
        return self._shapes[index]

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
        index, angle = int(rng.integers(len(self))), rng.uniform(0, 360)
        profile, own = self.shape(index)
        enlargement = float(np.clip(radius / own, *_ENLARGEMENT))
        return profile.dilate(enlargement).rotate(angle * import_galsim().degrees), index, own * enlargement
