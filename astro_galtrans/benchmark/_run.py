"""The benchmark from its folder to its table: data, judges, and one training after the other."""

import json
import logging
from pathlib import Path

import torch

from astro_galtrans.benchmark._data import check_space, locked, prepare_sample, write_text
from astro_galtrans.benchmark._plan import SAMPLES, benchmark_runs, chosen_runs, scale_named

__all__ = ["prepare_benchmark"]

log = logging.getLogger(__name__)

_MARKER = "benchmark.json"
# Fields of the scale that are no part of a run's own configuration.
_COMMON = ("input_size", "n_judge", "n_judge_validation", "n_pairs", "n_validation", "n_retraining", "n_test",
           "sampling_steps", "judge", "retrained", "n_draws")


def prepare_benchmark(out, *, scale="small", samples=None, device=None, progress=True):
    """Simulate the galaxies of a benchmark and train the redshift estimators that judge.

    Parameters
    ----------
    out : path-like
        Folder of the benchmark. What is there already is kept; another process that prepares it is waited for.
    scale, samples, device, progress
        As in `run_benchmark`.

    Returns
    -------
    dict of str to SampleData
        By sample.
    """
    scale = scale_named(scale)
    samples = list(dict.fromkeys(run.sample for run in benchmark_runs(scale, samples, ["matrix"])))
    out = open_folder(out, scale)
    check_space(out, scale, samples)
    return {sample: prepare_sample(out / sample, sample, scale, device=device, workers=torch.get_num_threads(),
                                   progress=progress) for sample in samples}


def open_folder(out, scale):
    """The folder of a benchmark, made where it does not exist; refused where it is one of other sizes."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    marker, sizes = out / _MARKER, {name: scale.to_dict()[name] for name in ("name", *_COMMON)}
    with locked(out / ".results.lock"):
        if not marker.exists():
            if any(not path.name.startswith(".") for path in out.iterdir()):
                raise FileExistsError(f"out: {out} is not empty and holds no benchmark")
            write_text(marker, json.dumps(sizes, indent=1) + "\n")
            return out
        found = json.loads(marker.read_text())
    if found != sizes:
        what = next((name for name in sizes if found.get(name) != sizes[name]), "name")
        raise ValueError(f"out: {out} holds a benchmark with {what} {found.get(what)}, not {sizes[what]}")
    return out
