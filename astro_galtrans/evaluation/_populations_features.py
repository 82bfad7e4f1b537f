"""Features of galaxies that a translator has learned, from which populations are found."""

from typing import NamedTuple

import astropy.units as u
import numpy as np
import torch
from tqdm.auto import tqdm

from astro_galtrans._utils.masked import floats
from astro_galtrans.backbones import Observing, sky_noise
from astro_galtrans.evaluation._sources import check_conditioning, check_surveys, conditions
from astro_galtrans.images import missing_bands
from astro_galtrans.objectives import (
    GradientObjective, Target, UnweightedGradientObjective, gradient_residuals, pool_scales,
)
from astro_galtrans.pairs import PairSet, checked_flux
from astro_galtrans.translation import Conditions

__all__ = ["FEATURES", "Features", "Reader", "as_pairs"]

FEATURES = ("scales", "excess", "noise", "weights", "embedding")
_LEARNED = ("scales", "excess", "weights")  # by objective "gradient" alone
_COARSEST = 0.8  # arcsec: pixels of the scales that take part are no wider than the seeing
_CPU_BATCH = 16
_INPUT, _TARGET = ("input_flux", "input_weight"), ("target_flux", "target_weight")
_SPECTRA = ("spectrum_flux", "spectrum_weight")


def as_pairs(translator, pairs):
    """Return pairs, checked against the translator; input images become pairs without target."""
    if not isinstance(pairs, PairSet):
        flux, weight = checked_flux(pairs, translator.input_survey, name="input_flux")
        return PairSet({"input_flux": flux, "input_weight": weight}, redshift=None, ids=np.arange(len(flux)),
                       input_survey=translator.input_survey, target_survey=translator.target_survey)
    check_surveys(translator.name, translator, pairs, "the pairs have")
    return pairs


class Features(NamedTuple):
    """Features of many galaxies."""

    values: np.ndarray
    """Shape ``(galaxy, feature)``, NaN where a galaxy has no usable pixel."""
    names: list[str]
    """Name of each feature."""
    redness: np.ndarray
    """Log of the flux in the redder over that in the bluer bands of the input, shape ``(galaxy,)``, or NaN."""


