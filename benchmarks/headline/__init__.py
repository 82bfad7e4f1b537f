"""Benchmark of translators: simulate, train, translate, evaluate, and store every result in one table."""

from headline.figures import benchmark_figures
from headline.plan import BenchmarkRun, BenchmarkScale, benchmark_runs
from headline.report import write_benchmark_report
from headline.run import prepare_benchmark, run_benchmark
from headline.tables import benchmark_tables

__all__ = ["BenchmarkRun", "BenchmarkScale", "benchmark_figures", "benchmark_runs", "benchmark_tables",
           "prepare_benchmark", "run_benchmark", "write_benchmark_report"]
