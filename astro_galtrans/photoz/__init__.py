"""Redshift probability densities, their metrics, and estimators that read redshifts off images."""

from astro_galtrans.photoz._distribution import distribution_metrics
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._point import Metrics, paired_bootstrap, point_metrics

__all__ = ["Metrics", "RedshiftPDF", "distribution_metrics", "paired_bootstrap", "point_metrics"]
