"""Redshift probability densities, their metrics, and estimators that read redshifts off images."""

from astro_galtrans.photoz._bins import binned_point_metrics
from astro_galtrans.photoz._calibration import PITCalibration
from astro_galtrans.photoz._catalog import CatalogEstimator, fit_catalog_estimator
from astro_galtrans.photoz._combine import combine
from astro_galtrans.photoz._config import CatalogConfig, EstimatorConfig
from astro_galtrans.photoz._coverage import coverage
from astro_galtrans.photoz._desc import desc_metrics
from astro_galtrans.photoz._distribution import DistributionAccumulator, distribution_metrics
from astro_galtrans.photoz._estimator import RedshiftEstimator
from astro_galtrans.photoz._fit import fit_redshift_estimator
from astro_galtrans.photoz._judge import judge_redshifts, judge_table
from astro_galtrans.photoz._judgement import RedshiftJudgement
from astro_galtrans.photoz._network import available_architectures
from astro_galtrans.photoz._nz import nz_metrics
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._pit import pit_statistics
from astro_galtrans.photoz._point import Metrics, paired_bootstrap, point_metrics
from astro_galtrans.photoz._tables import read_pdf_table

__all__ = [
    "CatalogConfig", "CatalogEstimator", "DistributionAccumulator", "EstimatorConfig", "Metrics", "PITCalibration",
    "RedshiftEstimator", "RedshiftJudgement", "RedshiftPDF", "available_architectures", "binned_point_metrics",
    "combine", "coverage", "desc_metrics", "distribution_metrics", "fit_catalog_estimator", "fit_redshift_estimator",
    "judge_redshifts", "judge_table", "nz_metrics", "paired_bootstrap", "pit_statistics", "point_metrics",
    "read_pdf_table",
]
