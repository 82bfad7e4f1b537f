"""A new network and objective for the surveys of some pairs, with the parts that are fitted before the training."""

import logging

import astropy.units as u
import numpy as np
import torch

from astro_galtrans._utils.loop import TrainingModule, train
from astro_galtrans.backbones import NetworkConfig, TranslationNetwork, fill_invalid, log_apertures, sky_noise
from astro_galtrans.objectives import build_objective
from astro_galtrans.training._module import AdversarialModule, TranslationModule

__all__ = ["build_module", "fit_reader", "mean_psf", "observing_ranges", "readable_redshift"]

log = logging.getLogger(__name__)

_N_CALIBRATION = 64  # pairs
_N_REGRESSION = 2048

# Observing conditions.
_N_NOISE = 512  # pairs whose noise and target PSF are measured
_PERCENTILES = (0.5, 50, 99.5)
# Smallest scatter of ln FWHM and ln noise that counts as variation. The sky of a stamp is measured to a few percent.
_VARIES = {"psf_fwhm": 0.01, "noise": 0.04, "target_psf_fwhm": 0.01}

# Training of the redshift reader.
_FEWEST = 64  # spectra of known redshift; with fewer there is no reader
_MOST = 16_384
_BATCH = 64
_MOST_READ = 1024
_MOST_STEPS, _MOST_EPOCHS = 2000, 200
_LEARNING_RATE, _WEIGHT_DECAY = 4e-3, 1e-3
_RISE = 0.3
_MARGIN = 0.05  # of 1 + z, beyond the largest known redshift
# A spectrum moved by whole pixels of the logarithmic grid is that of the same galaxy at another redshift.
_SHIFT = 40


def observing_ranges(pairs, config):
    """Return the observing conditions of a new network, as of `NetworkConfig`, or None for one that takes none."""
    if config.observing is False:
        return None
    values = {"psf_fwhm": pairs.psf_fwhm("input"), "noise": _noise_of_galaxies(pairs),
              "target_psf_fwhm": pairs.psf_fwhm("target")}
    known = {name: value for name, value in values.items() if value is not None and np.isfinite(value).any(0).all()}
    if config.observing is None:
        # Half of the width of the middle 68 %, robust against single galaxies.
        spread = {name: np.nanmax(np.diff(np.nanpercentile(np.log(value), (16, 84), axis=0), axis=0)) / 2
                  for name, value in known.items()}
        known = {name: value for name, value in known.items() if spread[name] > _VARIES[name]}
    elif not known:
        raise ValueError("observing=True needs PSF images, their FWHMs in the catalog, or weights of the input for "
                         "galaxies of pairs, got none")
    return {name: np.nanpercentile(value, _PERCENTILES, axis=0).T for name, value in known.items()} or None


def _noise_of_galaxies(pairs):
    """Return the noise of the input's sky of up to 512 galaxies, shape ``(galaxy, band)``, None without weights."""
    if pairs.input_weight is None:
        return None
    weight = np.asarray(pairs.input_weight[:_N_NOISE], dtype=np.float32)
    return sky_noise(torch.from_numpy(weight)).numpy().astype(float)


def mean_psf(images):
    """Return the mean PSF of each band over up to 512 galaxies, None if a band has none or there are no images."""
    if images is None:
        return None
    images = np.asarray(images[:_N_NOISE], dtype=float)
    known = images.sum((2, 3)) > 0
    if not known.any(0).all():
        return None
    mean = (images * known[:, :, None, None]).sum(0) / known.sum(0)[:, None, None]
    return mean.astype(np.float32)


def build_module(pairs, config, n_steps, run, observing=None):
    """Return the Lightning module with a new network for the surveys of the pairs; ``run`` identifies the training."""
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
        observing=observing,
    ))
    if network.generative:
        network.calibrate(*_images(pairs, slice(0, min(len(pairs), _N_CALIBRATION))))
    if network.redshift_reader is not None:
        fit_reader(network.redshift_reader, pairs, torch.Generator().manual_seed(config.seed))
    if network.photometry is not None:
        _solve_photometry(network, pairs)
    objective = build_objective(
        config.objective, n_bands=len(target), n_features=network.backbone.n_features,
        n_embedding=network.backbone.n_embedding, **config.objective_options,
    )
    kind = AdversarialModule if objective.has_discriminator else TranslationModule
    return kind(network, objective, config, target.sky_noise**-2.0, n_steps, run)


def _noise(survey, weight):
    """Return the noise of a pixel per band, from the weights of up to 256 galaxies or else from the survey."""
    if weight is None:
        return survey.sky_noise
    sample = np.asarray(weight[:256])
    return np.array([
        np.median(band[band > 0]) ** -0.5 if np.any(band > 0) else typical
        for band, typical in zip(np.moveaxis(sample, 1, 0), survey.sky_noise)
    ])


