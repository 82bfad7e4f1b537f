"""Display names of backbones, variants and ablations, captions of figures, and sections of the report."""

__all__ = ["FIGURES", "SECTIONS", "ablation_words", "backbone_words", "variant_words", "weights_words"]

_BACKBONES = {"unet": "U-Net", "swin": "Swin", "srgan": "SRGAN", "capsule": "capsule", "diffusion": "diffusion"}
_VARIANTS = {"conventional": "conventional", "gradient": "gradient", "gradient+redshift": "gradient + redshift",
             "gradient+spectrum": "gradient + spectrum"}
_WEIGHTS = {"full": "flow", "no-flow": "Student's t", "gaussian": "Gaussian", "unweighted": "none"}
_ABLATIONS = {
    "full": "full objective", "pixel": "pixel objective, same network", "conventional": "conventional translator",
    "unweighted": "no weights", "no-flow": "no flow", "single-scale": "a single scale",
    "no-residual-path": "no residual path", "no-photometry-head": "no photometry head",
    "no-apertures": "no aperture term", "no-pixels": "no pixel term",
    "gaussian": "Gaussian weights", "log-pixels": "log pixels, no gradients", "passband-only": "passband only",
    "spatial-only": "x and y only", "bare": "no head, no pixels",
    "bare-no-flow": "no head, no pixels, no flow", "bare-gaussian": "no head, no pixels, Gaussian",
    "nothing-else": "gradients alone",
}

# Caption and alternative text
FIGURES = {
    "headline": (
        "Redshift error (NMAD) of an estimator trained on real target images (transfer) and of one trained on "
        "translated images (retrained), for each backbone and objective. Lines: the same estimators on real images. "
        "Bars are 95 % intervals; those of two translators may overlap although their paired difference is "
        "significant.",
        "Dots with intervals of the redshift error NMAD by backbone and objective, a panel for each sample and "
        "estimator, with vertical lines for real input and real target images."),
    "gains": (
        "Our best translator, with the image alone and with a redshift or a spectrum, against the conventional "
        "translator of each backbone. Above: preservation gain, the fraction of the lost redshift information that is "
        "recovered; dotted lines are the goals of 40 and 80 %. Below: reduction of the NMAD.",
        "Dots with intervals of preservation gain and reduction against each conventional translator, by sample."),
    "learning_curve": (
        "NMAD of the U-Net against the number of optimizer steps.",
        "Lines of NMAD against optimizer steps for the conventional and the gradient objective, a panel for each "
        "sample."),
    "scarcity": (
        "NMAD of the U-Net against the number of training pairs, for the same number of steps.",
        "Lines of NMAD against training pairs for the conventional and the gradient objective, a panel for each "
        "sample."),
    "ablation": (
        "Change of the NMAD when a part of the gradient objective or its network is left out or replaced. "
        "Black lines are 95 % intervals over galaxies, for one seed.",
        "Bars of the relative change of NMAD for each part that is left out, a panel for each sample."),
    "color_gradients": (
        "Scatter of the slope of color with log10 radius against the truth. A line joins the conventional and "
        "the gradient translator of a backbone; on the logarithmic axis equal factors are equal lengths.",
        "Pairs of dots, conventional and gradient, of the slope error by color and backbone, a panel for each "
        "sample."),
    "peaks": (
        "Scatter of the peak flux and of its colors against the truth, as in the figure of the color gradients.",
        "Pairs of dots, conventional and gradient, of the errors of peak flux by band and of peak color by "
        "color."),
}
# Identifier, title, figures and tables
SECTIONS = (
    ("targets", "Goals", (), ("targets",)),
    ("headline", "Redshifts", ("headline", "gains"), ("headline", "gains", "best", "limits")),
    ("objective", "The objective alone", (), ("objective",)),
    ("weights", "Weights", (), ("weights",)),
    ("ablation", "Effect of each part", ("ablation",), ("ablation",)),
    ("learning-curve", "Longer training", ("learning_curve",), ("learning_curve",)),
    ("scarcity", "Fewer pairs", ("scarcity",), ("scarcity",)),
    ("color-gradients", "Colors and color gradients", ("color_gradients",), ("colors", "color_gradients")),
    ("peaks", "Apertures and peaks", ("peaks",), ("apertures", "peaks")),
    ("morphology", "Morphology", (), ("morphology",)),
    ("cost", "Cost", (), ("cost",)),
)


def backbone_words(name):
    return _BACKBONES.get(name, name)


def variant_words(name):
    return _VARIANTS.get(name, name)


def ablation_words(name):
    return _ABLATIONS.get(name, name.replace("-", " "))


def weights_words(name):
    return _WEIGHTS.get(name) or ablation_words("pixel" if name.startswith("pixel") else name)
