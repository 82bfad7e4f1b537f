"""Choosing a few test galaxies, and their images for the figures."""

import numpy as np

from astro_galtrans.evaluation._given import conditions
from astro_galtrans.evaluation._run import translate

__all__ = ["samples", "spread_rows"]


def spread_rows(measured, survey, n):
    """Rows of at most ``n`` galaxies, evenly spread in rank of red flux from bright to faint.

    They are chosen before anything is known of how well they are translated.
    """
    flux = np.nan_to_num(measured.values["reference", "aperture"][:, len(survey) // 2, -1])
    order = np.argsort(-flux, kind="stable")
    n = min(n, len(order))
    return order[np.round(np.linspace(0.02, 0.98, n) * (len(order) - 1)).astype(int)]


def samples(translators, test, rows, draws, device):
    """Images of some galaxies, real and translated, a dict."""
    batch = test.read(np.asarray(rows, dtype=int))
    shown = {**batch, "rows": rows, "input_survey": test.input_survey, "target_survey": test.target_survey,
             "translated": {}, "weights": {}}
    for name, translator in translators.items() if len(rows) else ():
        shown["translated"][name] = np.asarray(translate(translator, batch, draws, 0, device=device)[0])
        if hasattr(translator, "gradient_weights"):
            weights = _flow_weights(translator, batch)
            if weights:
                shown["weights"][name] = weights
    return shown


def _flow_weights(translator, batch):
    """Weights of the gradient elements, or None for a translator whose objective has none."""
    try:
        weights = translator.gradient_weights(batch["input_flux"], batch["target_flux"],
                                              **conditions(translator, batch))
    except (NotImplementedError, ValueError):
        return None
    return None if not weights else {kind: np.asarray(value) for kind, value in weights.items()}
