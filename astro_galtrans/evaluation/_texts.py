"""Texts of the report on its sections, figures and tables."""

__all__ = ["COLUMNS", "FIGURES", "SECTIONS", "TABLES"]

SECTIONS = (
    {"id": "galaxies", "title": "Example galaxies", "figures": ("gallery",), "tables": (),
     "text": "Each row is one {real} test galaxy that no network has seen. All images of a row share one brightness "
             "scale. The galaxies are spread evenly from bright to faint; the selection does not depend on how well "
             "they were translated."},
    {"id": "redshift", "title": "Is the redshift still in the image?", "figures": ("redshift", "redshift_scatter"),
     "tables": ("redshift", "gains"),
     "text": "The colors of a galaxy constrain its redshift. If a translation blurs or invents colors, a redshift read "
             "from the translated image gets worse. A neural network, the estimator, reads redshifts from the images, "
             "and its error measures what the translation has preserved."},
    {"id": "colors", "title": "Are the colors right?", "figures": ("color_errors",), "tables": ("colors",),
     "text": "The color of each translated galaxy within a circular aperture, compared with that of the {reference}. "
             "The row of the {real} input has the colors of the {input} images: they are noisier and measured through "
             "slightly different filters, so part of their error is an offset that a translation should remove."},
    {"id": "gradients", "title": "Are the color gradients right?", "figures": (
        "color_gradients", "color_gradients_by_type", "slopes_by_type"),
     "tables": ("color_gradients", "color_gradients_by_type"),
     "text": "Most galaxies are redder in the middle than outside. The color is measured in rings around the center, "
             "and the slope of the color with the logarithm of the radius is compared with that of the {reference}. "
             "Where the catalog has it, early types, with more than half of their flux in a bulge, and late types are "
             "shown separately."},
    {"id": "morphology", "title": "Are sizes and shapes right?", "figures": ("morphology",), "tables": ("morphology",),
     "text": "The radius with half of the flux, the concentration, the asymmetry and the Sérsic index, measured by "
             "statmorph on {n_morphology} galaxies. Every image of a galaxy is measured about the center, and with the "
             "segmentation, of the {reference}."},
    {"id": "weights", "title": "Which pixels the training used most", "figures": ("weights",), "tables": (),
     "text": "The gradient objective compares log-flux gradients between neighboring pixels (x, y) and neighboring "
             "bands. A normalizing flow learns how well each gradient can be predicted, and weights it accordingly."},
    {"id": "pixels", "title": "Pixels, apertures and peaks", "figures": ("peaks",),
     "tables": ("pixels", "apertures", "peaks"),
     "text": "How close the images are, band by band. The resampled input, interpolated to the {target} pixel grid "
             "without any network, is the baseline. The flux of the brightest spot near the center, its peak, and how "
             "it changes from band to band carry much of the redshift information."},
    {"id": "uncertainty", "title": "Is the stated uncertainty right?", "figures": ("uncertainty",),
     "tables": ("uncertainty",),
     "text": "A translator that states an uncertainty for each pixel can be checked: the {real} {target} pixel should "
             "lie within the 68 % interval for 68 % of the pixels, its own noise taken into account."},
    {"id": "training", "title": "How the training went", "figures": ("training",), "tables": (),
     "text": "Losses against the epoch. Different objectives have different units: compare the shapes of the curves, "
             "not their values."},
)

