"""An argument that would have no effect is refused, by name; one that agrees with having none is not."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from astro_galtrans.evaluation import evaluate
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.field import translate_field
from astro_galtrans.gradients import color_gradient_profile, sed_gradient_arrays
from astro_galtrans.images import BandCube, detect_galaxies
from astro_galtrans.pairs import match_pairs
from astro_galtrans.simulation import degrade, semi_real_pairs, simulate_pairs
from astro_galtrans.training import TrainConfig, fit

TABLE = Table({"ra": [150.0], "dec": [2.0]})


def _counts(cube):
    return BandCube(cube.data, unit="adu", wcs=cube.wcs, bands=cube.bands, meta={"zero_point": 25.0})


# Name of the argument, and a call in which it would be ignored. The calls get a cube, pairs, a translator and a folder.
IGNORED = [
    ("overwrite", lambda cube, pairs, translator, folder: simulate_pairs(2, seed=1, input_size=16, overwrite=True)),
    ("overwrite", lambda cube, pairs, translator, folder: semi_real_pairs(cube, "SDSS", seed=1, overwrite=True)),
    ("detection", lambda cube, pairs, translator, folder: semi_real_pairs(
        cube, "SDSS", seed=1, detection={"band": "g"})),
    ("seed", lambda cube, pairs, translator, folder: degrade(cube, "SDSS", seed=1, noise=False)),
    ("pixel_scale", lambda cube, pairs, translator, folder: degrade(
        cube, "SDSS", seed=1, pixel_scale=0.4 * u.arcsec)),
    ("overwrite", lambda cube, pairs, translator, folder: match_pairs(TABLE, cube, cube, overwrite=True)),
    ("resume", lambda cube, pairs, translator, folder: match_pairs(TABLE, cube, cube, resume=True)),
    ("match_radius", lambda cube, pairs, translator, folder: match_pairs(
        TABLE, cube, cube, match_radius=2 * u.arcsec)),
    ("max_open", lambda cube, pairs, translator, folder: match_pairs(TABLE, cube, cube, max_open=0)),
    ("input_options", lambda cube, pairs, translator, folder: match_pairs(
        TABLE, cube, cube, input_options={"unit": "nmgy"})),
    ("target_options", lambda cube, pairs, translator, folder: match_pairs(
        TABLE, cube, [cube], target_options={"noise": None})),
    ("axis_ratio", lambda cube, pairs, translator, folder: color_gradient_profile(
        cube, ellipse="moments", axis_ratio=0.5)),
    ("theta", lambda cube, pairs, translator, folder: color_gradient_profile(
        cube, ellipse="moments", theta=30 * u.deg)),
    ("zero_point", lambda cube, pairs, translator, folder: cube.to_unit("Jy", zero_point=25)),
    ("kernel_fwhm", lambda cube, pairs, translator, folder: detect_galaxies(cube, kernel_fwhm=0)),
    ("min_pixels", lambda cube, pairs, translator, folder: detect_galaxies(cube, min_pixels=0)),
    ("band", lambda cube, pairs, translator, folder: detect_galaxies(cube["g"], "r")),
    ("condition_dropout", lambda cube, pairs, translator, folder: TrainConfig(condition_dropout=0.5)),
    ("condition_scatter", lambda cube, pairs, translator, folder: TrainConfig(
        conditioning="spectrum", condition_scatter=0.5)),
    ("resume", lambda cube, pairs, translator, folder: fit(pairs, TrainConfig(epochs=1), resume=True)),
    ("patience", lambda cube, pairs, translator, folder: fit(pairs, TrainConfig(epochs=1, patience=2))),
    ("n_samples", lambda cube, pairs, translator, folder: evaluate({"a": translator}, pairs, n_samples=3)),
    ("estimator_options", lambda cube, pairs, translator, folder: evaluate(
        {"a": translator}, pairs, estimator_options={"epochs": 2})),
    *[(name, lambda cube, pairs, translator, folder, given={name: value}: translate_field(
        translator, cube, folder / "out", catalog=TABLE, **given))
      for name, value in (("band", "g"), ("min_magnitude", 12.0), ("max_magnitude", 19.0), ("seed", 3),
                          ("n_steps", 5), ("n_samples", 2))],
    *[(name, lambda cube, pairs, translator, folder, given={name: value}: translator(cube, **given))
      for name, value in (("seed", 0), ("n_steps", 5), ("n_samples", 2), ("galaxies", 3), ("redshift", 0.1),
                          ("redshift_error", 0.1))],
    *[(name, lambda cube, pairs, translator, folder, given={name: value}: translator.translate_array(
        cube.data[None], **given))
      for name, value in (("seed", 0), ("n_steps", 5), ("galaxies", [3]))],
]


@pytest.mark.parametrize("name, call", IGNORED, ids=[f"{index}-{name}" for index, (name, _) in enumerate(IGNORED)])
def test_what_would_be_ignored_is_refused(name, call, make_cube, small_pairs, small_translator, tmp_path):
    with pytest.raises((ValueError, BandMismatchError), match=name):
        call(make_cube(), small_pairs, small_translator, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tensors_refuse_what_is_for_arrays(make_cube):
    import torch

    flux = torch.from_numpy(make_cube().data[None])
    for given in ({"workers": 2}, {"out": sed_gradient_arrays(flux.numpy(), "SDSS")}):
        with pytest.raises(ValueError, match=next(iter(given))):
            sed_gradient_arrays(flux, "SDSS", **given)


def test_what_takes_effect_is_taken(make_cube):
    cube = make_cube()
    counts = _counts(cube)
    np.testing.assert_allclose(counts.to_unit("nmgy", zero_point=24).data, cube.data * 10**(0.4 * -1.5), rtol=1e-5)
    np.testing.assert_allclose(cube.to_unit("adu", zero_point=25).data, cube.data * 10, rtol=1e-5)
    assert len(detect_galaxies(cube["g"], "g")) == len(detect_galaxies(cube, "g")) == 1
    assert TrainConfig(condition_dropout=0).condition_dropout == 0
    degraded = degrade(cube, "SDSS", target_psf=3 * u.arcsec, noise=False)
    assert degraded.meta["degrade"]["seed"] is None
