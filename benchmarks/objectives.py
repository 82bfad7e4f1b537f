"""What each part of the gradient objective brings: the demo's U-Net trained with variants of it, judged side by side.

    python benchmarks/objectives.py --out objectives

writes the tables of `astro_galtrans.evaluation.evaluate` as ECSV files and one HTML report. The first variant is the
conventional one with which the others are compared.
"""

import argparse
import logging
import os
import platform
import time
from pathlib import Path

import torch

from astro_galtrans.evaluation import evaluate
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.training import TrainConfig, fit

VARIANTS = {
    "pixel": {"objective": "pixel", "residual": True},
    "pixel, no residual path": {"objective": "pixel", "residual": False},
    "gradient": {"objective": "gradient"},
    "gradient, no start on pixels": {"objective": "gradient", "objective_options": {"pixel_share": 0.0}},
    "gradient, no flow": {"objective": "gradient", "objective_options": {"n_flow": 0}},
    "gradient, one scale": {"objective": "gradient", "objective_options": {"max_scales": 1}},
    "gradient, unweighted": {"objective": "gradient-unweighted"},
    "gradient, redshift input": {"objective": "gradient", "conditioning": "redshift"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and report")
    parser.add_argument("--n", type=int, default=3200, help="simulated galaxies; 1,000 of them for the test")
    parser.add_argument("--sample", default="bright")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS), metavar="VARIANT")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    pairs = simulate_pairs(options.n, seed=options.seed, sample=options.sample, input_size=32, truth=True)
    n_test, n_validation = min(1000, options.n // 3), options.n // 16
    fractions = [n / options.n for n in (options.n - n_test - n_validation, n_validation, n_test)]
    training, validation, test = pairs.split(fractions, seed=options.seed)
    translators, seconds = {}, {}
    for name in options.variants:
        config = TrainConfig(epochs=options.epochs, batch_size=16, seed=options.seed,
                             backbone_options={"widths": [16, 32, 64]}, **VARIANTS[name])
        result = fit(training, config, validation=validation, name=name)
        translators[name], seconds[name] = result.translator, result.seconds
        logging.info("%s: %.0f s", name, result.seconds)
    started = time.perf_counter()
    evaluation = evaluate(translators, test, training=training, seed=options.seed,
                          estimator_options={"epochs": 20})
    logging.info("judged in %.0f s", time.perf_counter() - started)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, table in evaluation.tables.items():
        table.meta.update(training_seconds=seconds, processor=platform.machine(), threads=options.threads)
        table.write(options.out / f"{name}.ecsv", format="ascii.ecsv", overwrite=True)
    for name in ("redshift", "gains"):
        logging.info("\n".join(evaluation.tables[name].pformat_all()))
    evaluation.write_report(options.out / "report.html", title="Variants of the gradient objective",
                            command=f"python benchmarks/objectives.py --n {options.n} --epochs {options.epochs}")


if __name__ == "__main__":
    main()
