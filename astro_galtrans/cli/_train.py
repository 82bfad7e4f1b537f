"""Subcommand ``train``."""

import argparse
import json

from astro_galtrans.cli._common import (
    Result, add_device, add_direction, add_overwrite, add_seed, check_output, device_named, directed, load_one,
)

__all__ = ["add_reproduce", "add_train", "reproduce", "train"]


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
    group.add_argument("--centered", action=argparse.BooleanOptionalAction, help="whether these apertures follow the "
                       "measured center of the galaxy and leave out its neighbors (default: if there is that head)")
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
    pairs = directed(PairSet.open(options.pairs), options.direction)
    try:
        result = fit(pairs, config, validation=options.validation_fraction or None, directory=options.checkpoint,
                     resume=options.resume, device=device_named(options.device), progress=not options.quiet)
    except KeyboardInterrupt as error:
        reason, _, resumable = str(error).partition(";")
        hint = "the same command with --resume resumes it" if resumable else "nothing was written"
        if not options.checkpoint:
            hint += ", since there is no --checkpoint"
        raise KeyboardInterrupt(f"{reason or 'training stopped'}; {hint}") from error
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
    names = ("size", "residual", "photometry", "centered", "condition_dropout", "condition_scatter", "input_dropout",
             "observing", "observing_dropout", "batch_size", "learning_rate", "precision", "patience")
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


def add_reproduce(parser):
    """Add the arguments of the subcommand."""
    parser.add_argument("translator", metavar="TRANSLATOR", help="translator that train made, as t.asdf")
    parser.add_argument("pairs", metavar="PAIRS", help="set of pairs that it was trained on, as pairs.zarr")
    parser.add_argument("--validation", metavar="PAIRS",
                        help="set of validation pairs, where fit received them apart (default: split off as in train)")
    add_direction(parser, "train")
    add_device(parser)


def reproduce(options):
    """Run the subcommand."""
    translator = load_one(options.translator, "Translator")
    from astro_galtrans.pairs import PairSet
    from astro_galtrans.training import reproduce as train_again

    pairs, validation = (None if path is None else directed(PairSet.open(path), options.direction)
                         for path in (options.pairs, options.validation))
    found = train_again(translator, pairs, validation=validation, device=device_named(options.device),
                        progress=not options.quiet)
    if found.identical:
        lines = [f"{options.translator}: identical, all {found.n_weights:,} weights are bitwise the same"]
    else:
        lines = [f"{options.translator}: different, {found.n_different:,} of {found.n_weights:,} weights differ, "
                 f"by {found.largest_difference:.3g} at most"]
    lines += [f"{name}: {'unknown' if before is None else before} in the file, {now} here"
              for name, (before, now) in found.changes.items()]
    return Result(lines, {
        "translator": options.translator, "identical": found.identical, "n_weights": found.n_weights,
        "n_different": found.n_different, "largest_difference": found.largest_difference, "changes": found.changes})
