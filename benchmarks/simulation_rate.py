"""Measure the speed of `astro_galtrans.simulation.simulate_pairs`.

    python benchmarks/simulation_rate.py --workers 1 2 --n 600 --out simulation_rate.ecsv
    python benchmarks/simulation_rate.py --galaxies templates --sky plain --out simulation_rate_plain.ecsv

The first call in a process computes the grids of spectra and GalSim's tables; it is timed separately.
"""

import argparse
import logging
import os
import resource
import time

# Set before numpy is imported, for one thread per process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from astropy.table import Table  # noqa: E402

from astro_galtrans.simulation import simulate_pairs  # noqa: E402

log = logging.getLogger("simulation_rate")


def timed(n, **settings):
    """Return wall-clock and CPU seconds, including the worker processes and their start."""
    start, before = time.perf_counter(), os.times()
    simulate_pairs(n, seed=1, **settings)
    after = os.times()
    return time.perf_counter() - start, sum(after[:4]) - sum(before[:4])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=400, help="pairs for each row of the table")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 32], help="sides of the input stamps")
    parser.add_argument("--spectra", action="store_true", help="with and without spectra")
    parser.add_argument("--galaxies", choices=("observed", "templates"), help="by default that of simulate_pairs")
    parser.add_argument("--sky", choices=("realistic", "plain"), help="by default that of simulate_pairs")
    parser.add_argument("--out", help="ECSV file for the table")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    kinds = (False, True) if options.spectra else (False,)
    given = {name: getattr(options, name) for name in ("galaxies", "sky") if getattr(options, name) is not None}
    log.info("first call: %.1f s, of a processor %.1f s", *timed(1, spectra=options.spectra, **given))
    rows = []
    for size in options.sizes:
        for workers in options.workers:
            for spectra in kinds:
                seconds, cpu = timed(options.n, input_size=size, workers=workers, spectra=spectra, **given)
                rows.append((size, workers, spectra, options.n, seconds, options.n / seconds, options.n / cpu))
    names = ("input_size", "workers", "spectra", "pairs", "seconds", "pairs_per_second", "pairs_per_cpu_second")
    table = Table(rows=rows, names=names)
    for name in ("seconds", "pairs_per_second", "pairs_per_cpu_second"):
        table[name].info.format = ".1f"
    log.info("\n%s", "\n".join(table.pformat()))
    log.info("most memory of this process: %.2f GB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
