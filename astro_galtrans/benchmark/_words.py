"""What backbones, variants and ablations are called where people read of them."""

__all__ = ["ablation_words", "backbone_words", "variant_words"]

_BACKBONES = {"unet": "U-Net", "swin": "Swin", "srgan": "SRGAN", "capsule": "capsule", "diffusion": "diffusion"}
_VARIANTS = {"conventional": "conventional", "gradient": "gradient", "gradient+redshift": "gradient + redshift",
             "gradient+spectrum": "gradient + spectrum"}
_ABLATIONS = {
    "full": "everything", "pixel": "pixel objective, same network", "conventional": "conventional translator",
    "unweighted": "no weights", "no-flow": "no flow", "single-scale": "a single scale",
    "no-residual-path": "no residual path", "no-photometry-head": "no photometry head",
    "gaussian": "Gaussian weights", "log-pixels": "log pixels, no gradients", "passband-only": "passband only",
    "spatial-only": "x and y only",
}


def backbone_words(name):
    return _BACKBONES.get(name, name)


def variant_words(name):
    return _VARIANTS.get(name, name)


def ablation_words(name):
    return _ABLATIONS.get(name, name.replace("-", " "))
