"""Measure the speed of redshift metrics: this package, qp if installed, and plain NumPy.

    python benchmarks/photoz_metrics.py --galaxies 1000000 --threads 2 --out photoz_metrics.ecsv
    python benchmarks/photoz_metrics.py --galaxies 1000000 --device cuda --out photoz_metrics_gpu.ecsv

Each code processes the same chunks of the same simulated densities in its own process, whose peak memory is reported.
Creating the densities and copying them to the device is not timed; building the object with its checks and
normalization is a separate stage. The table includes the resulting metrics.
"""

import argparse
import logging
import os
import resource
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
from astropy.table import Table
from scipy import stats

log = logging.getLogger("photoz_metrics")

_PIT = ("pit_ks", "pit_cvm", "pit_ad", "pit_outlier_rate")


def make_chunk(number, n, grid):
    """Return unnormalized densities of two Gaussians each, and redshifts mostly drawn from them."""
    rng = np.random.default_rng([11, number])
    z_spec = rng.uniform(0.05, 2.0, n)
    width = rng.uniform(0.02, 0.06, n) * (1 + z_spec)
    center = z_spec + 1.1 * width * rng.normal(size=n)
    other = rng.uniform(0.1, 2.9, n)
    density = np.exp(-0.5 * ((grid - center[:, None]) / width[:, None]) ** 2)
    density += 0.05 * np.exp(-0.5 * ((grid - other[:, None]) / width[:, None]) ** 2)
    return density, z_spec


class Package:
    """This package, on NumPy arrays or tensors."""

    def __init__(self, grid, options):
        import torch
        import warnings

        from astro_galtrans.exceptions import GaltransWarning
        from astro_galtrans.photoz import DistributionAccumulator, RedshiftPDF

        warnings.simplefilter("ignore", GaltransWarning)
        torch.set_num_threads(options.threads)
        self.torch, self.kind, self.options, self.grid = torch, RedshiftPDF, options, grid
        self.device = torch.device(options.device)
        self.parts = {name: DistributionAccumulator(metrics) for name, metrics in (
            ("pit", _PIT), ("crps", ["crps"]), ("cde", ["cde_loss"]))}
        self.redshifts = []

    def load(self, density, z_spec):
        dtype = getattr(self.torch, self.options.dtype)
        if self.options.dtype == "float64" and self.device.type == "cpu":
            return density, z_spec
        return tuple(self.torch.from_numpy(part).to(self.device, dtype) for part in (density, z_spec))

    def wait(self):
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)

    def build(self, density, z_spec):
        self.pdf, self.z_spec = self.kind(self.grid, density), z_spec

    def point(self):
        self.redshifts.append((self.pdf.mode(), self.z_spec))

    def pit(self):
        self.parts["pit"].add(self.pdf, self.z_spec)

    def crps(self):
        self.parts["crps"].add(self.pdf, self.z_spec)

    def cde(self):
        self.parts["cde"].add(self.pdf, self.z_spec)

    def finish_point(self):
        from astro_galtrans.photoz import point_metrics

        join = self.torch.cat if isinstance(self.redshifts[0][0], self.torch.Tensor) else np.concatenate
        return point_metrics(*(join(part) for part in zip(*self.redshifts)))["nmad"]

    def finish_pit(self):
        return self.parts["pit"].result()["pit_cvm"]

    def finish_crps(self):
        return self.parts["crps"].result()["crps"]

    def finish_cde(self):
        return self.parts["cde"].result()["cde_loss"]

    def accelerator_memory(self):
        return self.torch.cuda.max_memory_allocated(self.device) / 2**20 if self.device.type == "cuda" else 0.0