class Reader:
    """Reads one kind of `FEATURES` from a translator, in annuli with edges in arcsec."""

    def __init__(self, translator, kind, annuli):
        if kind not in FEATURES:
            raise ValueError(f"features must be one of {', '.join(FEATURES)}, got {kind!r}")
        if kind in _LEARNED and not isinstance(translator.objective, GradientObjective):
            raise ValueError(
                f"features={kind!r} are what objective 'gradient' learns, and translator {translator.name!r} was "
                f"trained with {translator.objective_name!r}: it has 'embedding' and 'noise' alone")
        annuli = floats(annuli, "annuli", unit=u.arcsec, dtype=float)
        if annuli.ndim != 1 or len(annuli) < 2 or not np.all(np.diff(annuli) > 0) or not 0 <= annuli[0]:
            raise ValueError(f"annuli must be two or more increasing radii in arcsec, got {annuli.tolist()}")
        self.translator, self.kind, self.annuli = translator, kind, annuli
        self._elements, self._n_scales = "gradients", 10  # for objectives without gradients
        if isinstance(translator.objective, (GradientObjective, UnweightedGradientObjective)):
            self._elements, self._n_scales = translator.objective.elements, translator.objective.max_scales

    def read(self, pairs, rows, batch_size=64, progress=False):
        """Return the `Features` of the galaxies at some rows."""
        if self.kind == "weights" and pairs.target_flux is None:
            raise ValueError("features='weights' are those of the residuals and need target images; all others need "
                             "only the input")
        check_conditioning(self.translator.name, self.translator, pairs, "given")
        if self.translator.device.type == "cpu":
            batch_size = min(batch_size, _CPU_BATCH)
        values, redness = [], []
        starts = range(0, len(rows), batch_size)
        for start in tqdm(starts, desc="populations", unit="batch", disable=not progress):
            batch = self._batch(pairs, rows[start:start + batch_size])
            valid = _valid(batch, _INPUT)
            values.append(self._of_batch(batch, valid))
            redness.append(_redness(np.where(valid, batch["input_flux"], 0)))
        shape = pairs.input_flux.shape[2:]
        return Features(np.concatenate(values), self.names(shape), np.concatenate(redness))

    def maps(self, pairs, rows):
        """Return the inverse learned variance of the passband gradients, shape ``(galaxy, h, w)``, mean 1, or None."""
        if self.kind == "embedding" or not self._parts()["passband"]:
            return None
        batch = self._batch(pairs, rows)
        with torch.no_grad():
            excess, log_noise = self._scales(
                self._prediction(batch, _valid(batch, _INPUT)), self.scales[len(self.scales) // 2])
            weight = (-2 * (excess + log_noise)[:, list(self._parts()["passband"])]).exp().mean(1)
        return (weight / weight.mean((1, 2), keepdim=True)).cpu().numpy()

    def describe(self, shape):
        """Describe the features for input images of ``shape``, a list that is empty for the embedding.

        Each item has the type of gradient, the band or bands, the side of the averaged blocks in target pixels, and
        inner and outer radius in arcsec.
        """
        if self.kind == "embedding":
            return []
        bands = self.translator.target_survey.band_names
        elements = {"spatial": bands, "flux": bands,
                    "passband": [f"{first}-{second}" for first, second in zip(bands, bands[1:])]}
        return [(part, element, scale, self.annuli[ring], self.annuli[ring + 1])
                for scale in self.scales for part, kept in self._parts().items() if kept
                for element in elements[part] for ring in self._rings(shape, scale)[1]]

    def names(self, shape):
        """Return the names of the features, a list of str."""
        if self.kind == "embedding":
            return [f"embedding {index}" for index in range(self.translator.network.backbone.n_embedding)]
        return [f"{part} {element}, {scale} pixels, {low:g}-{high:g} arcsec"
                for part, element, scale, low, high in self.describe(shape)]

    def _parts(self):
        """Indices of each type of element in the vector of a pixel, x and y taken together; a dict of range."""
        n = len(self.translator.target_survey)
        kind = self._elements
        n_spatial, n_flux = n if kind in ("gradients", "spatial") else 0, n if kind == "log flux" else 0
        n_passband = n - 1 if kind in ("gradients", "passband") else 0
        return {"spatial": range(n_spatial), "passband": range(n_spatial, n_spatial + n_passband),
                "flux": range(n_flux)}

    @property
    def scales(self):
        """Sides in target pixels of the blocks over which flux is averaged, a list of int."""
        pixel = self.translator.target_survey.pixel_scale.to_value(u.arcsec)
        return [2**level for level in range(self._n_scales) if level == 0 or 2**level * pixel <= _COARSEST]

    def _batch(self, pairs, rows):
        images = _INPUT + (_TARGET if self.kind == "weights" else ())
        images += _SPECTRA if self.translator.conditioning == "spectrum" else ()
        return pairs.read(rows, images=images) | {"input_psf_fwhm": pairs.psf_fwhm("input", rows)}

    def _prediction(self, batch, valid):
        translator, network = self.translator, self.translator.network
        given = translator.condition_arrays(Conditions(**conditions(translator.conditioning, batch)), len(valid))
        condition = None if given is None else tuple(torch.from_numpy(part).to(translator.device) for part in given)
        flux = np.where(valid, batch["input_flux"], np.float32(0))
        flux, valid = (torch.from_numpy(array).to(translator.device) for array in (flux, valid))
        observing = self._observing(batch, len(flux))
        size = translator.target_size(flux.shape[2:])
        if not network.generative:
            return network(flux, size, condition, valid=valid, observing=observing)
        # The first step of the sampler depends on nothing but the input and this noise, the same for each galaxy.
        shape = len(network.nearest_band), *size
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(flux.device)
        return network.sample(flux, size, condition, noise=noise.expand(len(flux), *shape), n_steps=1, valid=valid,
                              observing=observing)

    def _observing(self, batch, n_galaxies):
        """PSF and noise of the input, where the translator takes them, and the median PSF of the target."""
        translator, weight, widths = self.translator, batch["input_weight"], batch["input_psf_fwhm"]
        noise = None if weight is None else sky_noise(torch.from_numpy(np.asarray(weight, dtype=np.float32))).numpy()
        arrays = translator.observing_arrays(
            n_galaxies, psf_fwhm=widths if "psf_fwhm" in translator.observing else None, noise=noise)
        if arrays is None:
            return None
        return Observing(*(None if part is None else torch.from_numpy(part).to(translator.device) for part in arrays))

    @torch.no_grad()
    def _of_batch(self, batch, valid):
        prediction = self._prediction(batch, valid)
        if self.kind == "embedding":
            values = prediction.embedding
        else:
            values = torch.cat([self._in_annuli(prediction, batch, scale) for scale in self.scales], 1)
        values = values.cpu().numpy().astype(float)
        survey = self.translator.input_survey
        values[missing_bands(valid, survey.pixel_scale).any(1)] = np.nan
        return values

    def _in_annuli(self, prediction, batch, scale):
        """Means in annuli at one scale, less the mean of each galaxy, shape ``(galaxy, element * annulus)``."""
        if self.kind == "weights":
            elements = self._weights(prediction, batch, scale)
        else:
            excess, log_noise = self._scales(prediction, scale)
            elements = {"scales": excess + log_noise, "excess": excess, "noise": log_noise}[self.kind]
        masks = torch.from_numpy(self._rings(batch["input_flux"].shape[2:], scale)[0]).to(elements)
        values = elements.flatten(2) @ masks
        if self.kind == "weights":  # pixels that are masked in the target have weight 0
            values = (values / ((elements > 0).float().flatten(2) @ masks)).clamp_min(1e-6).log()
        # The apparent brightness is not a property of the galaxy.
        return (values - values.nanmean((1, 2), keepdim=True)).nan_to_num(0).flatten(1)

    def _scales(self, prediction, scale):
        """Log of the learned scale of the residuals in units of half the sky noise, and log of the sky noise."""
        objective, network = self.translator.objective, self.translator.network
        level = scale.bit_length() - 1
        *_, (_, *tensors) = pool_scales(prediction.flux, prediction.flux, prediction.maps, None, level + 1)
        part = gradient_residuals(*tensors, network.target_noise, scale,
                                  elements=self._elements)
        if not isinstance(objective, GradientObjective):
            return 0.0, self._without_direction(part.log_noise)
        excess = objective.log_excess(level, part, prediction.embedding)
        return self._without_direction(excess), self._without_direction(part.log_noise)

    def _weights(self, prediction, batch, scale):
        """Weights of the residuals; those of pixels that are masked in the target are 0."""
        translator = self.translator
        valid = _valid(batch, _TARGET)
        target = torch.from_numpy(np.where(valid, batch["target_flux"], np.float32(0))).to(translator.device)
        mask = None if valid.all() else torch.from_numpy(valid).to(translator.device)
        target = Target(target, torch.ones_like(target), mask)
        return self._without_direction(
            translator.objective.weights(prediction, target, translator.network.output_space, scale))

    def _without_direction(self, elements):
        """Elements with the mean of those along x and y, which does not depend on the orientation of the galaxy."""
        n = len(self.translator.target_survey)
        if not self._parts()["spatial"]:
            return elements
        return torch.cat([0.5 * (elements[:, :n] + elements[:, n:2 * n]), elements[:, 2 * n:]], 1)

    def _rings(self, shape, scale):
        """Share of each element in each annulus, shape ``(h * w, annulus)``, and the annuli that have any."""
        size = self.translator.target_size(shape)
        pixel = self.translator.target_survey.pixel_scale.to_value(u.arcsec)
        y, x = (((np.arange(n // scale - 1) + 1) * scale - n / 2) * pixel for n in size)
        radius = np.hypot(y[:, None], x).ravel()
        inside = (radius[:, None] >= self.annuli[:-1]) & (radius[:, None] < self.annuli[1:])
        kept = np.flatnonzero(inside.any(0))
        if not len(kept):
            raise ValueError(f"no annulus of {self.annuli.tolist()} arcsec has a pixel of the translated images")
        inside = inside[:, kept].astype(np.float32)
        return inside / inside.sum(0), kept


def _valid(batch, names):
    flux, weight = (batch[name] for name in names)
    valid = np.isfinite(flux)
    return valid if weight is None else valid & (weight > 0)


def _redness(flux):
    """Log flux of the redder half of the bands over that of the bluer, NaN where either is not positive."""
    total = flux.sum((2, 3), dtype=float)
    half = total.shape[1] // 2
    blue, red = total[:, :half].sum(1), total[:, total.shape[1] - half:].sum(1)
    known = (blue > 0) & (red > 0)
    return np.log(np.where(known, red, np.nan) / np.where(known, blue, 1))