FIGURES = {
    "gallery": {
        "caption": "{Real} galaxies. From left to right: the {input} image that goes in, the images of each "
                   "translator, the {real} {target} image (and the noiseless truth where it is known), and the "
                   "residuals. Red residuals are too bright, blue ones too faint, in units of the noise of one "
                   "{target} pixel; white is perfect. A good translation is as sharp as the {real} target and leaves "
                   "no pattern in the residual.",
        "alt": "Grid of images of {real} galaxies: a row for each galaxy, columns for the {input} input, the "
               "translations, the {real} {target} image and the residuals of each translation."},
    "redshift": {
        "caption": "{Real} galaxies. Above: typical redshift error (NMAD), with {confidence} bootstrap intervals as "
                   "black lines. Below: share of galaxies whose redshift is off by more than 0.05 (1 + z). Shorter "
                   "bars are better. Paler bars are estimators retrained on translated images. {Real} target images "
                   "are the ceiling; {real} input images are the information limit. The intervals of two bars may "
                   "overlap although the paired comparison, in the table below, separates them.",
        "alt": "Horizontal bars of the redshift error NMAD and of the outlier fraction for {real} and translated "
               "images."},
    "redshift_scatter": {
        "caption": "Every dot is a {real} test galaxy: true redshift against the estimate from the image. On the solid "
                   "line they agree; outside the dashed lines a galaxy counts as an outlier (0.05). A narrow cloud "
                   "along the line is good; in a flattened one the estimator falls back on the average.",
        "alt": "Panels of estimated against true redshift for {real} images and each translator, with the line of "
               "equality."},
    "color_errors": {
        "caption": "{Real} galaxies. Above: scatter (NMAD) of the color error over the galaxies with {confidence} "
                   "intervals; lower is better. Below: its median; nearer to zero is better. Compared with the "
                   "{reference}.",
        "alt": "Scatter and median of the color errors by color, for the {real} input and each translator."},
    "color_gradients": {
        "caption": "{Real} galaxies. Error of the color in rings against their radius, a row for each color. Left: "
                   "scatter over the galaxies; right: median. The scale is set by the translations, so the errors of "
                   "the input may leave the panel. Scatter that rises outward is noise; a slope of the median is a "
                   "false color gradient.",
        "alt": "Scatter and median error of ring colors against radius, one row per color, one line per kind of "
               "images."},
    "color_gradients_by_type": {
        "caption": "{Real} galaxies. Median error of the color in rings against their radius, for early types and for "
                   "late types. Their gradients differ; a translator that knows only the average galaxy makes errors "
                   "of opposite sign in the two columns. The errors of the input, whose filters differ, may leave the "
                   "panels.",
        "alt": "Median error of ring colors against radius, one row per color, one column per type of galaxy."},
    "slopes_by_type": {
        "caption": "{Real} galaxies. Scatter (NMAD) of the error of the slope of the color with log10 of the radius, "
                   "with {confidence} intervals, for each type of galaxy; lower is better. Values much worse than the "
                   "translations may leave the panels.",
        "alt": "Scatter of color-gradient errors by color for early and late types, for each kind of images."},
    "peaks": {
        "caption": "{Real} galaxies. Above: scatter (NMAD) of the peak magnitude in each band, and of the difference "
                   "of the peak magnitudes in neighboring bands, with {confidence} intervals; lower is better. Below: "
                   "their medians. The peaks of {input} images, and of translations that blur, are too faint. Values "
                   "much worse than the translations may leave the panels.",
        "alt": "Scatter and median of the errors of peak magnitudes by band and of peak colors, for each kind of "
               "images."},
    "morphology": {
        "caption": "{Real} galaxies. Left: scatter (NMAD) of the error of each measure, with {confidence} intervals; "
                   "right: median error. Nearer to zero is better. The resampled input has the blur of {input} images, "
                   "which makes galaxies larger and less concentrated.{morphology_noise}",
        "alt": "Scatter and median error of half-light radius, concentration, asymmetry and Sersic index, for each "
               "kind of images."},
    "weights": {
        "caption": "{Real} {target} images and the weights of their gradients, averaged over the bands, on a "
                   "logarithmic scale. Bright parts count more than average in training, dark parts less. Where the "
                   "weights follow the galaxy, noise on the empty sky is ignored.",
        "alt": "Galaxies beside maps of the weights that their gradients along x, y and the passbands have in "
               "training."},
    "uncertainty": {
        "caption": "{Real} galaxies. Share of {target} pixels within the stated 68 % (filled) and 95 % (open) "
                   "intervals. On the dashed lines the uncertainty is right; below, it is too small; above, too large. "
                   "Source pixels are those where the translation is above three times the noise.",
        "alt": "Coverage of the 68 and 95 per cent intervals by band, for all pixels and for source pixels."},
    "training": {
        "caption": "Training and validation loss of each translator on {real} galaxies. Curves that still fall at the "
                   "end would gain from a longer training; a validation curve that rises while the training curve "
                   "falls shows overfitting.",
        "alt": "Loss against epoch for each translator."},
}

