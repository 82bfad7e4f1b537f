"""Errors of public functions name the argument or the file."""

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans._utils.io import write_whole
from astro_galtrans._utils.torch_state import checked_device
from astro_galtrans.evaluation import evaluate
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images import BandCube, detect_galaxies, read_cube
from astro_galtrans.pairs import PairSet
from astro_galtrans.photoz import fit_redshift_estimator, point_metrics
from astro_galtrans.storage import load
from astro_galtrans.training import fit


@pytest.fixture
def fits_file(tmp_path):
    fits.PrimaryHDU(np.ones((4, 4))).writeto(tmp_path / "galaxy.fits")
    return tmp_path / "galaxy.fits"


@pytest.mark.parametrize("settings", [
    {"neighbor_radius": 5}, {"neighbor_radius": "5 arcsec"}, {"neighbor_radius": 5 * u.mag}, {"max_magnitude": "20"}])
def test_options_of_the_detection(settings):
    with pytest.raises(TypeError, match=next(iter(settings))):
        detect_galaxies(BandCube(np.ones((1, 20, 20)), unit="nmgy", bands="r", survey="SDSS"), **settings)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cuda"])
def test_device(device, small_translator, small_pairs):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    flux = small_pairs.input_flux
    for call in (lambda: small_translator.translate_array(flux, device=device), lambda: small_translator.to(device),
                 lambda: evaluate(small_translator, small_pairs, device=device),
                 lambda: fit(small_pairs, device=device)):
        with pytest.raises(ValueError, match="device"):
            call()
    with pytest.raises(ValueError, match="device"):
        fit_redshift_estimator(small_pairs.target_flux, np.full(16, 0.1), survey="CFHTLS", device=device)
    assert small_translator.device.type == "cpu"


def test_device_of_another_type():
    with pytest.raises(TypeError, match="device"):
        checked_device(3.5)
    assert checked_device("cpu") == torch.device("cpu")


def test_offending_redshifts_are_named():
    with pytest.raises(ValueError, match="z_spec has 1 of -1 or less, the first is -99"):
        point_metrics([0.1, 0.2], [0.1, -99])
    with pytest.raises(ValueError, match="z_phot has 1 not finite;"):
        point_metrics([np.nan, 0.2], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"z_phot \(2,\), z_spec \(3,\)"):
        point_metrics([0.1, 0.2], [0.1, 0.2, 0.3])


def test_files_of_another_kind(fits_file, tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(FileFormatError, match="is a FITS file"):
        load(fits_file)
    for path in (fits_file, tmp_path):
        with pytest.raises(FileFormatError, match="is not a set of pairs, which is a folder"):
            PairSet.open(path)
    with pytest.raises(IsADirectoryError, match="is a folder") as caught:
        write_whole(tmp_path, b"")
    assert "partial" not in str(caught.value)
    (tmp_path / "script.py").write_text("print()\n" * 1000)
    with pytest.raises(FileFormatError, match="script.py") as caught:
        read_cube(tmp_path / "script.py")
    assert "ignore_missing_simple" not in str(caught.value)


def test_list_of_translators(small_translator, small_pairs):
    with pytest.raises(TypeError, match="translators"):
        evaluate([small_translator], small_pairs)


def test_unknown_keyword_has_a_suggestion(small_translator, small_pairs):
    with pytest.raises(TypeError, match="did you mean redshift"):
        small_translator.translate_array(small_pairs.input_flux, redshfit=0.1)
    with pytest.raises(TypeError, match="did you mean epochs"):
        fit(small_pairs, epoch=2)


def test_rows_and_fractions(small_pairs):
    for rows in ([100], [-17, 0]):
        with pytest.raises(IndexError, match="indices"):
            small_pairs.select(rows)
    with pytest.raises(TypeError, match="fractions"):
        small_pairs.split("half")
    assert len(small_pairs.select([-1, 0])) == 2


def test_deprecated_flag_returns_a_tuple(small_translator, small_pairs):
    with pytest.warns(AstropyDeprecationWarning, match="return_uncertainty") as caught:
        result = small_translator.translate_array(small_pairs.input_flux, return_uncertainty=True)
    assert isinstance(result, tuple) and len(result) == 2 and caught[0].filename == __file__
