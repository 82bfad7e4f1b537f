"""
Add a backbone and an objective
===============================

Add your own network and your own loss. They are trained, stored and read like those of the package. This page is for
PyTorch users.
"""

# %%
# A backbone
# ----------
#
# A `~astro_galtrans.backbones.Backbone` receives the softened log flux of the input bands (``planes``), the input
# resampled to the target grid (``resampled_input``) and the size of that grid. It returns feature maps on the target
# grid and one vector per galaxy. Everything else is the same for all backbones: normalization, residual path, the head
# that turns features into flux, photometry and uncertainty.

import torch
from torch import nn

from astro_galtrans.backbones import Backbone, Features, Painter, available_backbones, register_backbone
from astro_galtrans.objectives import Objective, available_objectives, register_objective
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.training import TrainConfig, fit


@register_backbone("dilated")
class Dilated(Backbone):
    """Convolutions with growing dilation: a wide field of view without downsampling.

    Parameters
    ----------
    n_planes, n_resampled, n_condition, scale_ratio
        See `~astro_galtrans.backbones.Backbone`.
    width, depth : int, optional
        Channels and number of convolutions.
    """

    sizes = {"tiny": {"width": 12, "depth": 3}, "base": {"width": 64, "depth": 6}}

    def __init__(self, n_planes, n_resampled, n_condition=0, *, scale_ratio, width=12, depth=3, n_features=8):
        super().__init__()
        self.scale_ratio, self.n_features, self.n_embedding = scale_ratio, n_features, width
        self.first = nn.Conv2d(n_planes, width, 1)
        self.layers = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=2**k, dilation=2**k) for k in range(depth))
        self.condition = nn.Linear(n_condition, width) if n_condition else None
        self.painter = Painter(width, n_features, n_resampled, n_condition)

    def forward(self, planes, resampled_input, size, condition=None):
        x = self.first(planes)
        if self.condition is not None:
            x = x + self.condition(condition)[:, :, None, None]
        for layer in self.layers:
            x = x + nn.functional.leaky_relu(layer(x), 0.1)
        return Features(self.painter(x, resampled_input, size, self.scale_ratio, condition), x.mean((-2, -1)))


available_backbones()

# %%
# `~astro_galtrans.backbones.Painter` resamples maps from one grid to the other for any pixel ratio. Options of the
# constructor are options of ``TrainConfig(backbone_options=...)``; ``sizes`` has their defaults for a CPU and a GPU.
#
# An objective
# ------------
#
# An `~astro_galtrans.objectives.Objective` receives the prediction, the target images and the network's
# `~astro_galtrans.backbones.OutputSpace`, which has the sky noise, and returns a scalar loss and a dict of metrics. The
# base class adds the loss of the uncertainty. The fields ``output``, ``residual`` and ``photometry`` of `TrainConfig
# <astro_galtrans.training.TrainConfig>` choose the parts of the network.


@register_objective("absolute")
class AbsoluteObjective(Objective):
    """Mean absolute error in units of the sky noise, softened so that bright pixels do not dominate."""

    def image_loss(self, prediction, target, space, generator):
        error = torch.asinh((prediction.flux - target.flux) / space.target_noise).abs()
        loss = error.mean() if target.valid is None else error[target.valid].mean()
        return loss, {"error": loss.detach()}


available_objectives()

# %%
# Train them
# ----------

pairs = simulate_pairs(120, input_survey="SDSS", target_survey="CFHTLS", seed=41, input_size=16)
train, valid = pairs.split((0.8, 0.2), seed=0)
config = TrainConfig(backbone="dilated", objective="absolute", epochs=3, batch_size=16, seed=0)
result = fit(train, config, validation=valid)
result.translator

# %%
result.history["epoch", "train_loss", "valid_loss"]

# %%
# Everything else works at once: the other objectives with the new backbone, the new objective with other backbones,
# translation, `~astro_galtrans.evaluation.evaluate`, and files. A file stores the *name* of a backbone and its options,
# never its code, so the reader must have imported the module that registers the name.

gradient = fit(train, TrainConfig(backbone="dilated", objective="gradient", epochs=1, batch_size=16, seed=0))
gradient.translator.translate_array(valid.input_flux[:2]).shape

# %%
# Tests
# -----
#
# ``tests/backbones`` applies one contract to every registered backbone: grids of any size and ratio, gradients that
# reach every weight, and the same result for a galaxy whatever else is in its batch. A backbone in the package has a
# module in ``astro_galtrans/backbones`` that is imported in its ``__init__.py``, a page in ``docs/backbones``, and rows
# in the benchmark.
