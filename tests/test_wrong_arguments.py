"""Wrong values of arguments end in one error that names the argument."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astro_galtrans.evaluation import EvaluationConfig
from astro_galtrans.field import FieldConfig, TranslationConfig
from astro_galtrans.gradients import annulus_weights, integrate_gradients, radial_fluxes, radial_slopes
from astro_galtrans.images import FieldPSF, detect_galaxies, segment_galaxy
from astro_galtrans.pairs import MatchConfig, checked_flux, match_one_to_one
from astro_galtrans.photoz import RedshiftPDF, evaluate_redshifts, nz_metrics, point_metrics, read_pdf_table
from astro_galtrans.simulation import SemiRealConfig
from astro_galtrans.surveys import Band, Survey, get_survey, matching_size, same_name

SKY = SkyCoord([10.0, 11.0] * u.deg, [0, 0] * u.deg)
SDSS = get_survey("SDSS")
PDF = RedshiftPDF([0.0, 1.0], np.ones((3, 2)))
BAND = {"name": "r", "wavelength": [5000, 6000] * u.AA, "response": [1, 1], "zero_point": 22.5,
        "psf_fwhm": 1 * u.arcsec, "sky_noise": 0.1, "gain": 4}


class Model:
    def image(self, band, x, y):
        return np.ones((3, 3))


@pytest.mark.parametrize(("call", "name"), [
    (lambda: same_name(None, "SDSS"), "one"), (lambda: same_name("SDSS", 3), "other"),
    (lambda: matching_size(np.inf, 1 * u.arcsec, 1 * u.arcsec), "size"),
    (lambda: matching_size(8, 0 * u.arcsec, 1 * u.arcsec), "input_scale"),
    (lambda: matching_size(8, 1 * u.arcsec, "one"), "target_scale"),
    (lambda: match_one_to_one("10 0", SKY, 1 * u.arcsec), "position"),
    (lambda: match_one_to_one(SKY, SKY[0], 1 * u.arcsec), "other"),
    (lambda: match_one_to_one(SKY, SKY, np.nan * u.arcsec), "radius"),
    (lambda: Band(**{**BAND, "response": [1, 1j]}), "response"),
    (lambda: Band(**{**BAND, "response": [1, np.nan]}), "response"),
    (lambda: Band(**{**BAND, "gain": "4"}), "gain"), (lambda: Band(**{**BAND, "zero_point": 1j}), "zero_point"),
    (lambda: Survey("A", SDSS.bands, SDSS.pixel_scale, object()), "unit"),
    (lambda: Survey("A", SDSS.bands, SDSS.pixel_scale, "no unit"), "unit"),
    (lambda: Survey("A", SDSS.bands, SDSS.pixel_scale, "nmgy", description=3), "description"),
    (lambda: Survey("A", 3, SDSS.pixel_scale, "nmgy"), "bands"),
    (lambda: integrate_gradients(None), "gradients"), (lambda: radial_fluxes(np.ones((1, 1, 4, 4)), 3), "weights"),
    (lambda: radial_slopes(np.ones((2, 3)), 1.0), "radii"), (lambda: radial_slopes(np.ones(3), [0, 1, 2, 3]), "colors"),
    (lambda: annulus_weights(8, [0, 1], 1), "shape"), (lambda: annulus_weights((8, 8), [0, 1j], 1), "radii"),
    (lambda: annulus_weights((8, 8), [0, 1], 0), "pixel_scale"),
    (lambda: detect_galaxies(None, threshold=np.inf), "threshold"),
    (lambda: detect_galaxies(None, min_pixels=2.5), "min_pixels"),
    (lambda: detect_galaxies(None, extended_only="yes"), "extended_only"),
    (lambda: segment_galaxy(3, 1.0, 1 * u.arcsec), "image"), (lambda: FieldPSF(Model(), 3), "wcs"),
    (lambda: checked_flux(np.ones((1, 5, 2, 2)), "SDSS"), "survey"),
    (lambda: nz_metrics(PDF, [0.1, 0.2, 0.3], weights=3), "weights"),
    (lambda: nz_metrics(PDF, [0.1, 0.2, 0.3], weights=[1, 2]), "weights"),
    (lambda: evaluate_redshifts(PDF, [0.1, 0.2, 0.3], by="magnitude"), "by"),
    (lambda: point_metrics([0.1], [0.1], n_bootstrap=np.inf), "n_bootstrap"),
    (lambda: read_pdf_table("t.fits", device="nonsense"), "device"),
    (lambda: read_pdf_table("t.fits", format=3), "format"),
    (lambda: TranslationConfig(allow_missing=object()), "allow_missing"), (lambda: FieldConfig(seed=1j), "seed"),
    (lambda: FieldConfig(radii=object()), "radii"), (lambda: FieldConfig(max_magnitude=np.nan), "max_magnitude"),
    (lambda: MatchConfig(correct_astrometry="no"), "correct_astrometry"), (lambda: MatchConfig(drop=None), "drop"),
    (lambda: SemiRealConfig(subtract_background=object()), "subtract_background"),
    (lambda: EvaluationConfig(aperture_radii=[1j]), "aperture_radii"),
    (lambda: EvaluationConfig(snr_min="3"), "snr_min"),
])
def test_errors_name_the_argument(call, name):
    with pytest.raises((ValueError, TypeError), match=name):
        call()
