"""Measure parameters, speed and memory of each backbone, and the overhead over the bare network.

    python benchmarks/backbones.py --threads 2 --out backbones.ecsv
    python benchmarks/backbones.py --bare --threads 2 --out bare.ecsv

Training is the second epoch of `astro_galtrans.training.fit` with the backbone's conventional objective and with
"gradient", data loading included; translation is `translate_array`, with the default number of steps for a diffusion.
Every row is measured in its own process; the peak memory is that of the training minus that before it.

With ``--bare``, the Swin and diffusion networks of MONAI are called on tensors of the same shape, alternating with the
network of the package that wraps them.
"""

import argparse
import json
import logging
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from astropy.table import Table

from training_rate import machine, make_pairs, synchronize

from astro_galtrans.backbones import available_backbones
from astro_galtrans.backbones.blocks import pad_to_multiple
from astro_galtrans.training import TrainConfig, fit

log = logging.getLogger("backbones")


def peak_memory(device):
    """Return the peak memory in MiB, of the GPU or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(backbone, size, options):
    """Return a row, a dict of numbers."""
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    pairs = make_pairs(options.batch_size * options.steps, options.size)
    warnings.filterwarnings("ignore", message="mode collapse")
    row, before = {"backbone": backbone, "size": size}, peak_memory(device)
    for objective in ("conventional", "gradient"):
        with_critic = backbone == "srgan" and objective == "conventional"
        config = TrainConfig(backbone=backbone, size=size, objective=objective, epochs=2, learning_rate=1e-4,
                             batch_size=options.batch_size, precision=options.precision,
                             objective_options={"warm_up": 0.0} if with_critic else {})
        result = fit(pairs, config, device=options.device)
        row[f"train_{objective}"] = len(pairs) / result.history["seconds"][-1]
        if objective == "conventional":
            row["conventional"] = config.objective
            row["parameters"] = sum(parameter.numel() for parameter in result.translator.network.parameters())
            row["peak_memory"] = peak_memory(device) - before
            row["translate"] = translation_rate(result.translator.to(device), pairs, options)
    return row


def translation_rate(translator, pairs, options):
    flux = pairs.input_flux[:options.batch_size]
    translator.translate_array(flux)
    rates = []
    for _ in range(options.turns):
        synchronize(translator.device)
        start = time.perf_counter()
        translator.translate_array(flux)
        synchronize(translator.device)
        rates.append(len(flux) / (time.perf_counter() - start))
    return float(np.median(rates))


def bare_network(network, planes, target, noisy):
    """Return a function that calls the MONAI network in a TranslationNetwork on tensors of the right shape."""
    backbone = network.backbone
    if network.config.backbone == "swin":
        from monai.networks.nets.swin_unetr import SwinUNETR

        whole = SwinUNETR(**backbone.monai_options)
        x, _ = pad_to_multiple(planes, backbone.multiple, backbone.smallest)
        whole = whole.to(planes.device, memory_format=torch.channels_last)
        return lambda: whole(x)
    n_channels = backbone.unet.conv_in.conv.in_channels
    x, _ = pad_to_multiple(target[:, :1].expand(-1, n_channels, -1, -1).contiguous(), backbone.multiple)
    return lambda: backbone.unet(x, noisy.time)


def compare(backbone, size, options):
    """Return rows with the seconds of the bare network and of ours, forward and with gradient."""
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    pairs = make_pairs(options.batch_size, options.size)
    with torch.random.fork_rng(devices=[]):
        # A learning rate of 0 keeps the weights.
        config = TrainConfig(backbone=backbone, size=size, epochs=1, learning_rate=0.0)
        network = fit(pairs, config, device="cpu").translator.network.train().requires_grad_(True).to(device)
        flux, target = (torch.from_numpy(getattr(pairs, name)).to(device) for name in ("input_flux", "target_flux"))
        noisy = network.draw_noisy(flux, target, torch.Generator().manual_seed(1)) if network.generative else None
        planes = torch.asinh(flux / (2 * network.input_noise)).contiguous(memory_format=torch.channels_last)
        bare = bare_network(network, planes, target, noisy)

    def ours():
        return network(flux, target.shape[-2:], None, noisy).value

    rows = []
    for way in ("forward", "forward and backward"):
        calls = [bare, ours] if way == "forward" else [lambda call=call: call().square().mean().backward()
                                                       for call in (bare, ours)]
        with torch.set_grad_enabled(way != "forward"):
            seconds = np.array([[timed(call, device) for call in calls] for _ in range(options.turns + 1)])[1:]
        rows.append({"backbone": backbone, "size": size, "way": way,
                     "bare_galaxies_per_second": options.batch_size / np.median(seconds[:, 0]),
                     "galaxies_per_second": options.batch_size / np.median(seconds[:, 1]),
                     "cost_beside_bare": float(np.median(seconds[:, 1] / seconds[:, 0]))})
    return rows


def timed(call, device):
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def alone(arguments, backbone, size):
    """Return the rows of one backbone, measured in a new process."""
    command = [sys.executable, __file__, *arguments, "--one", backbone, size]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=available_backbones())
    parser.add_argument("--sizes", nargs="+", default=["tiny"], help="named sizes of the backbones")
    parser.add_argument("--size", type=int, default=64, help="side of the input stamps")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4, help="steps per epoch")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--precision", default="32", choices=["32", "bf16"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bare", action="store_true", help="compare with the bare networks of MONAI")
    parser.add_argument("--out", help="ECSV file for the table")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.one:
        run = compare if options.bare else measure
        print(json.dumps(run(*options.one, options)))
        return
    names = [name for name in options.backbones if not options.bare or name in ("swin", "diffusion")]
    found = [alone(sys.argv[1:], name, size) for size in options.sizes for name in names]
    table = Table(rows=[row for rows in found for row in rows] if options.bare else found)
    device = torch.device(options.device)
    table.meta = {"device": str(device), "machine": machine(device), "threads": options.threads,
                  "torch": str(torch.__version__), "size": options.size, "batch_size": options.batch_size,
                  "precision": options.precision}
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".2f" if name == "cost_beside_bare" else ".3g"
    log.info("%s\n%s", table.meta, "\n".join(table.pformat(max_width=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
