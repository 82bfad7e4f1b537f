"""Train every backbone with every objective and evaluate the translations.

    python benchmarks/headline --scale small --out DIR
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # the modules of this folder are the package "headline"

import torch  # noqa: E402

from headline import benchmark_runs, prepare_benchmark, run_benchmark, write_benchmark_report  # noqa: E402
from headline.plan import SKIES, chosen_runs  # noqa: E402
from headline.results import has_row  # noqa: E402

log = logging.getLogger("headline")


def make_parser():
    parser = argparse.ArgumentParser(prog="python benchmarks/headline", description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the benchmark, created or resumed")
    parser.add_argument("--scale", default="small", metavar="NAME",
                        help="small (two CPU cores), full (a GPU), short (one core, hours) or tiny (a test) (default: "
                             "%(default)s)")
    parser.add_argument("--sky", default="realistic", choices=list(SKIES),
                        help="observed galaxies under a realistic sky, or smooth galaxies under a plain one "
                             "(default: %(default)s)")
    parser.add_argument("--samples", nargs="+", metavar="NAME", help="bright, faint (default: both)")
    parser.add_argument("--groups", nargs="+", metavar="NAME",
                        help="matrix, objective, weights, ablation, learning-curve, scarcity (default: all; "
                             "matrix and objective for the faint sample of small and short)")
    parser.add_argument("--runs", nargs="+", metavar="GLOB", help="only runs whose name matches, as 'unet/gradient/*'")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: that of torch)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda or cuda:N (default: a GPU if there is one)")
    parser.add_argument("--report", metavar="FILE", help="also write tables and figures of all results to an HTML file")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="list the runs and which are done, and exit")
    what.add_argument("--prepare", action="store_true", help="only simulate and train the reference estimators")
    what.add_argument("--reevaluate", action="store_true", help="evaluate finished runs again, without training")
    return parser


def list_runs(options):
    for run in chosen_runs(benchmark_runs(options.scale, options.samples, options.groups), options.runs):
        done = has_row(Path(options.out), run.sample, run.name, run.key)
        log.info("%-7s %-15s %-40s %7d steps  %s", run.sample, run.group, run.name, run.n_steps,
                 "done" if done else "-")


def command_of(options):
    """The options that determine the results, for the metadata of the table."""
    words = ["python benchmarks/headline", "--scale", options.scale, "--sky", options.sky]
    for name in ("samples", "groups", "runs"):
        values = getattr(options, name)
        words += [f"--{name}", *values] if values else []
    words += ["--device", options.device] if options.device else []
    return " ".join([*words, "--out", "DIR"])


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads must be at least 1, got {options.threads}")
    if options.report and (options.list or options.prepare):
        parser.error("--report shows results, which --list and --prepare do not produce")
    if options.report and not Path(options.report).parent.is_dir():
        parser.error(f"--report: the folder {Path(options.report).parent} does not exist")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if options.list:
        list_runs(options)
        return
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    common = {"scale": options.scale, "sky": options.sky, "samples": options.samples, "device": options.device,
              "progress": not options.quiet}
    if options.prepare:
        prepare_benchmark(options.out, **common)
        return
    table = run_benchmark(options.out, **common, groups=options.groups, runs=options.runs,
                          reevaluate=options.reevaluate, command=command_of(options))
    log.info("%s/results.ecsv: %d rows", options.out, len(table))
    if options.report:
        write_benchmark_report(table, options.report)
        log.info("%s", options.report)


if __name__ == "__main__":
    main()
