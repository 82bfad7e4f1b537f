"""``galtrans benchmark``."""

from contextlib import contextmanager

from astro_galtrans.cli._common import add_device, device_named

__all__ = ["add_benchmark", "benchmark"]


def add_benchmark(verb):
    """Add the arguments of the verb."""
    verb.add_argument("--out", required=True, metavar="DIR", help="folder of the benchmark, made or gone on with")
    verb.add_argument("--scale", default="small", metavar="NAME",
                      help="small (two CPU cores), full (a GPU) or tiny (a test) (default: %(default)s)")
    verb.add_argument("--samples", nargs="+", metavar="NAME", help="bright, faint (default: both)")
    verb.add_argument("--groups", nargs="+", metavar="NAME",
                      help="matrix, objective, ablation, learning-curve, scarcity (default: all)")
    verb.add_argument("--runs", nargs="+", metavar="GLOB", help="only runs whose name matches, as 'unet/gradient/*'")
    verb.add_argument("--threads", type=int, metavar="N", help="of the processor (default: as torch has it)")
    what = verb.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="name the runs and whether they are done, and do nothing")
    what.add_argument("--prepare", action="store_true", help="only simulate, and train the estimators that judge")
    add_device(verb)


def benchmark(options):
    """Run the verb."""
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {options.threads}")
    from astro_galtrans.benchmark import prepare_benchmark

    common = {"scale": options.scale, "samples": options.samples}
    with _threads(options.threads):
        prepare_benchmark(options.out, **common, device=device_named(options.device), progress=not options.quiet)
    print(options.out)


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
