"""A new network and objective for the surveys of some pairs."""

import astropy.units as u
import numpy as np
import torch

from astro_galtrans.backbones import NetworkConfig, TranslationNetwork, fill_invalid, log_apertures
from astro_galtrans.objectives import build_objective
from astro_galtrans.training._adversarial import AdversarialModule
from astro_galtrans.training._module import TranslationModule
from astro_galtrans.training._reader import fit_reader, readable_redshift

__all__ = ["build_module"]

_N_CALIBRATION = 64  # pairs
_N_REGRESSION = 2048


def _noise(survey, weight):
    """Noise of one pixel per band, from the weights of up to 256 galaxies or else from the survey."""
    if weight is None:
        return survey.sky_noise
    sample = np.asarray(weight[:256])
    return np.array([
        np.median(band[band > 0]) ** -0.5 if np.any(band > 0) else typical
        for band, typical in zip(np.moveaxis(sample, 1, 0), survey.sky_noise)
    ])


def build_module(pairs, config, n_steps, run):
    """The Lightning module with a new network for the surveys of the pairs.

    Parameters
    ----------
    pairs : PairSet
        Training pairs.
    config : TrainConfig
    n_steps : int
        Steps of the whole training.
    run : dict
        What tells this training from others.

    Returns
    -------
    TranslationModule
    """
    source, target = pairs.input_survey, pairs.target_survey
    wavelength = [np.log([band.effective_wavelength.to_value(u.AA) for band in survey]) for survey in (source, target)]
    nearest = np.abs(wavelength[1][:, None] - wavelength[0]).argmin(1)
    ratio = [
        (source.bands[i].flux_per_unit() / band.flux_per_unit()).to_value(u.dimensionless_unscaled)
        for i, band in zip(nearest, target)
    ]
    scale_ratio = (target.pixel_scale / source.pixel_scale).to_value(u.dimensionless_unscaled)
    network = TranslationNetwork(NetworkConfig(
        config.backbone, _noise(source, pairs.input_weight), _noise(target, pairs.target_weight), ratio, nearest,
        scale_ratio, **config.network_parts, conditioning=config.conditioning,
        backbone_options=config.all_backbone_options, conditioning_options=_conditioning_options(config, pairs),
        stamp_size=pairs.input_flux.shape[-2:], takes_missing=config.input_dropout > 0,
    ))
    if network.generative:
        _calibrate(network, pairs)
    reader = getattr(network.condition, "reader", None)
    if reader is not None:
        fit_reader(reader, pairs, torch.Generator().manual_seed(config.seed))
    if network.photometry is not None:
        _solve_photometry(network, pairs)
    objective = build_objective(
        config.objective, n_bands=len(target), n_features=network.backbone.n_features,
        n_embedding=network.backbone.n_embedding, **config.objective_options,
    )
    kind = AdversarialModule if objective.has_discriminator else TranslationModule
    return kind(network, objective, config, target.sky_noise**-2.0, n_steps, run)


def _conditioning_options(config, pairs):
    if config.conditioning != "spectrum":
        return {}
    return {"grid": pairs.spectrum_grid.to_dict(), "largest_redshift": readable_redshift(pairs)}


def _calibrate(network, pairs):
    """Measure on some pairs what a generative network's images are divided by."""
    flux, target, valid = _images(pairs, slice(0, min(len(pairs), _N_CALIBRATION)))
    network.calibrate(flux, target, valid)


def _solve_photometry(network, pairs):
    """Where the photometry head starts from: the linear regression over some pairs."""
    head, measured = network.photometry, []
    for start in range(0, min(len(pairs), _N_REGRESSION), _N_CALIBRATION):
        flux, target, _ = _images(pairs, slice(start, min(start + _N_CALIBRATION, len(pairs))))
        measured.append((head.features(flux, network.input_noise),
                         log_apertures(target, network.target_noise, head.radii)))
    head.solve(*(torch.cat(parts) for parts in zip(*measured)))


def _images(pairs, rows):
    """Input and target flux without gaps, and where the target is valid."""
    arrays = pairs.read(rows, images=("input_flux", "input_weight", "target_flux", "target_weight"))
    images = []
    for side in ("input", "target"):
        flux, weight = torch.from_numpy(np.nan_to_num(arrays[f"{side}_flux"])), arrays[f"{side}_weight"]
        valid = None if weight is None else torch.from_numpy(np.asarray(weight) > 0)
        images.append(flux if valid is None else fill_invalid(flux, valid))
    return *images, valid
