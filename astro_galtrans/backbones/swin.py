"""The Swin Transformer: an encoder-decoder whose encoder attends within shifted windows."""

from numbers import Integral

from astro_galtrans.backbones.blocks import ConditionPlanes, Painter, import_monai, pad_to_multiple
from astro_galtrans.backbones.contract import Backbone, Features, register_backbone

__all__ = ["Swin"]

# Of the encoder, as MONAI has it; each halves the grid, and the patches of 2 x 2 pixels have halved it before.
_N_STAGES = 4
_NORMS = {"group": ("group", {"num_groups": 4}), "instance": "instance", "none": ""}


@register_backbone("swin")
class Swin(Backbone):
    """MONAI's SwinUNETR (Hatamizadeh et al. 2022, arXiv:2201.01266) on the input grid, painted on the target grid.

    Patches of 2 x 2 pixels pass four stages of a Swin Transformer (Liu et al. 2021, arXiv:2103.14030): attention
    within windows of patches, which every second block shifts by half a window. What each stage gives is joined on
    the way back to the pixels, by convolutions, as in a U-Net. Images are padded by their rim to a multiple of 32
    pixels and to 16 windows at least: in stages that are smaller than a window MONAI would look up the relative
    position of two patches at a wrong place.

    Parameters
    ----------
    n_planes, n_hints, n_condition, step
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
        Normalisation of the convolutions: by 4 groups of channels, by channel, or none; see the page on this
        backbone for what each leaves of the flux.
    n_features : int, optional
        Channels of the feature maps on the target grid.
    """

    multiple = 2 ** (_N_STAGES + 1)
    """What MONAI asks that rows and columns are a multiple of."""
    sizes = {
        "tiny": {"feature_size": 12, "depths": [2, 2, 2, 2], "n_heads": 1, "window": 4, "n_features": 8},
        "base": {"feature_size": 72, "depths": [2, 2, 6, 2], "n_heads": 3, "window": 4, "n_features": 8},
    }

    def __init__(self, n_planes, n_hints, n_condition=0, *, step, feature_size=12, depths=(2, 2, 2, 2), n_heads=1,
                 window=4, norm="group", n_features=8):
        super().__init__()
        _check(feature_size, depths, n_heads, window, norm, n_features)
        self.step, self.n_features, self.n_embedding = step, n_features, 2**_N_STAGES * feature_size
        self.condition = ConditionPlanes(n_condition)
        # No dropout and no stochastic depth: training and evaluation agree.
        self.monai_options = {
            "in_channels": n_planes + self.condition.n_planes, "out_channels": n_hints, "spatial_dims": 2,
            "feature_size": feature_size, "depths": tuple(depths), "window_size": window, "norm_name": _NORMS[norm],
            "num_heads": tuple(n_heads * 2**stage for stage in range(_N_STAGES)),
        }
        self.unetr = import_monai("monai.networks.nets.swin_unetr", "swin").SwinUNETR(**self.monai_options)
        del self.unetr.out
        # By channel there is nothing to normalise where the coarsest level is a single place.
        self.smallest = max(self.multiple // 2 * window, 2 * self.multiple if norm == "instance" else 0)
        self.painter = Painter(feature_size, n_features, n_hints, n_condition)

    def forward(self, planes, hints, size, condition=None):
        """Feature maps on the target grid; see `Backbone`."""
        # Padded first: on CUDA the padding has no reproducible gradient, and the planes of the condition need one.
        planes, inside = pad_to_multiple(planes, self.multiple, self.smallest)
        maps, deepest = self.encode_decode(self.condition(planes, condition))
        return Features(self.painter(maps[inside], hints, size, self.step, condition), deepest.mean((-2, -1)))

    def encode_decode(self, x):
        """MONAI's forward without its last layer, and the deepest maps of the encoder beside.

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
    """A ValueError for options that give no network."""
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
