"""Response of small trained networks to flux, noise and structure: the numbers of the pages on the backbones.

    python benchmarks/behavior.py norms --threads 1 --out norms.ecsv
    python benchmarks/behavior.py amplitude --threads 1 --out amplitude.ecsv
    python benchmarks/behavior.py critic --threads 1 --out critic.ecsv
    python benchmarks/behavior.py samples --threads 1 --out samples.ecsv
    python benchmarks/behavior.py memory --threads 1 --out memory.ecsv

Networks of the "tiny" size are trained by `astro_galtrans.training.fit` on simulated pairs, for a few hundred steps of
16 galaxies, and evaluated on other galaxies against noiseless images. ``norms``: the Swin Transformer with each
normalization, and a U-Net. ``amplitude``: capsules and a U-Net far outside the range of their training set.
``critic``: the generator of the SRGAN without and with its discriminator. ``samples``: a diffusion. In "blind" networks
the resampled input is set to 0. ``memory`` trains nothing: it adds up the tensors that a forward pass keeps for the
gradient.

Every row is one training with one seed; another processor or version of torch changes the last digits.
"""

import argparse
import logging
import warnings

import numpy as np
import torch
from astropy.table import Table

from training_rate import machine, make_pairs

from astro_galtrans.backbones import available_backbones, register_backbone, stretch
from astro_galtrans.backbones.capsule import CapsuleNet, ConvolutionalCapsules, route
from astro_galtrans.backbones.swin import Swin
from astro_galtrans.backbones import UNet
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.training import TrainConfig, fit

log = logging.getLogger("behavior")
# Target pixels, 2.2 arcsec: contains most of a galaxy and little sky.
_APERTURE = 12
# Side in target pixels.
_CORE = 6
_BATCH = 16


def blind(name, kind):
    """Register a backbone with the resampled input set to 0 as ``name``-blind."""

    class Blind(kind):
        def forward(self, planes, hints, size, condition=None):
            return super().forward(planes, torch.zeros_like(hints), size, condition)

    return register_backbone(f"{name}-blind")(Blind)


BlindSwin = blind("swin", Swin)
BlindCapsules = blind("capsule", CapsuleNet)
BlindUNet = blind("unet", UNet)


@register_backbone("swin-blind-bare")
class BareSwin(BlindSwin):
    """Swin without the resampled input and without normalization between stages."""

    def forward(self, planes, hints, size, condition=None):
        self.unetr.normalize = False
        return super().forward(planes, hints, size, condition)


class Evaluator:
    """Galaxies with their truth, and measurements on their translations."""

    def __init__(self, pairs, network):
        self.flux, self.target, self.truth, self.input_truth = (
            np.asarray(getattr(pairs, name)) for name in ("input_flux", "target_flux", "target_truth", "input_truth"))
        self.noise, self.bands = network.target_noise.cpu(), pairs.target_survey.band_names
        side = self.truth.shape[-1]
        y, x = np.indices((side, side)) - (side - 1) / 2
        self.aperture = np.hypot(x, y) < _APERTURE
        self.core = np.maximum(np.abs(x), np.abs(y)) < _CORE / 2

    def stretched(self, image):
        return stretch(torch.from_numpy(np.array(image, np.float32)), self.noise).numpy()

    def error(self, image, reference=None):
        """Return the mean squared error of stretched pixels, by default against the noiseless image."""
        return float(np.square(self.stretched(image) - self.stretched(
            self.truth if reference is None else reference)).mean())

    def total(self, image, band="r"):
        """Return the flux in the aperture, at least that of one sigma of a pixel."""
        index = self.bands.index(band)
        return np.maximum(image[..., index, :, :][..., self.aperture].sum(-1), float(self.noise[index]))

    def magnitude_error(self, image, band="r"):
        return -2.5 * np.log10(self.total(image, band) / self.total(self.truth, band))

    def core_flux(self, image):
        wanted = [self.bands.index(band) for band in "gri"]
        return image[..., wanted, :, :][..., self.core].sum((-2, -1))

    def core_ratio(self, translator, factor):
        """Return the median ratio of translated to true core flux, for galaxies made brighter in the same noise.

        Also return the number of galaxies left out: pixels whose uncertainty overflows float32 are NaN.
        """
        brighter = self.flux + (factor - 1) * self.input_truth
        ratio = self.core_flux(translator.translate_array(brighter)) / (factor * self.core_flux(self.truth))
        return float(np.nanmedian(ratio)), int(np.isnan(ratio).sum())

    def response(self, translator, image):
        """Return the median exponent of the flux for a doubling of all input pixels, noise included."""
        doubled = translator.translate_array(2 * self.flux)
        return float(np.median(np.log2(self.total(doubled) / self.total(image))))

    def structure(self, image):
        """Return the rms of stretched pixels minus the mean of their four neighbors, relative to the target."""
        found = []
        for each in (image, self.target):
            x = self.stretched(each)
            around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
            rest = x[..., 1:-1, 1:-1] - around / 4
            edge = x.shape[-1] // 4
            found.append(rest[..., edge:-edge, edge:-edge].std((0, -2, -1)))
        return dict(zip(self.bands, found[0] / found[1]))


