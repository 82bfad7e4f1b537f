"""The one place where GalSim is imported."""

from astro_galtrans._utils.optional import optional

__all__ = ["import_galsim"]


def import_galsim():
    """The galsim module, or an error that says how to get it."""
    return optional("galsim", "simulation", "simulated galaxies")