TABLES = {
    "redshift": "Redshifts read from {real} and translated images; NMAD with {confidence} intervals.",
    "gains": "Each further translator against {first}, over the same galaxies. Reduction is 1 minus the ratio of the "
             "two errors, with {confidence} intervals; it wins where the whole interval is above zero and loses where "
             "it is below.",
    "colors": "Error of the colors within the aperture, against the {reference}; scatter is an NMAD with "
              "{confidence} intervals.",
    "color_gradients": "Error of the slope of color with log10 of the radius, against the {reference}.",
    "color_gradients_by_type": "The same for early types, with more than half of their flux in a bulge, and late "
                               "types.",
    "apertures": "Relative error of the flux in circular apertures against the {reference}, of galaxies whose flux "
                 "there is at least so many times the noise of the {target} image (S/N); scatter is an NMAD with "
                 "{confidence} intervals. Fluxes of the {real} input are through its own filters.",
    "peaks": "Error of the peak magnitude in each band, and of the color of the peaks, against the {reference}; "
             "scatter is an NMAD with {confidence} intervals.",
    "morphology": "Error of sizes and shapes against the {reference}, relative to its value or as a difference; "
                  "scatter is an NMAD with {confidence} intervals.",
    "pixels": "Per band, medians over the galaxies. Relative residual: sum of the error over sum of the flux. Relative "
              "rmse: root of the sum of squared errors over that of squared fluxes. Chi2: mean squared error over the "
              "noise variance of the {real} target (1 is as good as a noiseless truth). Bias is a median and scatter "
              "an NMAD over galaxies.",
    "uncertainty": "Coverage of the stated uncertainties; the pull is the error over its stated standard deviation.",
}

# Label and format of the columns.
COLUMNS = {
    "images": ("images, estimator", ""), "nmad": ("NMAD", ".4f"), "bias_mean": ("bias (mean)", "+.4f"),
    "bias_median": ("bias (median)", "+.4f"), "outlier_005": ("outliers > 0.05", ".1%"),
    "outlier_015": ("outliers > 0.15", ".1%"), "n": ("galaxies", "d"), "n_left_out": ("left out", "d"),
    "image": ("images", ""), "color": ("color", ""), "bias": ("median error", "+.3f"), "scatter": ("scatter", ".3f"),
    "radius": ("radius", ".1f"), "slope_bias": ("median slope error", "+.3f"),
    "slope_scatter": ("scatter of slope error", ".3f"), "relative_residual": ("relative residual", "+.3f"),
    "relative_rmse": ("relative rmse", ".3f"), "chi2": ("chi2 per pixel", ".2f"), "correlation": ("correlation", ".3f"),
    "aperture_bias": ("bias in {}\u2033", "+.3f"), "aperture_scatter": ("scatter in {}\u2033", ".3f"),
    "peak_bias": ("peak bias", "+.3f"), "peak_scatter": ("peak scatter", ".3f"), "measure": ("measure", ""),
    "first_value": ("error of first", ".4f"), "other_value": ("error of other", ".4f"),
    "reduction": ("reduction", ".1%"),
    "preservation_gain": ("preservation gain", ".1%"), "n_pixels": ("pixels", "d"),
    "galaxies": ("type", ""), "what": ("band or color", ""), "snr_min": ("S/N above", "g"), "error": ("error", ""),
    "n_failed": ("not measured", "d"), "coverage_68": ("within 68 %", ".1%"),
    "coverage_95": ("within 95 %", ".1%"), "pull_mean": ("mean pull", "+.2f"), "pull_std": ("std of pull", ".2f"),
}
