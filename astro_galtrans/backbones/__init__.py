"""Networks: tensors in, tensors out."""

from astro_galtrans.backbones.blocks import Block, ConditionPlanes, Painter
from astro_galtrans.backbones.capsule import CapsuleNet
from astro_galtrans.backbones.conditioning import available_conditioning
from astro_galtrans.backbones.contract import (
    Backbone, Features, Noisy, available_backbones, backbone_class, build_backbone, register_backbone,
)
from astro_galtrans.backbones.diffusion import Diffusion
from astro_galtrans.backbones.masking import fill_from_bands, fill_invalid, invalid_footprint
from astro_galtrans.backbones.network import Prediction, TranslationNetwork, stretch
from astro_galtrans.backbones.photometry import PhotometryHead, aperture_fluxes, aperture_radii, log_apertures
from astro_galtrans.backbones.resampling import resample, resampling_matrix
from astro_galtrans.backbones.schedule import DiffusionSchedule
from astro_galtrans.backbones.srgan import SRGAN
from astro_galtrans.backbones.swin import Swin
from astro_galtrans.backbones.unet import UNet

__all__ = [
    "Backbone", "Block", "CapsuleNet", "ConditionPlanes", "Diffusion", "DiffusionSchedule", "Features", "Noisy",
    "Painter", "PhotometryHead", "Prediction", "SRGAN", "Swin", "TranslationNetwork", "UNet", "aperture_fluxes",
    "aperture_radii", "available_backbones", "available_conditioning", "backbone_class", "build_backbone",
    "fill_from_bands", "fill_invalid", "invalid_footprint", "log_apertures", "register_backbone", "resample",
    "resampling_matrix", "stretch",
]
