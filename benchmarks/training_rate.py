"""Measure training steps per second for each objective on the U-Net, and the cost relative to "pixel".

    python benchmarks/training_rate.py --threads 2 --precisions 32 bf16 --out training_rate.ecsv

Each turn trains with `astro_galtrans.training.fit` for two epochs and times the second. The objectives alternate, and
the table has the median over the turns, so that the load of the machine affects all of them.
"""

import argparse
import logging
import platform

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import get_survey, matching_size
from astro_galtrans.training import TrainConfig, fit

log = logging.getLogger("training_rate")


def make_pairs(n, size):
    """Return exponential galaxies with the noise of SDSS and CFHTLS."""
    rng = np.random.default_rng(1)
    surveys = [get_survey(name) for name in ("SDSS", "CFHTLS")]
    sides = size, matching_size(size, *(survey.pixel_scale for survey in surveys))
    flux = []
    for survey, side in zip(surveys, sides):
        y, x = np.indices((side, side)) - (side - 1) / 2
        profile = np.exp(-np.hypot(x, y) * survey.pixel_scale.value / 2)
        noise = survey.sky_noise[:, None, None]
        flux.append(noise * (50 * profile + rng.normal(size=(n, len(survey), side, side))))
    weights = [np.broadcast_to(s.sky_noise[:, None, None]**-2.0, f.shape) for s, f in zip(surveys, flux)]
    return PairSet.from_arrays(*flux, input_survey="SDSS", target_survey="CFHTLS", input_weight=weights[0],
                               target_weight=weights[1])


def seconds(pairs, objective, precision, options):
    """Return the seconds per step in the second epoch, when the caches are filled."""
    config = TrainConfig(objective=objective, precision=precision, batch_size=options.batch_size, residual=True,
                         epochs=2)
    return float(fit(pairs, config, device=options.device).history["seconds"][1]) / options.steps


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device):
    """Return the name of the device or processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="side of the input stamps")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10, help="steps per epoch")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precisions", nargs="+", choices=["32", "bf16"], default=["32", "bf16"])
    parser.add_argument("--objectives", nargs="+", default=["pixel", "gradient-unweighted", "gradient"])
    parser.add_argument("--out", help="ECSV file for the table")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    pairs = make_pairs(options.steps * options.batch_size, options.size)
    rows = []
    for precision in options.precisions:
        turns = [{name: seconds(pairs, name, precision, options) for name in options.objectives}
                 for _ in range(options.turns)]
        first = options.objectives[0]
        for name in options.objectives:
            step = np.median([turn[name] for turn in turns])
            ratio = np.median([turn[name] / turn[first] for turn in turns])
            rows.append((precision, name, 1 / step, options.batch_size / step, ratio))
    names = "precision", "objective", "steps_per_second", "galaxies_per_second", f"cost_beside_{options.objectives[0]}"
    table = Table(rows=rows, names=names)
    table.meta = {"device": str(device), "machine": machine(device), "threads": options.threads,
                  "torch": str(torch.__version__), "size": options.size, "batch_size": options.batch_size}
    for name in names[2:]:
        table[name].info.format = ".2f"
    log.info("%s\n%s", table.meta, "\n".join(table.pformat(max_width=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