def scatter(values):
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def train(pairs, options, backbone, objective="pixel", seed=0, **keywords):
    """Train for ``options.steps`` steps, rounded up to whole epochs."""
    config = TrainConfig(backbone=backbone, objective=objective, residual=False, seed=seed, batch_size=_BATCH,
                         epochs=-(-options.steps * _BATCH // len(pairs)), **keywords)
    result = fit(pairs, config, device=options.device)
    result.translator.to(torch.device(options.device))
    log.info("%s %s %s, seed %d: %.0f s", backbone, objective, keywords, seed, result.seconds)
    return result


def simulate(n_train, n_test, size, options):
    pairs = simulate_pairs(n_train + n_test, seed=1, sample="bright", input_size=size, truth=True,
                           workers=options.threads, galaxies="templates", sky="plain")
    return pairs.select(np.arange(n_train)), pairs.select(np.arange(n_train, n_train + n_test))


def norms(options):
    """Return the rows of the table on normalization, with windows of two patches for stamps of 32 pixels."""
    training, test = simulate(320, 128, 32, options)
    runs = [("unet", "", "given", 0)]
    runs += [("swin", norm, "given", seed) for norm in ("instance", "group") for seed in (0, 1)]
    runs += [("swin", "none", "given", 0), ("swin-blind", "instance", "set to 0", 0),
             ("swin-blind", "group", "set to 0", 0), ("swin-blind-bare", "none", "set to 0", 0)]
    rows = []
    for backbone, norm, hints, seed in runs:
        more = {"size": "tiny", "backbone_options": {"norm": norm, "window": 2} if norm else {}}
        translator = train(training, options, backbone, seed=seed, **more).translator
        evaluator = Evaluator(test, translator.network)
        image = translator.translate_array(evaluator.flux)
        rows.append({"backbone": backbone, "norm": norm, "resampled_input": hints, "seed": seed,
                     "error": evaluator.error(image), "scatter": scatter(evaluator.magnitude_error(image)),
                     "response": evaluator.response(translator, image)})
    return rows


def routing_share(translator, flux):
    """Return the mean over children and positions of the largest routing share, per level."""
    found = []

    def look(module, given, _):
        shares = route(module.votes(given[0]), module.routing_iterations, module.bias)[1]
        found.append(float(shares.amax(2).mean()))

    hooks = [module.register_forward_hook(look) for module in translator.network.modules()
             if isinstance(module, ConvolutionalCapsules)]
    translator.translate_array(flux)
    for hook in hooks:
        hook.remove()
    return found


def amplitude(options):
    """Return the rows of the table on amplitude and of the sentence on routing."""
    training, test = simulate(512, 128, 32, options)
    runs = [("capsule", 0, 3), ("capsule", 1, 3), ("capsule", 0, 1), ("capsule", 1, 1), ("capsule-blind", 0, 3),
            ("unet", 0, None), ("unet-blind", 0, None)]
    rows = []
    for backbone, seed, iterations in runs:
        more = {} if iterations is None else {"backbone_options": {"routing_iterations": iterations}}
        translator = train(training, options, backbone, seed=seed, size="tiny", **more).translator
        evaluator = Evaluator(test, translator.network)
        shares = routing_share(translator, evaluator.flux) if iterations else []
        cores = {factor: evaluator.core_ratio(translator, factor) for factor in (1, 10, 100)}
        rows.append({"backbone": backbone, "seed": seed, "routing_iterations": iterations or 0,
                     "error": evaluator.error(translator.translate_array(evaluator.flux)),
                     **{f"core_{factor}": ratio for factor, (ratio, _) in cores.items()},
                     **{f"left_out_{factor}": number for factor, (_, number) in cores.items()},
                     **{f"share_{level}": shares[level] if shares else np.nan for level in (0, 1)}})
    return rows


def critic(options):
    """Return the rows of the table on the discriminator, and one of the truth."""
    training, test = simulate(512, 128, 32, options)
    warnings.filterwarnings("ignore", message="mode collapse")
    rows = []
    for objective in ("pixel", "adversarial"):
        result = train(training, options, "srgan", objective, size="tiny")
        evaluator = Evaluator(test, result.translator.network)
        image = result.translator.translate_array(evaluator.flux)
        last = {name: float(result.history[f"train_{name}"][-1]) if objective == "adversarial" else np.nan
                for name in ("critic_loss", "diversity")}
        last["seconds_a_step"] = float(result.history["seconds"][-1]) / -(-len(training) // _BATCH)
        rows.append({"images": objective, **seen(evaluator, image), **last})
    return rows + [{"images": "truth", **seen(evaluator, evaluator.truth), **dict.fromkeys(last, np.nan)}]


def seen(evaluator, image):
    structure = evaluator.structure(image)
    return {"error_target": evaluator.error(image, evaluator.target), "error": evaluator.error(image),
            **{f"structure_{band}": structure[band] for band in "urz"},
            **{f"flux_{band}": float(np.median(evaluator.total(image, band) / evaluator.total(evaluator.truth, band)))
               for band in "ur"}}


def samples(options):
    """Return rows on a diffusion: errors relative to the rms of the image, spreads relative to the actual errors."""
    training, test = simulate(512, 100, 16, options)
    rows = []
    for weighting in options.weightings:
        translator = train(training, options, "diffusion", "denoising", size="tiny",
                           objective_options={"weighting": weighting}).translator
        evaluator = Evaluator(test, translator.network)
        drawn = translator.sample_array(evaluator.flux, n_samples=options.samples, seed=1)
        at_once = translator.translate_array(evaluator.flux, n_steps=1, n_samples=1, seed=1)
        rms = np.sqrt(np.square(evaluator.stretched(evaluator.truth)).mean())
        x, target = evaluator.stretched(drawn), evaluator.stretched(evaluator.target)
        widen = 1 + 1 / options.samples  # the mean of the samples scatters too
        magnitude = evaluator.magnitude_error(drawn)
        # Expected scatter of the true magnitude around the mean, if it were another sample.
        spread = np.sqrt(np.median(magnitude.var(0, ddof=1)) * widen)
        structure = list(evaluator.structure(drawn[0]).values())
        rows.append({
            "weighting": weighting, "error_sample": np.sqrt(evaluator.error(drawn[0])) / rms,
            "error_mean": np.sqrt(np.square(x.mean(0) - evaluator.stretched(evaluator.truth)).mean()) / rms,
            "error_one_step": np.sqrt(evaluator.error(at_once)) / rms,
            "spread_pixels": np.sqrt(x.var(0, ddof=1).mean() * widen / np.square(x.mean(0) - target).mean()),
            "scatter": scatter(magnitude[0]),
            "spread_magnitude": spread / scatter(magnitude.mean(0)),
            "structure_least": min(structure), "structure_most": max(structure)})
    return rows


def memory(options):
    """Return parameters and MB per galaxy that a forward pass keeps for the gradient, without the weights."""
    pairs = make_pairs(2, 64)
    rows = []
    for backbone in [name for name in available_backbones() if "-blind" not in name]:
        for size in ("tiny", "base"):
            # A learning rate of 0 keeps the weights.
            config = TrainConfig(backbone=backbone, objective="conventional", size=size, epochs=1, learning_rate=0.0)
            network = fit(pairs, config, device="cpu").translator.network.train().requires_grad_(True)
            rows.append({"backbone": backbone, "size": size,
                         "parameters": sum(p.numel() for p in network.parameters()), "kept": kept(network, pairs)})
    return rows


def kept(network, pairs):
    flux, target = (torch.from_numpy(np.asarray(getattr(pairs, name))) for name in ("input_flux", "target_flux"))
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    noisy = network.draw_noisy(flux, target, torch.Generator().manual_seed(1)) if network.generative else None
    found = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(flux, target.shape[-2:], None, noisy)
    return sum(storage.nbytes() for storage in found.values()) / len(flux) / 1e6


STEPS = {"norms": 180, "amplitude": 256, "critic": 320, "samples": 512, "memory": 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(STEPS))
    parser.add_argument("--steps", type=int, help="training steps (default: those of the pages)")
    parser.add_argument("--samples", type=int, default=8, help="samples of the diffusion")
    parser.add_argument("--weightings", nargs="+", default=["velocity", "noise"], help="of the diffusion's objective")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="ECSV file for the table")
    options = parser.parse_args()
    options.steps = STEPS[options.what] if options.steps is None else options.steps
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    table = Table(rows=globals()[options.what](options))
    table.meta = {"machine": machine(torch.device(options.device)), "threads": options.threads, "steps": options.steps,
                  "batch_size": _BATCH, "torch": str(torch.__version__)}
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".3g"
    log.info("%s\n%s", table.meta, "\n".join(table.pformat(max_lines=-1, max_width=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
