"""Redshift probability densities, their metrics, and estimators that read redshifts off images."""

from astro_galtrans.photoz._bins import binned_point_metrics
from astro_galtrans.photoz._config import EstimatorConfig
from astro_galtrans.photoz._distribution import distribution_metrics
from astro_galtrans.photoz._estimator import RedshiftEstimator
from astro_galtrans.photoz._fit import fit_redshift_estimator
from astro_galtrans.photoz._network import available_architectures
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._point import Metrics, paired_bootstrap, point_metrics

__all__ = [
    "EstimatorConfig", "Metrics", "RedshiftEstimator", "RedshiftPDF", "available_architectures",
    "binned_point_metrics",
    "distribution_metrics", "fit_redshift_estimator", "paired_bootstrap", "point_metrics",
]
