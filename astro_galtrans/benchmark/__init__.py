"""The benchmark of translators: simulate, train, translate, judge, and keep every result in one table."""

from astro_galtrans.benchmark._run import prepare_benchmark

__all__ = ["prepare_benchmark"]
