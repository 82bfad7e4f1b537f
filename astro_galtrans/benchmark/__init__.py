"""The benchmark of translators: simulate, train, translate, judge, and keep every result in one table."""

from astro_galtrans.benchmark._plan import BenchmarkRun, BenchmarkScale, benchmark_runs
from astro_galtrans.benchmark._run import prepare_benchmark, run_benchmark

__all__ = ["BenchmarkRun", "BenchmarkScale", "benchmark_runs", "prepare_benchmark", "run_benchmark"]
