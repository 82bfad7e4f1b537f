"""What the tests of the command line and of whole fields share: a small translator, and a field."""

from importlib.util import find_spec

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astro_galtrans.images import BandCube
from astro_galtrans.surveys import get_survey

N_SPECTRUM = 64


def pytest_collection_modifyitems(items):
    """Skip what needs MONAI where it is not: what is marked so, and what is given a network made of it."""
    missing = [name for name in ("monai", "einops") if find_spec(name) is None]
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"needs {' and '.join(missing)}")
    for item in items:
        given = getattr(item, "callspec", None)
        named = given is not None and given.params.get("backbone") in ("swin", "diffusion")
        if named or item.get_closest_marker("monai"):
            item.add_marker(skip)


def _pairs(n=16, size=16):
    from astro_galtrans.pairs import PairSet
    from astro_galtrans.spectra import SpectrumGrid

    rng = np.random.default_rng(3)
    images = {}
    for side, name, n_pixels in (("input", "SDSS", size), ("target", "CFHTLS", 34)):
        survey = get_survey(name)
        y, x = (np.indices((n_pixels, n_pixels)) - (n_pixels - 1) / 2) * survey.pixel_scale.to_value(u.arcsec)
        profile = np.exp(-(x**2 + y**2) / 4)
        scale = np.array([band.zero_point for band in survey])
        flux = 10 ** (0.4 * (scale - 17))[:, None, None] * profile / profile.sum()
        images[f"{side}_flux"] = flux + survey.sky_noise[:, None, None] * rng.normal(size=(n, *flux.shape))
        images[f"{side}_survey"] = name
    spectra = rng.normal(2, 1, (n, N_SPECTRUM)), np.ones((n, N_SPECTRUM))
    return PairSet.from_arrays(**images, redshift=rng.uniform(0.05, 0.4, n), spectra=spectra,
                               spectrum_grid=SpectrumGrid(3600, 10000, N_SPECTRUM))


@pytest.fixture(scope="session")
def small_pairs():
    """Sixteen pairs of round galaxies, SDSS to CFHTLS, 16 x 16 to 34 x 34 pixels."""
    return _pairs()


def _translator(**options):
    """Trained so little that it resamples its input and hardly more."""
    from astro_galtrans.training import TrainConfig, fit

    config = TrainConfig(**{
        "objective": "pixel", "residual": True, "epochs": 1, "learning_rate": 1e-7, "batch_size": 8,
        "backbone_options": {"widths": [4, 8], "n_features": 4}, **options})
    return fit(_pairs(), config).translator


@pytest.fixture(scope="session")
def small_translator():
    return _translator()


@pytest.fixture(scope="session")
def conditioned_translator():
    """Needs the redshift of every galaxy."""
    return _translator(conditioning="redshift", condition_dropout=0)


@pytest.fixture(scope="session")
def tolerant_translator():
    """Takes galaxies of unknown redshift."""
    return _translator(conditioning="redshift", condition_dropout=0.5, learning_rate=1e-2)


@pytest.fixture(scope="session")
def spectrum_translator():
    """Takes spectra, and galaxies without."""
    return _translator(conditioning="spectrum", condition_dropout=0.5, learning_rate=1e-2)


@pytest.fixture(scope="session")
def sampling_translator():
    """Draws samples."""
    pytest.importorskip("monai")
    pytest.importorskip("einops")
    return _translator(backbone="diffusion", objective="conventional", residual=True, backbone_options={
        "channels": [4, 8], "n_features": 4, "n_groups": 2, "head_channels": 4, "n_train_steps": 20,
        "sampling_steps": 2})


@pytest.fixture(scope="session")
def make_spectrum():
    def make(level=2.0, n=300):
        """A spectrum of constant flux density, from 4000 to 9000 Angstrom."""
        from astropy.nddata import StdDevUncertainty
        from specutils import Spectrum

        flux = np.full(n, level) * 1e-17 * u.erg / u.s / u.cm**2 / u.AA
        return Spectrum(flux=flux, spectral_axis=np.linspace(4000, 9000, n) * u.AA,
                        uncertainty=StdDevUncertainty(np.full(n, 0.1e-17)))
    return make


def _wcs(centre, shape, shift=(0, 0), scale=0.396):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = centre
    wcs.wcs.crpix = [(shape[1] + 1) / 2 + shift[0], (shape[0] + 1) / 2 + shift[1]]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    wcs.array_shape = shape
    return wcs


@pytest.fixture(scope="session")
def make_cube():
    def make(size=24, seed=0, **changes):
        """A round SDSS galaxy of magnitude 17 in the middle of a cube."""
        survey = get_survey("SDSS")
        y, x = (np.indices((size, size)) - (size - 1) / 2) * 0.396
        profile = np.exp(-(x**2 + y**2) / 4)
        noise = survey.sky_noise[:, None, None]
        data = 10 ** (0.4 * 5.5) * profile / profile.sum() + noise * np.random.default_rng(seed).normal(
            size=(5, size, size))
        parts = {"unit": "nmgy", "bands": "ugriz", "survey": "SDSS", "wcs": _wcs((150.0, 2.0), (size, size)), **changes}
        return BandCube(data.astype(np.float32)[:len(parts["bands"])], **parts)
    return make


# Pixel of band r, magnitude in all bands, and width (standard deviation) in arcsec; the PSF's is 0.56.
GALAXIES = ((60.3, 60.8, 17.0, 1.5), (150.0, 70.0, 18.0, 1.3), (220.4, 130.2, 17.5, 1.4), (70.6, 150.5, 18.2, 1.2),
            (140.2, 4.3, 17.2, 1.5))
STARS = ((30, 30), (110.2, 40.7), (200.4, 40.1), (30.3, 110.6), (150.8, 120.2), (230.5, 70.3), (120.3, 165.4),
         (200.2, 170.1))
SATURATED = (250.0, 160.0)
FIELD_SHAPE, FIELD_CENTRE = (190, 280), (229.5, 42.7)


@pytest.fixture(scope="session")
def field_folder(tmp_path_factory):
    """FITS images of a field in the five SDSS bands, each moved by some pixels."""
    folder, rng = tmp_path_factory.mktemp("field"), np.random.default_rng(8)
    for index, band in enumerate(get_survey("SDSS")):
        shift = (1.3 * (index - 2), 2.6 * (index - 2))
        y, x = np.indices(FIELD_SHAPE)
        image = band.sky_noise * rng.normal(size=FIELD_SHAPE)
        sources = [*GALAXIES, *((*star, 17.0, 0.56) for star in STARS), (*SATURATED, 13.5, 1.4)]
        for x0, y0, magnitude, width in sources:
            pixels = width / 0.396
            distance = (x - x0 - shift[0])**2 + (y - y0 - shift[1])**2
            image += 10 ** (0.4 * (22.5 - magnitude)) * np.exp(-distance / (2 * pixels**2)) / (2 * np.pi * pixels**2)
        header = _wcs(FIELD_CENTRE, FIELD_SHAPE, shift).to_header()
        header["FILTER"], header["BUNIT"] = band.name, "nanomaggy"
        fits.writeto(folder / f"frame-{band.name}.fits", image.astype(np.float32), header)
    return folder


@pytest.fixture(scope="session")
def field_sky():
    """Sky positions of the galaxies of the field, the last of which is at its edge."""
    x, y = np.array(GALAXIES)[:, :2].T
    return _wcs(FIELD_CENTRE, FIELD_SHAPE).pixel_to_world(x, y)


@pytest.fixture
def run(capsys):
    """Run the command in this process: exit status, and the lines of its two outputs."""
    from astro_galtrans.cli import main

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()
    return run
