"""Redshift probability densities, their metrics, and estimators that read redshifts off images."""

from astro_galtrans.photoz._bins import binned_point_metrics
from astro_galtrans.photoz._calibration import PITCalibration
from astro_galtrans.photoz._combine import combine
from astro_galtrans.photoz._config import EstimatorConfig
from astro_galtrans.photoz._coverage import coverage
from astro_galtrans.photoz._desc import desc_metrics
from astro_galtrans.photoz._distribution import DistributionAccumulator, distribution_metrics
from astro_galtrans.photoz._estimator import RedshiftEstimator
from astro_galtrans.photoz._fit import fit_redshift_estimator
from astro_galtrans.photoz._network import available_architectures
from astro_galtrans.photoz._nz import nz_metrics
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._pit import pit_statistics
from astro_galtrans.photoz._point import Metrics, paired_bootstrap, point_metrics

__all__ = [
    "DistributionAccumulator", "combine", "coverage", "desc_metrics", "nz_metrics", "pit_statistics",
    "EstimatorConfig", "Metrics", "PITCalibration", "RedshiftEstimator", "RedshiftPDF", "available_architectures",
    "binned_point_metrics",
    "distribution_metrics", "fit_redshift_estimator", "paired_bootstrap", "point_metrics",
]
