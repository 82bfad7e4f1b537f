"""What a notebook shows of a translator."""

from typing import Any

from astro_galtrans._utils import html

__all__ = ["translator_html"]


def translator_html(translator: Any) -> str:
    """Surveys, network, what it is given, training and card."""
    told, rows = translator.provenance, []
    for side, survey in (("input", translator.input_survey), ("target", translator.target_survey)):
        shape = told.get(f"{side}_shape")
        size = "" if not shape else f", trained on {shape[-2]} x {shape[-1]} pixels"
        rows.append((side, f"{survey.name} {','.join(survey.band_names)}, {survey.unit}, "
                     f"{survey.pixel_scale.to_value('arcsec'):.4g} arcsec{size}"))
    n_weights = sum(weight.numel() for weight in translator.network.parameters())
    rows.append(("network", f"{translator.network.config.backbone}, {n_weights:,} weights, trained with the "
                 f"objective {translator.objective_name}"))
    given = "the image alone"
    if translator.conditioning:
        rest = "" if translator.takes_unknown else ", of each galaxy"
        given = f"the image and the {translator.conditioning}{rest}"
    rows.append(("is given", given))
    if told.get("n_pairs"):
        epochs = told.get("config", {}).get("epochs")
        rows.append(("trained on", f"{told['n_pairs']:,} pairs, {epochs} epochs, seed {told.get('seed')}"))
    rows.append(("hash", translator.hash[:16]))
    card = "" if translator.card is None else translator.card.strip()
    text = html.details(card.splitlines()[0], card) if card else ""
    return html.heading("Translator", translator.name) + html.table(rows) + text
