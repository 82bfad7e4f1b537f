"""Subcommand ``train``."""

import argparse
import json

from astro_galtrans.cli._common import (
    Result, add_device, add_direction, add_overwrite, add_seed, check_output, device_named, directed,
)

__all__ = ["add_train", "train"]


def add_train(parser):
    """Add the arguments of the subcommand."""
    parser.add_argument("pairs", metavar="PAIRS", help="set of pairs, as pairs.zarr")
    parser.add_argument("--out", required=True, metavar="FILE", help="translator to write, as t.asdf")
    _add_network(parser.add_argument_group("the network"))
    _add_course(parser.add_argument_group("the training"))
    add_device(parser)
    add_overwrite(parser)


def _add_network(group):
    # Names are checked by TrainConfig: the registries that know them all are in packages that are slow to import.
    group.add_argument("--backbone", default="unet", metavar="NAME",
                       help="unet, swin, srgan, capsule or diffusion (default: %(default)s)")
    group.add_argument("--backbone-size", "--size", dest="size", metavar="NAME",
                       help="tiny for a CPU, base for a GPU, ... (default: as the backbone has it)")
    group.add_argument("--backbone-option", "--option", dest="option", action="append", metavar="NAME=VALUE",
                       help="instead of that of the size; VALUE is JSON or else text, as widths=[16,32]; may be "
                       "given several times")
    group.add_argument("--residual", action=argparse.BooleanOptionalAction,
                       help="whether the network adds to the resampled input (default: that of the objective)")
    group.add_argument("--photometry", action=argparse.BooleanOptionalAction, help="whether a head predicts fluxes in "
                       "apertures, to which the image is adjusted (default: that of the objective)")
    group.add_argument("--conditioning", choices=("none", "redshift", "spectrum"), default="none",
                       help="input of the translator beside the image (default: %(default)s)")
    group.add_argument("--condition-dropout", type=float, metavar="SHARE", help="share of the galaxies whose redshift "
                       "or spectrum is hidden in each step, so that both may be unknown later (default: 0.1)")
    group.add_argument("--condition-scatter", type=float, metavar="SHARE", help="share of the redshifts that are "
                       "scattered in each step by an error that the network knows (default: 0.1)")
    group.add_argument("--input-dropout", type=float, metavar="SHARE", help="share of the galaxies that lose bands "
                       "or regions of the input in each step, so that these may be missing later (default: 0)")
    group.add_argument("--observing", action=argparse.BooleanOptionalAction, help="whether the translator takes PSF "
                       "and noise of the input and the PSF of the target (default: what varies among the pairs)")
    group.add_argument("--observing-dropout", type=float, metavar="SHARE", help="share of the galaxies for which each "
                       "of these is hidden in each step, so that it may be unknown later (default: 0.1)")
    add_direction(group, "train")


def _add_course(group):
    group.add_argument("--objective", default="gradient", metavar="NAME",
                       help="pixel, adversarial, denoising, gradient, gradient-unweighted, or conventional: the one "
                       "of the literature of the backbone (default: %(default)s)")
    group.add_argument("--objective-option", action="append", metavar="NAME=VALUE",
                       help="option of the objective, as --backbone-option")
    group.add_argument("--epochs", type=int, default=10, metavar="N",
                       help="passes over the pairs (default: %(default)s)")
    add_seed(group, "all random numbers")
    group.add_argument("--validation-fraction", type=float, default=0.1, metavar="SHARE",
                       help="share of the pairs that chooses the best epoch; 0 for none (default: %(default)s)")
    group.add_argument("--batch-size", type=int, metavar="N", help="galaxies per step (default: 32)")
    group.add_argument("--learning-rate", type=float, metavar="RATE",
                       help="largest of the schedule (default: 0.002)")
    group.add_argument("--precision", metavar="BITS", help="32, bf16 or 16 (default: 32)")
    group.add_argument("--patience", type=int, metavar="N", help="stop after so many epochs without improvement")
    group.add_argument("--checkpoint", metavar="DIR", help="folder for a checkpoint after each epoch")
    group.add_argument("--resume", action="store_true", help="resume from the checkpoint, if there is one")


def train(options):
    """Run the subcommand."""
    check_output(options.out, options.overwrite)
    if not 0 <= options.validation_fraction < 1:
        raise ValueError(f"--validation-fraction must be at least 0 and below 1, got {options.validation_fraction}")
    if options.resume and options.checkpoint is None:
        raise ValueError("--resume needs --checkpoint, the folder where the checkpoint is")
    settings = _settings(options)
    from astro_galtrans.pairs import PairSet
    from astro_galtrans.storage import save
    from astro_galtrans.training import TrainConfig, fit

    config = TrainConfig(**settings)
    pairs, validation = directed(PairSet.open(options.pairs), options.direction), None
    if options.validation_fraction > 0:
        share = options.validation_fraction
        pairs, validation = pairs.split((1 - share, share), seed=options.seed)
    try:
        result = fit(pairs, config, validation=validation, directory=options.checkpoint, resume=options.resume,
                     device=device_named(options.device), progress=not options.quiet)
    except KeyboardInterrupt as error:
        hint = "the same command with --resume resumes it" if options.checkpoint else "nothing was written"
        raise KeyboardInterrupt(f"{str(error).partition(';')[0] or 'training stopped'}; {hint}") from error
    save(options.out, result.translator, overwrite=options.overwrite)
    translator, best = result.translator, result.best_epoch + 1
    return Result([f"{options.out}: {translator}, best epoch {best} of {len(result.history)}"], {
        "translator": options.out, "name": translator.name, "hash": translator.hash, "best_epoch": best,
        "history": result.history})


def _settings(options):
    """Fields of `TrainConfig`; those without an option keep their default."""
    if options.condition_dropout is not None and options.conditioning == "none":
        raise ValueError("--condition-dropout goes with --conditioning redshift or spectrum")
    if options.condition_scatter is not None and options.conditioning != "redshift":
        raise ValueError("--condition-scatter goes with --conditioning redshift")
    names = ("size", "residual", "photometry", "condition_dropout", "condition_scatter", "input_dropout", "observing",
             "observing_dropout", "batch_size", "learning_rate", "precision", "patience")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return {
        "backbone": options.backbone, "objective": options.objective, "epochs": options.epochs, "seed": options.seed,
        "conditioning": None if options.conditioning == "none" else options.conditioning,
        "backbone_options": _named_values("--backbone-option", options.option),
        "objective_options": _named_values("--objective-option", options.objective_option), **given}


def _named_values(argument, texts):
    """``["a=1", "b=x"]`` as ``{"a": 1, "b": "x"}``."""
    values = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ValueError(f"{argument} must be NAME=VALUE, got {text!r}")
        if name in values:
            raise ValueError(f"{argument} {name} is given twice")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values
