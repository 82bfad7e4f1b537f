"""Redshift probability densities, their metrics, and estimators of redshifts from images and catalogs."""

import warnings

from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans.photoz._bins import binned_point_metrics
from astro_galtrans.photoz._calibration import PITCalibration
from astro_galtrans.photoz._catalog import CatalogEstimator, fit_catalog_estimator
from astro_galtrans.photoz._combine import combine
from astro_galtrans.photoz._config import CatalogConfig, EstimatorConfig
from astro_galtrans.photoz._distribution import DistributionAccumulator, distribution_metrics, nz_metrics
from astro_galtrans.photoz._estimator import RedshiftEstimator, fit_redshift_estimator
from astro_galtrans.photoz._evaluate import RedshiftEvaluation, evaluate_redshifts, evaluate_table
from astro_galtrans.photoz._network import available_architectures
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._pit import coverage, pit_statistics
from astro_galtrans.photoz._point import Metrics, paired_bootstrap, point_metrics
from astro_galtrans.photoz._tables import read_pdf_table

__all__ = [
    "CatalogConfig", "CatalogEstimator", "DistributionAccumulator", "EstimatorConfig", "Metrics", "PITCalibration",
    "RedshiftEstimator", "RedshiftEvaluation", "RedshiftPDF", "available_architectures", "binned_point_metrics",
    "combine", "coverage", "distribution_metrics", "evaluate_redshifts", "evaluate_table", "fit_catalog_estimator",
    "fit_redshift_estimator", "nz_metrics", "paired_bootstrap", "pit_statistics", "point_metrics", "read_pdf_table",
]

_RENAMED = {
    "RedshiftJudgement": RedshiftEvaluation, "judge_redshifts": evaluate_redshifts, "judge_table": evaluate_table,
}


def __getattr__(name):
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _RENAMED[name]
    warnings.warn(f"{name} is deprecated since version 0.2, use {new.__name__} instead", AstropyDeprecationWarning, 2)
    return new
