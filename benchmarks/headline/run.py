"""Run a benchmark in a folder: simulate, train, translate, evaluate."""

import json
import logging
import platform
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from astro_galtrans.evaluation import populations
from astro_galtrans.storage import load, save
from astro_galtrans.training import fit

from headline.data import check_space, locked, prepare_sample, write_text
from headline.evaluate import evaluate_images, evaluate_references, translate_pairs
from headline.plan import benchmark_runs, chosen_runs, scale_named
from headline.results import REFERENCE_KEY, REFERENCES, has_row, merge_rows, write_row

__all__ = ["prepare_benchmark", "run_benchmark"]

log = logging.getLogger(__name__)

_MARKER = "benchmark.json"
# Number of the first training galaxy for a sampler, so that it shares no noise with a test galaxy.
_RETRAINING = 2**32
_MIN_POPULATIONS = 500
_LARGE_BULGE = 0.5
# Fields of the scale that are not part of the configuration of a run.
_COMMON = ("sky", "input_size", "n_estimator", "n_estimator_validation", "n_pairs", "n_validation", "n_retraining",
           "n_test", "sampling_steps", "estimator", "retrained", "n_draws")


def run_benchmark(out, *, scale="small", sky=None, samples=None, groups=None, runs=None, device=None,
                  reevaluate=False, progress=True, command=None):
    """Train, translate and evaluate all unfinished runs of a benchmark.

    Parameters
    ----------
    out : path-like
        Folder of the benchmark, created or resumed. Several processes may share one folder; each run is done by one of
        them.
    scale : {"small", "full", "short", "tiny"} or BenchmarkScale, optional
        "small" is for two processor cores, "full" for a GPU, "short" for one core and a few hours, "tiny" for tests.
    sky : {"realistic", "smooth"}, optional
        "realistic" has observed galaxies under a realistic sky, "smooth" has smooth galaxies of template spectra under
        a plain sky; by default that of the scale, which is "realistic".
    samples : sequence of {"bright", "faint"}, optional
        Simulated samples, both by default.
    groups : sequence of {"matrix", "objective", "weights", "ablation", "learning-curve", "scarcity"}, optional
        Comparisons; default: all (the first two for the faint sample of "small"). A training that is part of several is
        done once.
    runs : sequence of str, optional
        Patterns of names of runs, as ``"unet/gradient/*"``; default: all.
    device : str, optional
        ``"cpu"`` or ``"cuda"``; by default a GPU if there is one.
    reevaluate : bool, optional
        Evaluate finished runs again, with the stored translators.
    progress : bool, optional
        Whether to show progress bars.
    command : str, optional
        Command to store in the metadata of the table.

    Returns
    -------
    `~astropy.table.Table`
        All finished rows, including those of earlier calls, as in ``out/results.ecsv``. The columns have descriptions,
        the metadata has definitions, sizes and seeds.

    Raises
    ------
    ValueError
        If the scale, sky, a sample, group or run is unknown, or the folder contains a benchmark of other sizes.
    OSError
        If the disk has too little space.
    ImportError
        Without GalSim or statmorph, which are in ``astro_galtrans[simulation,morphology]``.
    KeyboardInterrupt
        If interrupted. The same call resumes.

    Notes
    -----
    The translators are stored in ``out/<sample>/translators``.
    """
    scale = scale_named(scale, sky)
    planned = chosen_runs(benchmark_runs(scale, samples, groups), runs)
    planned = list({(run.sample, run.key): run for run in planned}.values())
    if scale.n_morphology and find_spec("statmorph") is None:
        raise ImportError('statmorph is needed for morphology: pip install "astro_galtrans[morphology]"')
    device = str(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    samples = list(dict.fromkeys(run.sample for run in planned))
    data = prepare_benchmark(out, scale=scale, samples=samples, device=device, progress=progress)
    out = Path(out)
    for sample in samples:
        _write_references(out, sample, data[sample], scale, device, reevaluate, progress)
    at_work = _Work(out, scale, data, device, reevaluate, progress, command)
    with tqdm(total=len(planned), desc="benchmark", unit="run", disable=not progress) as bar:
        elsewhere = []
        for run in planned:
            elsewhere += [] if at_work.do(run, wait=False) else [run]
            bar.update(run not in elsewhere)
        for run in elsewhere:
            at_work.do(run, wait=True)
            bar.update()
    return merge_rows(out, scale, command)


def prepare_benchmark(out, *, scale="small", sky=None, samples=None, device=None, progress=True):
    """Simulate the galaxies of a benchmark and train its reference estimators.

    Parameters
    ----------
    out : path-like
        Folder of the benchmark. Existing files are kept.
    scale, sky, samples, device, progress
        As in `run_benchmark`.

    Returns
    -------
    dict of str to SampleData
        By sample.
    """
    scale = scale_named(scale, sky)
    samples = list(dict.fromkeys(run.sample for run in benchmark_runs(scale, samples, ["matrix"])))
    out = _open_folder(out, scale)
    check_space(out, scale, samples)
    return {sample: prepare_sample(out / sample, sample, scale, device=device, workers=torch.get_num_threads(),
                                   progress=progress) for sample in samples}


def _open_folder(out, scale):
    """Return the folder of a benchmark, created if needed; raise ValueError if its sizes differ."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    marker, sizes = out / _MARKER, {name: scale.to_dict()[name] for name in ("name", *_COMMON)}
    with locked(out / ".results.lock"):
        if not marker.exists():
            if any(not path.name.startswith(".") for path in out.iterdir()):
                raise FileExistsError(f"out: {out} is not empty and contains no benchmark")
            write_text(marker, json.dumps(sizes, indent=1) + "\n")
            return out
        found = {"sky": "smooth", **json.loads(marker.read_text())}
    if found != sizes:
        what = next((name for name in sizes if found.get(name) != sizes[name]), "name")
        raise ValueError(f"out: {out} contains a benchmark with {what} {found.get(what)}, not {sizes[what]}")
    return out


def _write_references(out, sample, data, scale, device, reevaluate, progress):
    """Write the rows of untranslated images."""
    with locked(out / sample / ".references.lock"):
        if reevaluate or not all(has_row(out, sample, name, REFERENCE_KEY) for name in REFERENCES):
            rows = evaluate_references(data, scale, device=device, progress=progress)
            for name, row in rows.items():
                write_row(out, sample, name, REFERENCE_KEY, row)
            merge_rows(out, scale)


class _Work:
    """Runs of a folder."""

    def __init__(self, out, scale, data, device, reevaluate, progress, command):
        self.out, self.scale, self.data, self.device = out, scale, data, device
        self.reevaluate, self.progress, self.command = reevaluate, progress, command

    def do(self, run, wait):
        """Make sure that a run has its row; return False without ``wait`` if another process works on it."""
        place = self.out, run.sample, run.name, run.key
        if has_row(*place) and not self.reevaluate:
            return True
        locks = self.out / run.sample / "locks"
        locks.mkdir(exist_ok=True)
        with locked(locks / f"{run.key[:12]}.lock", wait=wait) as held:
            if not held:
                return False
            if self.reevaluate or not has_row(*place):
                log.info("%s, %s: %d steps on %d pairs", run.sample, run.name, run.n_steps, run.n_pairs)
                row = self._row(run)
                write_row(*place, row)
                shutil.rmtree(self._checkpoint(run), ignore_errors=True)
                merge_rows(self.out, self.scale, self.command)
                log.info("%s, %s: NMAD %.5f and %.5f", run.sample, run.name, row["nmad_transfer"],
                         row["nmad_retrained"])
        return True

    def _checkpoint(self, run):
        return self.out / run.sample / "checkpoints" / run.key[:12]

    def _trained(self, run):
        """Return the translator of a run, from its file if it exists."""
        path = self.out / run.sample / "translators" / f"{run.name.replace('/', '-')}.asdf"
        if path.exists():
            translator = load(path)
            found = translator.provenance.get("config_hash"), translator.provenance.get("n_pairs")
            if found == (run.config.hash, run.n_pairs):
                return translator
            log.warning("%s has other settings; training again", path)
        path.parent.mkdir(exist_ok=True)
        data = self.data[run.sample]
        result = fit(data.training.select(slice(0, run.n_pairs)), run.config, validation=data.validation,
                     directory=self._checkpoint(run), resume=True, device=self.device, name=run.name,
                     progress=self.progress)
        save(path, result.translator, overwrite=True)
        return result.translator

    def _row(self, run):
        options = {"device": self.device, "progress": self.progress}
        translator, data, n_morphology = self._trained(run), self.data[run.sample], self._n_morphology(run)
        images, seconds = translate_pairs(translator, data.test, self.scale, **options)
        retraining, _ = translate_pairs(translator, data.retraining, self.scale, first=_RETRAINING, **options)
        return {
            "config_hash": run.config.hash, "translator_hash": translator.hash, "precision": run.config.precision,
            "parameters": sum(parameter.numel() for parameter in translator.network.parameters()),
            "sampling_steps": self.scale.sampling_steps if translator.network.generative else 0,
            "device": self.device, "processor": _processor(self.device), "threads": torch.get_num_threads(),
            "version_astro_galtrans": version("astro_galtrans"), "version_torch": str(torch.__version__),
            "seconds": round(float(np.sum(translator.history["seconds"])), 2),
            "translate_seconds": round(1000 * seconds / len(data.test), 3),
            **evaluate_images(images, retraining, data, self.scale, n_morphology=n_morphology, **options),
            "n_morphology": n_morphology, "population_auc": self._population_auc(run, translator),
            "memory": _memory()}

    def _population_auc(self, run, translator):
        """Return how well populations without labels distinguish large from small bulges; NaN for other objectives."""
        # The scales of a network with a redshift or a noisy target as input do not depend on the image alone.
        test = self.data[run.sample].test
        if run.config.objective != "gradient" or run.variant != "gradient" or translator.network.generative or \
                len(test) < _MIN_POPULATIONS:
            return float("nan")
        return populations(translator, test, device=self.device).auc(
            np.asarray(test.catalog["bulge_fraction"]) > _LARGE_BULGE)

    def _n_morphology(self, run):
        """Return how many shapes to measure; they take minutes and are measured in the matrix only."""
        keys = {other.key for other in benchmark_runs(self.scale, [run.sample], ["matrix"])}
        return self.scale.n_morphology if run.key in keys else 0


def _processor(device):
    """Return the name of the processor."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory():
    """Return the peak memory of this process in MB, NaN if unknown."""
    try:
        import resource
    except ImportError:
        return float("nan")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (1e6 if sys.platform == "darwin" else 1e3), 0)
