"""Networks: tensors in, tensors out."""

from astro_galtrans.backbones.contract import Backbone, Features, available_backbones, build_backbone, register_backbone
from astro_galtrans.backbones.network import Prediction, TranslationNetwork, fill_invalid, invalid_footprint, stretch
from astro_galtrans.backbones.resampling import resample, resampling_matrix
from astro_galtrans.backbones.unet import UNet

__all__ = [
    "Backbone", "Features", "Prediction", "TranslationNetwork", "UNet", "available_backbones", "build_backbone",
    "fill_invalid", "invalid_footprint", "register_backbone", "resample", "resampling_matrix",
    "stretch",
]
