"""The Swin Transformer: an encoder-decoder whose encoder attends within shifted windows."""

from numbers import Integral

from astro_galtrans.backbones.blocks import ConditionPlanes, Painter, import_monai, pad_to_multiple
from astro_galtrans.backbones.contract import Backbone, Features, register_backbone, renamed_parameters

__all__ = ["Swin"]

# Of MONAI's encoder; each halves the grid, which the patches of 2 x 2 pixels have halved before.
_N_STAGES = 4
_NORMS = {"group": ("group", {"num_groups": 4}), "instance": "instance", "none": ""}


@register_backbone("swin")
class Swin(Backbone):
    """MONAI's SwinUNETR (Hatamizadeh et al. 2022, arXiv:2201.01266) on the input grid, painted on the target grid.

    Patches of 2 x 2 pixels pass four stages of a Swin Transformer (Liu et al. 2021, arXiv:2103.14030): attention
    within windows of patches, which every second block shifts by half a window. Convolutions join the output of each
    stage on the way back to the pixels, as in a U-Net. Images are padded by their rim to a multiple of 32 pixels and to
    16 windows at least: in stages that are smaller than a window MONAI would look up wrong relative positions.

    Parameters
    ----------
    n_planes, n_resampled, n_condition, scale_ratio
        See `Backbone`.
    feature_size : int, optional
        Channels of the first stage, a multiple of 12; each further stage doubles them.
    depths : sequence of int, optional
        Blocks of each of the four stages; with a single one a stage has no shifted window.
    n_heads : int, optional
        Attention heads of the first stage, a divisor of ``feature_size``; each further stage doubles them.
    window : int, optional
        Side of a window in patches. Images of 64 pixels and windows of 4 patches have the last stage in one window.
    norm : {"group", "instance", "none"}, optional
        Normalization of the convolutions: by 4 groups of channels, by channel, or none; see :ref:`backbone-swin` for
        their effect on the flux.
    n_features : int, optional
        Channels of the feature maps on the target grid.
    """

    multiple = 2 ** (_N_STAGES + 1)
    """Divisor of rows and columns that MONAI requires."""
    sizes = {
        "tiny": {"feature_size": 12, "depths": [2, 2, 2, 2], "n_heads": 1, "window": 4, "n_features": 8},
        "base": {"feature_size": 72, "depths": [2, 2, 6, 2], "n_heads": 3, "window": 4, "n_features": 8},
    }

    @renamed_parameters
    def __init__(self, n_planes, n_resampled, n_condition=0, *, scale_ratio, feature_size=12, depths=(2, 2, 2, 2),
                 n_heads=1, window=4, norm="group", n_features=8):
        super().__init__()
        _check(feature_size, depths, n_heads, window, norm, n_features)
        self.scale_ratio, self.n_features, self.n_embedding = scale_ratio, n_features, 2**_N_STAGES * feature_size
        self.condition = ConditionPlanes(n_condition)
        # No dropout and no stochastic depth: training and evaluation agree.
        self.monai_options = {
            "in_channels": n_planes + self.condition.n_planes, "out_channels": n_resampled, "spatial_dims": 2,
            "feature_size": feature_size, "depths": tuple(depths), "window_size": window, "norm_name": _NORMS[norm],
            "num_heads": tuple(n_heads * 2**stage for stage in range(_N_STAGES)),
        }
        self.unetr = import_monai("monai.networks.nets.swin_unetr", "swin").SwinUNETR(**self.monai_options)
        del self.unetr.out
        # Normalization by channel needs more than a single place on the coarsest level.
        self.smallest = max(self.multiple // 2 * window, 2 * self.multiple if norm == "instance" else 0)
        self.painter = Painter(feature_size, n_features, n_resampled, n_condition)

    def forward(self, planes, resampled_input, size, condition=None):
        """Feature maps on the target grid; see `Backbone`."""
        # Padded first: on CUDA the padding has no reproducible gradient, and the planes of the condition need one.
        planes, inside = pad_to_multiple(planes, self.multiple, self.smallest)
        maps, deepest = self.encode_decode(self.condition(planes, condition))
        maps = self.painter(maps[inside], resampled_input, size, self.scale_ratio, condition)
        return Features(maps, deepest.mean((-2, -1)))

    def encode_decode(self, x):
        """Run MONAI's forward without its last layer, and keep the deepest maps of the encoder.

        Parameters
        ----------
        x : torch.Tensor
            Shape ``(galaxy, channel, y, x)``, rows and columns a multiple of 32.

        Returns
        -------
        maps : torch.Tensor
            Shape ``(galaxy, feature_size, y, x)``.
        deepest : torch.Tensor
            Shape ``(galaxy, n_embedding, y / 32, x / 32)``.
        """
        net = self.unetr
        hidden = net.swinViT(x, net.normalize)
        deepest = net.encoder10(hidden[4])
        y = net.decoder5(deepest, hidden[3])
        y = net.decoder4(y, net.encoder4(hidden[2]))
        y = net.decoder3(y, net.encoder3(hidden[1]))
        y = net.decoder2(y, net.encoder2(hidden[0]))
        return net.decoder1(y, net.encoder1(x)), deepest


def _check(feature_size, depths, n_heads, window, norm, n_features):
    """Raise a ValueError for options that define no network."""
    for name, value, low in (("feature_size", feature_size, 12), ("n_heads", n_heads, 1), ("window", window, 2),
                             ("n_features", n_features, 1)):
        if not isinstance(value, Integral) or value < low:
            raise ValueError(f"{name} must be an integer of at least {low}, got {value!r}")
    if feature_size % 12:
        raise ValueError(f"feature_size must be a multiple of 12, got {feature_size}")
    if feature_size % n_heads:
        raise ValueError(f"n_heads must divide feature_size={feature_size}, got {n_heads}")
    if not isinstance(depths, (list, tuple)) or len(depths) != _N_STAGES or not all(
            isinstance(depth, Integral) and depth > 0 for depth in depths):
        raise ValueError(f"depths must be {_N_STAGES} positive integers, got {depths!r}")
    if norm not in _NORMS:
        raise ValueError(f"norm must be one of {', '.join(_NORMS)}, got {norm!r}")
