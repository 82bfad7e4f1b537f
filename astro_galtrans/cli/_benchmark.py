"""``galtrans benchmark``."""

from contextlib import contextmanager

from astro_galtrans.cli._common import Result, add_device, device_named

__all__ = ["add_benchmark", "benchmark"]


def add_benchmark(verb):
    """Add the arguments of the verb."""
    verb.add_argument("--out", required=True, metavar="DIR", help="folder of the benchmark, made or gone on with")
    verb.add_argument("--scale", default="small", metavar="NAME",
                      help="small (two CPU cores), full (a GPU) or tiny (a test) (default: %(default)s)")
    verb.add_argument("--samples", nargs="+", metavar="NAME", help="bright, faint (default: both)")
    verb.add_argument("--groups", nargs="+", metavar="NAME",
                      help="matrix, objective, ablation, learning-curve, scarcity (default: all; with small's "
                           "faint sample, matrix and objective)")
    verb.add_argument("--runs", nargs="+", metavar="GLOB", help="only runs whose name matches, as 'unet/gradient/*'")
    verb.add_argument("--threads", type=int, metavar="N", help="of the processor (default: as torch has it)")
    verb.add_argument("--report", metavar="FILE", help="also write tables and figures of all results, one HTML file")
    what = verb.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="name the runs and whether they are done, and do nothing")
    what.add_argument("--prepare", action="store_true", help="only simulate, and train the estimators that judge")
    what.add_argument("--rejudge", action="store_true", help="judge again what is done, without training")
    add_device(verb)


def benchmark(options):
    """Run the verb."""
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {options.threads}")
    if options.report and (options.list or options.prepare):
        raise ValueError("--report shows results, and --list and --prepare make none")
    from astro_galtrans.benchmark import prepare_benchmark, run_benchmark, write_benchmark_report
    from astro_galtrans.evaluation._extras import check_folder

    if options.report:
        check_folder(options.report)  # before hours of work, not after
    if options.list:
        return _list(options)
    common = {"scale": options.scale, "samples": options.samples, "device": device_named(options.device),
              "progress": not options.quiet}
    with _threads(options.threads):
        if options.prepare:
            prepare_benchmark(options.out, **common)
            return Result([options.out], {"folder": options.out})
        try:
            table = run_benchmark(options.out, **common, groups=options.groups, runs=options.runs,
                                  rejudge=options.rejudge, command=_command(options))
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"{str(error).partition(';')[0] or 'stopped'}; the same command goes on") from error
    results = f"{options.out}/results.ecsv"
    lines, data = [f"{results}: {len(table)} rows"], {"results": results, "n_rows": len(table)}
    if options.report:
        write_benchmark_report(table, options.report)
        lines.append(options.report)
        data["report"] = options.report
    return Result(lines, data)


def _list(options):
    from pathlib import Path

    from astro_galtrans.benchmark import benchmark_runs
    from astro_galtrans.benchmark._plan import chosen_runs
    from astro_galtrans.benchmark._results import has_row

    runs = chosen_runs(benchmark_runs(options.scale, options.samples, options.groups), options.runs)
    rows = [{"sample": run.sample, "group": run.group, "name": run.name, "n_steps": run.n_steps,
             "done": has_row(Path(options.out), run.sample, run.name, run.key)} for run in runs]
    return Result([
        f"{row['sample']:7} {row['group']:15} {row['name']:40} {row['n_steps']:7} steps  "
        f"{'done' if row['done'] else '-'}" for row in rows], {"runs": rows})


def _command(options):
    """What was asked for, without what has no part in the results."""
    words = ["galtrans benchmark", "--scale", options.scale]
    for name in ("samples", "groups", "runs"):
        values = getattr(options, name)
        words += [f"--{name}", *values] if values else []
    words += ["--device", options.device] if options.device else []
    return " ".join([*words, "--out", "DIR"])


@contextmanager
def _threads(n):
    """So many threads for torch while it lasts."""
    import torch

    before = torch.get_num_threads()
    if n is not None:
        torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
