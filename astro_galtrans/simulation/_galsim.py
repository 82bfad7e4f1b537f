"""The one place where GalSim is imported."""

__all__ = ["import_galsim"]


def import_galsim():
    """The galsim module, or an error that says how to get it."""
    try:
        import galsim
    except ImportError as error:
        raise ImportError(
            'simulated galaxies need GalSim: pip install "astro_galtrans[simulation]"') from error
    return galsim
