"""The plan of the benchmark: sizes, seeds, and every training run by name."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase

from astro_galtrans.training import TrainConfig

__all__ = ["GROUPS", "SAMPLES", "SCALES", "SKIES", "BenchmarkRun", "BenchmarkScale", "benchmark_runs", "chosen_runs",
           "scale_named"]

SAMPLES = ("bright", "faint")
GROUPS = ("matrix", "objective", "weights", "ablation", "learning-curve", "scarcity")
# Galaxies and sky of `~astro_galtrans.simulation.simulate_pairs`.
SKIES = {"realistic": {"galaxies": "observed", "sky": "realistic"}, "smooth": {"galaxies": "templates", "sky": "plain"}}
# Each of one question, with the U-Net.
STUDIES = GROUPS[2:]

# Seeds of the simulation, set before any result: of the training and of the test galaxies.
SEEDS = {"bright": (4101, 4102), "faint": (4201, 4202)}

_CONDITIONED = {"condition_dropout": 0.0, "condition_scatter": 0.0}
# Objective and conditioning of the columns of the matrix.
VARIANTS = {
    "conventional": {"objective": "conventional"},
    "gradient": {"objective": "gradient"},
    "gradient+redshift": {"objective": "gradient", "conditioning": "redshift", **_CONDITIONED},
    "gradient+spectrum": {"objective": "gradient", "conditioning": "spectrum", **_CONDITIONED},
}
# The pixel objective with the network of the gradient objective.
PIXEL_ON_OURS = {"pixel+residual": {"objective": "pixel", "residual": True, "photometry": True}}
# Without the other parts that keep the redshift. The aperture likelihood stays, as nothing else constrains the flux.
_BARE = {"pixel_weight": 0.0}
# Parts of "gradient" that are left out or replaced. A new entry is a new run.
ABLATIONS = {
    "unweighted": {"objective": "gradient-unweighted"},
    "no-flow": {"objective": "gradient", "objective_options": {"n_flow": 0}},
    "single-scale": {"objective": "gradient", "objective_options": {"max_scales": 1}},
    "no-residual-path": {"objective": "gradient", "residual": False},
    "no-photometry-head": {"objective": "gradient", "photometry": False},
    "no-apertures": {"objective": "gradient", "objective_options": {"aperture_weight": 0.0}},
    "no-pixels": {"objective": "gradient", "objective_options": {"pixel_weight": 0.0}},
    "gaussian": {"objective": "gradient", "objective_options": {"gaussian": True}},
    "log-pixels": {"objective": "gradient", "objective_options": {"elements": "log flux"}},
    "passband-only": {"objective": "gradient", "objective_options": {"elements": "passband"}},
    "spatial-only": {"objective": "gradient", "objective_options": {"elements": "spatial"}},
    "bare": {"objective": "gradient", "photometry": False, "objective_options": _BARE},
    "bare-no-flow": {"objective": "gradient", "photometry": False, "objective_options": {**_BARE, "n_flow": 0}},
    "bare-gaussian": {"objective": "gradient", "photometry": False, "objective_options": {**_BARE, "gaussian": True}},
    "nothing-else": {"objective": "gradient", "photometry": False,
                     "objective_options": {**_BARE, "aperture_weight": 0.0}},
}
# Ways to weight the elements of the gradient objective, beside "gradient" itself: Student's t, Gaussian, none.
WEIGHTS = ("no-flow", "gaussian", "unweighted")
BACKBONES = ("unet", "swin", "srgan", "capsule", "diffusion")
# Inverse fractions of the training pairs.
FRACTIONS = (1, 2, 4, 10, 30)


@dataclass(frozen=True)
class BenchmarkScale:
    """Sizes of a benchmark.

    Parameters
    ----------
    name : str
        "small", "full", "short" or "tiny".
    input_size : int
        Side of the input stamps in pixels.
    n_estimator, n_estimator_validation : int
        Numbers of galaxies for training the reference estimators and for selecting their best epoch.
    n_pairs, n_validation : int
        Number of the ``n_estimator`` galaxies that are training pairs of the translators, and number of these that
        select the best epoch.
    n_retraining : int
        Number of training pairs whose translations train the retrained estimators.
    n_test : int
        Number of test galaxies.
    epochs, batch_size : int
        Of the training of the translators.
    precision : str
        Of the training of the translators.
    sampling_steps : int
        Steps of a diffusion sample.
    backbones : dict
        Name of a backbone to the fields of `~astro_galtrans.training.TrainConfig` that set its size.
    seeds : tuple of int
        Of the runs of the U-Net in the matrix; the other backbones use the first.
    estimator, retrained : dict
        Settings of `~astro_galtrans.photoz.EstimatorConfig`.
    n_draws : int
        Number of bootstrap draws.
    n_morphology : int
        Number of test galaxies whose size and shape are measured, in the runs of the matrix.
    budgets : tuple of float
        Budgets of the learning curve, in units of ``epochs``.
    studies : tuple of str
        Samples whose default runs include weights, ablation, learning curve and scarce pairs.
    sky : {"realistic", "smooth"}
        Galaxies and sky of the pairs, as in `SKIES`.
    """

    name: str
    input_size: int
    n_estimator: int
    n_estimator_validation: int
    n_pairs: int
    n_validation: int
    n_retraining: int
    n_test: int
    epochs: int
    batch_size: int
    precision: str
    sampling_steps: int
    backbones: dict
    seeds: tuple = (0, 1, 2)
    estimator: dict = field(default_factory=dict)
    retrained: dict = field(default_factory=dict)
    n_draws: int = 200
    n_morphology: int = 0
    budgets: tuple = (0.5, 1, 2, 4, 8)
    studies: tuple = SAMPLES
    sky: str = "realistic"

    @property
    def n_training(self):
        """Number of training pairs of a translator that uses all."""
        return self.n_pairs - self.n_validation

    def to_dict(self):
        """Return the sizes as a dict of plain values."""
        return json.loads(json.dumps(asdict(self)))


_TINY_BACKBONES = {"unet": {"backbone_options": {"widths": [16, 32, 64]}},
                   **{name: {"size": "tiny"} for name in BACKBONES[1:]}}
_ESTIMATOR = {"schedule": "plateau", "epochs": 400, "patience": 8, "n_reductions": 3, "batch_size": 64, "n_bins": 400,
              "autocast": True}
SCALES = {
    "small": BenchmarkScale(
        "small", input_size=32, n_estimator=20_000, n_estimator_validation=1000, n_pairs=12_000, n_validation=400,
        n_retraining=3000, n_test=2000, epochs=2, batch_size=16, precision="bf16", sampling_steps=8,
        backbones=_TINY_BACKBONES, estimator=_ESTIMATOR, retrained={"epochs": 40, "autocast": True},
        n_morphology=100, budgets=(0.5, 1, 2, 4), studies=("bright",)),
    "full": BenchmarkScale(
        "full", input_size=64, n_estimator=100_000, n_estimator_validation=4000, n_pairs=100_000, n_validation=2000,
        n_retraining=20_000, n_test=10_000, epochs=8, batch_size=32, precision="bf16", sampling_steps=20,
        backbones={name: {"size": "base"} for name in BACKBONES}, estimator=_ESTIMATOR,
        retrained={"epochs": 40, "autocast": True}, n_morphology=1000),
    # One processor core, a few hours. In float32, as few processors have fast bfloat16.
    "short": BenchmarkScale(
        "short", input_size=32, n_estimator=7000, n_estimator_validation=500, n_pairs=6000, n_validation=300,
        n_retraining=2000, n_test=1500, epochs=1, batch_size=16, precision="32", sampling_steps=8,
        backbones=_TINY_BACKBONES, budgets=(1, 2, 4, 8), studies=("bright",),
        estimator={**_ESTIMATOR, "patience": 5, "n_reductions": 2, "width": 16, "autocast": False},
        retrained={"epochs": 30, "width": 16}),
    # Takes seconds; for tests.
    "tiny": BenchmarkScale(
        "tiny", input_size=16, n_estimator=40, n_estimator_validation=8, n_pairs=32, n_validation=8, n_retraining=16,
        n_test=16, epochs=2, batch_size=8, precision="32", sampling_steps=2,
        backbones={**_TINY_BACKBONES, "unet": {"backbone_options": {"widths": [4, 8], "n_features": 4}}},
        seeds=(0, 1), estimator={"epochs": 2}, retrained={"epochs": 2}),
}


@dataclass(frozen=True)
class BenchmarkRun:
    """One training in one group.

    Parameters
    ----------
    sample, group : str
        Simulated sample, and comparison that the run is part of.
    name : str
        As "unet/gradient+redshift/seed0"; runs with the same name and sample are the same training.
    backbone, variant : str
        Network, and objective with conditioning.
    seed : int
        Of the training.
    config : `~astro_galtrans.training.TrainConfig`
    n_pairs : int
        Number of training pairs, without those for validation.
    fraction : float
        Fraction of all training pairs.
    budget : float
        Optimizer steps relative to those of the matrix.
    """

    sample: str
    group: str
    name: str
    backbone: str
    variant: str
    seed: int
    config: TrainConfig
    n_pairs: int
    fraction: float = 1.0
    budget: float = 1.0

    @property
    def n_steps(self):
        """Number of optimizer steps."""
        return self.config.epochs * -(-self.n_pairs // self.config.batch_size)

    @property
    def key(self):
        """Hexadecimal hash of the training, independent of the group."""
        what = {"sample": self.sample, "config": self.config.to_dict(), "n_pairs": self.n_pairs}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def scale_named(scale, sky=None):
    """Return a `BenchmarkScale` from its name or as given, with another sky if there is one."""
    if not isinstance(scale, BenchmarkScale):
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
        scale = SCALES[scale]
    if sky is None:
        return scale
    if sky not in SKIES:
        raise ValueError(f"sky must be one of {', '.join(SKIES)}, got {sky!r}")
    return replace(scale, sky=sky)


def _chosen(argument, chosen, known):
    if chosen is None:
        return known
    chosen = [chosen] if isinstance(chosen, str) else list(chosen)
    for name in chosen:
        if name not in known:
            raise ValueError(f"{argument} must be among {', '.join(known)}, got {name!r}")
    return tuple(name for name in known if name in chosen)


def benchmark_runs(scale="small", samples=None, groups=None):
    """Return the runs of a benchmark.

    Parameters
    ----------
    scale : {"small", "full", "short", "tiny"} or BenchmarkScale, optional
    samples, groups : sequence of str, optional
        Only the runs of these samples and groups. Default: all, with weights, ablation, learning curve and scarce
        pairs only for the samples in ``scale.studies``.

    Returns
    -------
    list of BenchmarkRun
        A training that is part of two groups is listed twice, with the same ``name`` and ``key``.

    Raises
    ------
    ValueError
        If the scale, a sample or a group is unknown.
    """
    scale = scale_named(scale)
    make = {"matrix": _matrix, "objective": _objective, "weights": _weights, "ablation": _ablation,
            "learning-curve": _learning_curve, "scarcity": _scarcity}
    samples, chosen = _chosen("samples", samples, SAMPLES), _chosen("groups", groups, GROUPS)
    return [replace(run, sample=sample, group=group) for sample in samples for group in chosen
            if groups is not None or group not in STUDIES or sample in scale.studies for run in make[group](scale)]


def chosen_runs(runs, patterns):
    """Return the runs whose name matches one of the patterns, or all if there are none."""
    if patterns is None:
        return list(runs)
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(run.name, pattern) for run in runs):
            names = list(dict.fromkeys(run.name for run in runs))
            raise ValueError(f"runs must name a run of these samples and groups, as {', '.join(names[:3])} ... or "
                             f"'unet/*'; got {pattern!r}")
    return [run for run in runs if any(fnmatchcase(run.name, pattern) for pattern in patterns)]


def _run(scale, backbone, variant, settings, seed=0, *, epochs=None, n_pairs=None, suffix="", **more):
    n_pairs = scale.n_training if n_pairs is None else n_pairs
    config = TrainConfig(backbone=backbone, seed=seed, epochs=epochs or scale.epochs, batch_size=scale.batch_size,
                         precision=scale.precision, **scale.backbones[backbone], **settings)
    return BenchmarkRun("", "", f"{backbone}/{variant}/seed{seed}{suffix}", backbone, variant, seed, config, n_pairs,
                        **more)


def _matrix(scale):
    return [_run(scale, backbone, variant, settings, seed) for backbone in BACKBONES
            for variant, settings in VARIANTS.items() for seed in (scale.seeds if backbone == "unet" else (0,))]


def _objective(scale):
    compared = {**PIXEL_ON_OURS, "gradient": VARIANTS["gradient"]}
    return [_run(scale, "unet", variant, settings, seed) for variant, settings in compared.items()
            for seed in scale.seeds]


def _weights(scale):
    compared = {"gradient": VARIANTS["gradient"], **{name: ABLATIONS[name] for name in WEIGHTS}, **PIXEL_ON_OURS}
    return [_run(scale, "unet", variant, settings, seed) for seed in scale.seeds
            for variant, settings in compared.items()]


def _ablation(scale):
    compared = {"gradient": VARIANTS["gradient"], **ABLATIONS, **PIXEL_ON_OURS}
    return [_run(scale, "unet", variant, settings) for variant, settings in compared.items()]


def _learning_curve(scale):
    return [_run(scale, "unet", variant, VARIANTS[variant], epochs=int(scale.epochs * budget),
                 budget=budget, suffix="" if budget == 1 else f"/budget-{budget:g}")
            for variant in ("conventional", "gradient") for budget in scale.budgets]


def _scarcity(scale):
    """Return runs on the first pairs, with the same number of steps up to whole epochs."""
    runs, steps = [], scale.epochs * -(-scale.n_training // scale.batch_size)
    for variant in ("conventional", "gradient"):
        for part in FRACTIONS:
            n_pairs = max(1, scale.n_training // part)
            epochs = round(steps / -(-n_pairs // scale.batch_size))
            runs.append(_run(scale, "unet", variant, VARIANTS[variant], epochs=epochs, n_pairs=n_pairs,
                             fraction=1 / part, suffix="" if part == 1 else f"/pairs-1-{part}"))
    return runs
