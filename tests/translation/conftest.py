import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.wcs import WCS

from astro_galtrans.backbones import NetworkConfig, TranslationNetwork
from astro_galtrans.images import BandCube
from astro_galtrans.objectives import build_objective
from astro_galtrans.surveys import get_survey
from astro_galtrans.translation import Translator


def _make_translator(bands="gri", target_bands=None, objective="gradient", seed=4, residual_only=False,
                     backbone="unet", **options):
    """Untrained, of seeded weights; the flux of a source is kept by the residual path."""
    source, target = get_survey("SDSS").select(bands), get_survey("CFHTLS").select(target_bands or bands)
    waves = [np.array([band.effective_wavelength.value for band in survey]) for survey in (source, target)]
    nearest = np.abs(waves[1][:, None] - waves[0]).argmin(1)
    ratio = [float((source.bands[i].flux_per_unit() / band.flux_per_unit()).to_value(u.one))
             for i, band in zip(nearest, target)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TranslationNetwork(NetworkConfig(
            backbone, source.sky_noise, target.sky_noise, ratio, nearest,
            float((target.pixel_scale / source.pixel_scale).to_value(u.one)),
            **{"backbone_options": {"widths": [4, 8], "n_features": 4}, **options}))
        built = build_objective(objective, n_bands=len(target), n_features=network.backbone.n_features,
                                n_embedding=network.backbone.n_embedding)
    if residual_only:
        torch.nn.init.zeros_(network.image_head.weight)
    return Translator(network, built, objective_name=objective, input_survey=source, target_survey=target,
                      provenance={"seed": seed})


def _make_wcs(shape=(16, 16), scale=0.396, angle=0.0, flipped=False, offset=(0.0, 0.0), crval=(150.0, 2.0),
              ctype=("RA---TAN", "DEC--TAN"), sip=False):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [name + "-SIP" if sip else name for name in ctype]
    wcs.wcs.crval = crval
    wcs.wcs.crpix = [(shape[1] + 1) / 2 + offset[0], (shape[0] + 1) / 2 + offset[1]]
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    cd = scale / 3600 * np.array([[-cos, sin], [sin, cos]])
    wcs.wcs.cd = cd * [-1, 1] if flipped else cd
    if sip:
        from astropy.wcs import Sip
        a, b = np.zeros((3, 3)), np.zeros((3, 3))
        a[2, 0], a[1, 1], b[0, 2], b[1, 1] = 2e-6, -1e-6, 1.5e-6, 1e-6
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


def _paint(shape, place, width=2.0, flux=40.0):
    """A round star with its middle at the pixel ``place`` (y, x)."""
    y, x = np.indices(shape)
    star = np.exp(-((y - place[0])**2 + (x - place[1])**2) / (2 * width**2))
    return (flux * star / star.sum()).astype(np.float32)


@pytest.fixture(scope="session")
def make_translator():
    return _make_translator


@pytest.fixture(scope="session")
def make_wcs():
    return _make_wcs


@pytest.fixture(scope="session")
def paint():
    return _paint


@pytest.fixture(scope="session")
def translator():
    return _make_translator()


@pytest.fixture(scope="session")
def make_cube():
    def make(bands="gri", size=16, seed=1, **options):
        data = _paint((size, size), (size / 2, size / 2 - 0.7))[None] * np.arange(1, len(bands) + 1)[:, None, None]
        data = (data + np.random.default_rng(seed).normal(0, 0.02, data.shape)).astype(np.float32)
        return BandCube(
            data, **{"unit": "nmgy", "wcs": _make_wcs((size, size)), "bands": bands, "survey": "SDSS", **options})
    return make


@pytest.fixture(scope="session")
def flux():
    rng = np.random.default_rng(3)
    stars = np.stack([_paint((16, 16), place) for place in rng.uniform(6, 9, (7, 2))])[:, None]
    return (stars * [[[1]], [[2]], [[3]]] + rng.normal(0, 0.02, (7, 3, 16, 16))).astype(np.float32)
