"""The benchmark of translators: simulate, train, translate, judge, and keep every result in one table."""

from astro_galtrans.benchmark._figures import benchmark_figures
from astro_galtrans.benchmark._plan import BenchmarkRun, BenchmarkScale, benchmark_runs
from astro_galtrans.benchmark._report import write_benchmark_report
from astro_galtrans.benchmark._run import prepare_benchmark, run_benchmark
from astro_galtrans.benchmark._tables import benchmark_tables

__all__ = ["BenchmarkRun", "BenchmarkScale", "benchmark_figures", "benchmark_runs", "benchmark_tables",
           "prepare_benchmark", "run_benchmark", "write_benchmark_report"]