class Plain:
    """Plain NumPy and SciPy on a grid."""

    def __init__(self, grid, options):
        self.grid, self.values = grid, defaultdict(list)

    def load(self, density, z_spec):
        return density, z_spec

    def wait(self):
        pass

    def accelerator_memory(self):
        return 0.0

    def build(self, density, z_spec):
        self.density = density / np.trapezoid(density, self.grid, axis=1)[:, None]
        self.z_spec = z_spec

    def cumulative(self):
        cells = 0.5 * (self.density[:, 1:] + self.density[:, :-1]) * np.diff(self.grid)
        return np.concatenate([np.zeros((len(cells), 1)), np.cumsum(cells, axis=1)], axis=1)

    def point(self):
        z_phot = self.grid[self.density.argmax(axis=1)]
        self.values["point"].append((z_phot - self.z_spec) / (1 + self.z_spec))

    def pit(self):
        cumulative = self.cumulative()
        cell = np.searchsorted(self.grid, self.z_spec, side="right") - 1
        part = (self.z_spec - self.grid[cell]) / np.diff(self.grid)[cell]
        rows = np.arange(len(cell))
        self.values["pit"].append(cumulative[rows, cell] * (1 - part) + cumulative[rows, cell + 1] * part)

    def crps(self):
        step = (self.cumulative() - (self.grid >= self.z_spec[:, None])) ** 2
        self.values["crps"].append(np.trapezoid(step, self.grid, axis=1))

    def cde(self):
        cell = np.searchsorted(self.grid, self.z_spec, side="right") - 1
        part = (self.z_spec - self.grid[cell]) / np.diff(self.grid)[cell]
        rows = np.arange(len(cell))
        at = self.density[rows, cell] * (1 - part) + self.density[rows, cell + 1] * part
        self.values["cde"].append(np.trapezoid(self.density**2, self.grid, axis=1) - 2 * at)

    def finish_point(self):
        dz = np.concatenate(self.values["point"])
        low, middle, high = np.percentile(dz, [25, 50, 75])
        np.mean(np.abs(dz) > max(0.06, 3 * (high - low) / 1.349))
        return 1.4826 * np.median(np.abs(dz - middle))

    def finish_pit(self):
        ordered = np.sort(np.concatenate(self.values["pit"]))
        stats.kstest(ordered, "uniform")
        n = len(ordered)
        inside = np.clip(ordered, 1e-10, 1 - 1e-10)
        np.sum((2 * np.arange(1, n + 1) - 1) * (np.log(inside) + np.log1p(-inside[::-1])))
        np.mean((ordered < 1e-4) | (ordered > 1 - 1e-4))
        return stats.cramervonmises(ordered, "uniform").statistic

    def finish_crps(self):
        return np.concatenate(self.values["crps"]).mean()

    def finish_cde(self):
        return np.concatenate(self.values["cde"]).mean()


class Qp(Plain):
    """qp: `qp.interp` ensembles, its PIT with all its statistics, its CDE loss on the grid of the densities."""

    def __init__(self, grid, options):
        import warnings

        import qp
        from qp.metrics.concrete_metric_classes import CDELossMetric
        from qp.metrics.pit import PIT

        warnings.simplefilter("ignore")
        logging.getLogger().setLevel(logging.ERROR)
        super().__init__(grid, options)
        self.qp, self.pit_of, self.loss = qp, PIT, CDELossMetric(grid)

    def build(self, density, z_spec):
        self.ensemble = self.qp.Ensemble(self.qp.interp, data={"xvals": self.grid, "yvals": density})
        self.z_spec = z_spec

    def point(self):
        self.values["point"].append((self.ensemble.mode(self.grid)[:, 0], self.z_spec))

    def pit(self):
        self.values["pit"].append(self.pit_of._gather_pit_samples(self.ensemble, self.z_spec))

    def cde(self):
        self.values["cde"].append(self.loss.accumulate(self.ensemble, self.z_spec))

    def finish_point(self):
        from qp.metrics import point_estimate_metric_classes as point

        z_phot, z_spec = (np.concatenate(part) for part in zip(*self.values["point"]))
        kinds = point.PointSigmaMAD, point.PointBias, point.PointSigmaIQR, point.PointOutlierRate
        return [kind().evaluate(z_phot, z_spec) for kind in kinds][0]

    def finish_pit(self):
        everything = self.pit_of.__new__(self.pit_of)
        everything._pit_samps = np.concatenate(self.values["pit"])
        levels = np.linspace(0, 1, 100)
        everything._pit = self.pit_of._produce_output_ensemble(np.quantile(everything._pit_samps, levels), levels)
        return everything.calculate_pit_meta_metrics()["cvm"].statistic

    def finish_cde(self):
        return self.loss.finalize(self.values["cde"])


