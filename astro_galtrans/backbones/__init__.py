"""Networks that map images on the input grid to images on the target grid, as torch modules."""

from astro_galtrans.backbones.blocks import Block, ConditionPlanes, Painter
from astro_galtrans.backbones.capsule import CapsuleNet
from astro_galtrans.backbones.conditioning import (
    OBSERVING, Observing, ObservingEmbedding, available_conditioning, sky_noise,
)
from astro_galtrans.backbones.contract import (
    Backbone, Features, Noisy, available_backbones, backbone_class, build_backbone, check_options, register_backbone,
)
from astro_galtrans.backbones.convolutional import SRGAN, UNet
from astro_galtrans.backbones.diffusion import Diffusion, DiffusionConfig, DiffusionSchedule
from astro_galtrans.backbones.network import TranslationNetwork
from astro_galtrans.backbones.output import NetworkConfig, OutputSpace, Prediction, stretch
from astro_galtrans.backbones.photometry import (
    N_APERTURES, PhotometryHead, aperture_fluxes, aperture_masks, aperture_radii, log_apertures,
)
from astro_galtrans.backbones.placement import Placement, measure_placement
from astro_galtrans.backbones.resampling import (
    fill_from_bands, fill_invalid, invalid_footprint, resample, resampling_matrix,
)
from astro_galtrans.backbones.swin import Swin

__all__ = [
    "N_APERTURES", "OBSERVING", "Backbone", "Block", "CapsuleNet", "ConditionPlanes", "Diffusion", "DiffusionConfig",
    "DiffusionSchedule", "Features", "NetworkConfig", "Noisy", "Observing", "ObservingEmbedding", "OutputSpace",
    "Painter", "PhotometryHead", "Placement", "Prediction", "SRGAN", "Swin", "TranslationNetwork", "UNet",
    "aperture_fluxes", "aperture_masks", "aperture_radii", "available_backbones", "available_conditioning",
    "backbone_class", "build_backbone", "check_options", "fill_from_bands", "fill_invalid", "invalid_footprint",
    "log_apertures", "measure_placement", "register_backbone", "resample", "resampling_matrix", "sky_noise", "stretch",
]