def _conditioning_options(config, pairs):
    if config.conditioning != "spectrum":
        return {}
    return {"grid": pairs.spectrum_grid.to_dict(), "largest_redshift": readable_redshift(pairs)}


def _solve_photometry(network, pairs):
    """Set the photometry head to the linear regression over some pairs, from which its training starts."""
    head, measured = network.photometry, []
    for start in range(0, min(len(pairs), _N_REGRESSION), _N_CALIBRATION):
        flux, target, _ = _images(pairs, slice(start, min(start + _N_CALIBRATION, len(pairs))))
        placement = head.place(flux, network.input_noise)
        _, weights = head.place_target(placement, target.shape[-2:])
        measured.append((head.features(flux, network.input_noise, placement=placement),
                         log_apertures(target, network.target_noise, head.radii, weights)))
    head.solve(*(torch.cat(parts) for parts in zip(*measured)))


def _images(pairs, rows):
    """Return input and target flux without gaps, and the valid pixels of the target."""
    arrays = pairs.read(rows, images=("input_flux", "input_weight", "target_flux", "target_weight"))
    images = []
    for side in ("input", "target"):
        flux, weight = torch.from_numpy(np.nan_to_num(arrays[f"{side}_flux"])), arrays[f"{side}_weight"]
        valid = None if weight is None else torch.from_numpy(np.asarray(weight) > 0)
        images.append(flux if valid is None else fill_invalid(flux, valid))
    return *images, valid


def readable_redshift(pairs):
    """Return the largest redshift for a reader that is trained on these pairs, or None if they are too few."""
    if pairs.redshift is None:
        return None
    known = np.asarray(pairs.redshift, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < _FEWEST:
        return None
    return float((1 + known.max()) * (1 + _MARGIN) - 1)


def fit_reader(reader, pairs, generator):
    """Train the redshift reader of a spectrum's embedding on up to 16,384 spectra of known redshift.

    The generator draws the order of the spectra and the redshifts that they are moved to.
    """
    arrays = pairs.read(slice(0, min(len(pairs), _MOST)), images=("spectrum_flux", "spectrum_weight"))
    flux, weight, redshift = (torch.from_numpy(np.asarray(arrays[name], dtype=np.float32))
                              for name in ("spectrum_flux", "spectrum_weight", "redshift"))
    kept = redshift.isfinite() & (weight > 0).any(1)
    spectra = flux[kept], weight[kept], redshift[kept]
    if not len(spectra[0]):
        return
    n_steps = min(_MOST_STEPS, _MOST_EPOCHS * -(-len(spectra[0]) // _BATCH))
    reader.requires_grad_(True)
    train(_ReaderModule(reader, n_steps), _MovedSpectra(spectra, n_steps, reader.grid_step, generator), n_epochs=1)
    reader.requires_grad_(False)
    if log.isEnabledFor(logging.INFO):
        flux, weight, redshift = spectra
        with torch.no_grad():
            read = torch.cat([reader(*some)[0] for some in zip(flux.split(_MOST_READ), weight.split(_MOST_READ))])
        error = float(((read - redshift).abs() / (1 + redshift)).median())
        log.info("redshift reader: median |dz| / (1 + z) %.5f on its %d spectra after %d steps", error, len(flux),
                 n_steps)


class _ReaderModule(TrainingModule):
    """A redshift reader in training."""

    def __init__(self, reader, n_steps):
        super().__init__(n_steps)
        self.reader = reader

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.reader.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, self.n_steps, pct_start=_RISE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch, batch_index):
        return self.reader.loss(*batch)


class _MovedSpectra:
    """Batches of random spectra, each batch moved to another redshift."""

    def __init__(self, spectra, n_batches, step, generator):
        self.spectra, self.n_batches, self.step, self.generator = spectra, n_batches, step, generator

    def __len__(self):
        return self.n_batches

    def __iter__(self):
        for _ in range(self.n_batches):
            rows = torch.randint(len(self.spectra[0]), (_BATCH,), generator=self.generator)
            pixels = int(torch.randint(-_SHIFT, _SHIFT + 1, (1,), generator=self.generator))
            yield _moved(*(part[rows] for part in self.spectra), pixels, self.step)


def _moved(flux, weight, redshift, pixels, step):
    """Return spectra moved by some pixels of the grid in ln(1 + z); pixels that move in have weight 0."""
    flux, weight = flux.roll(pixels, 1), weight.roll(pixels, 1)
    if pixels > 0:
        weight[:, :pixels] = 0
    elif pixels < 0:
        weight[:, pixels:] = 0
    return flux, weight, (1 + redshift) * float(np.exp(pixels * step)) - 1