_KINDS = {"astro_galtrans": Package, "qp": Qp, "numpy": Plain}


def measure(name, options, n_galaxies):
    """Return the seconds and the value of each stage, and the peak memory of this process in MiB."""
    grid = np.linspace(0, 3, options.points)
    case, seconds, values = _KINDS[name](grid, options), defaultdict(float), {}
    stages = [stage for stage in ("point", "pit", "crps", "cde") if stage != "crps" or name != "qp"]

    def timed(stage, call, *arguments):
        case.wait()
        start = time.perf_counter()
        result = call(*arguments)
        case.wait()
        seconds[stage] += time.perf_counter() - start
        return result

    for number, start in enumerate(range(0, n_galaxies, options.chunk)):
        arrays = case.load(*make_chunk(number, min(options.chunk, n_galaxies - start), grid))
        timed("build", case.build, *arrays)
        for stage in stages:
            timed(stage, getattr(case, stage))
    for stage in stages:
        values[stage] = float(timed(stage, getattr(case, f"finish_{stage}")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return dict(seconds), values, peak, case.accelerator_memory()


def _rows(name, n_galaxies, seconds, values, peak, accelerator):
    sums = {**seconds, "pit + cde": seconds["pit"] + seconds["cde"],
            "build + pit + cde": seconds["build"] + seconds["pit"] + seconds["cde"]}
    return [(name, stage, n_galaxies, spent, n_galaxies / spent, values.get(stage, np.nan), peak, accelerator)
            for stage, spent in sums.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=1_000_000)
    parser.add_argument("--qp-galaxies", type=int, help="fewer galaxies for qp, which is slow")
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--chunk", type=int, default=50_000, help="galaxies per chunk")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64", help="for this package")
    parser.add_argument("--only", nargs="+", choices=list(_KINDS), help="codes to run")
    parser.add_argument("--out", help="ECSV file for the table")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # Imported here, so that it does not count in the memory of the other processes.
    import torch
    from training_rate import machine

    names = options.only or [name for name in _KINDS if name != "qp" or find_spec("qp")]
    # Waiting threads take no CPU time from others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    rows = []
    for name in names:
        n_galaxies = options.qp_galaxies if name == "qp" and options.qp_galaxies else options.galaxies
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows += _rows(name, n_galaxies, *pool.submit(measure, name, options, n_galaxies).result())
    columns = ("code", "stage", "galaxies", "seconds", "galaxies_per_second", "value", "peak_memory", "device_memory")
    table = Table(rows=rows, names=columns)
    rates = {(code, stage): rate for code, stage, rate in table["code", "stage", "galaxies_per_second"].iterrows()}
    table["times_qp"] = [rate / rates.get(("qp", stage), np.nan) for (_, stage), rate in rates.items()]
    for name, form in (("seconds", ".3f"), ("galaxies_per_second", ".0f"), ("value", ".6g"), ("peak_memory", ".0f"),
                       ("device_memory", ".0f"), ("times_qp", ".1f")):
        table[name].info.format = form
    table["seconds"].unit, table["peak_memory"].unit, table["device_memory"].unit = "s", "MiB", "MiB"
    table.meta = {name: getattr(options, name) for name in ("points", "chunk", "threads", "device", "dtype")}
    table.meta.update(machine=machine(torch.device(options.device)), **{
        name: version(name) for name in ("torch", "numpy", "qp-prob") if name != "qp-prob" or "qp" in names})
    log.info("%s\n%s", table.meta, "\n".join(table.pformat(max_width=-1, max_lines=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
