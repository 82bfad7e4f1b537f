"""Measure galaxies per second through `translate_array`, as BandCubes, and through the bare network.

    python benchmarks/translation_rate.py --threads 2 --galaxies 64 --out translation_rate.ecsv

The bare network receives tensors, in batches of the same size as the entry point that it is compared with. Entry points
alternate, and the table has the median over the turns, so that other load on the machine affects all of them.
"""

import argparse
import logging
import time

import numpy as np
import torch
from astropy.nddata import StdDevUncertainty
from astropy.table import Table
from astropy.wcs import WCS

from training_rate import machine

from astro_galtrans.images import BandCube
from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import get_survey, matching_size
from astro_galtrans.training import TrainConfig, fit

log = logging.getLogger("translation_rate")
# Galaxies per forward pass when a translator receives a list of images.
LIST_BATCH = 16


def make_translator(size, widths):
    """Return an untrained translator with the default network."""
    side = matching_size(size, *(get_survey(name).pixel_scale for name in ("SDSS", "CFHTLS")))
    pairs = PairSet.from_arrays(np.ones((2, 5, size, size)), np.ones((2, 5, side, side)), input_survey="SDSS",
                                target_survey="CFHTLS")
    options = {"widths": widths} if widths else {}
    return fit(pairs, TrainConfig(epochs=1, learning_rate=0.0, backbone_options=options), device="cpu").translator


def make_cubes(flux):
    """Return cubes with WCS, mask, uncertainty and meta."""
    noise = get_survey("SDSS").sky_noise[:, None, None]
    cubes = []
    for row, data in enumerate(flux):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
        wcs.wcs.crval = 150 + row / 100, 2
        wcs.wcs.crpix = [(data.shape[-1] + 1) / 2] * 2
        wcs.wcs.cdelt = -0.396 / 3600, 0.396 / 3600
        uncertainty = StdDevUncertainty(np.broadcast_to(noise, data.shape).astype(np.float32))
        cubes.append(BandCube(data, unit="nmgy", wcs=wcs, bands="ugriz", survey="SDSS", uncertainty=uncertainty,
                              mask=np.zeros(data.shape, bool), meta={"id": row}))
    return cubes


def bare(translator, tensor, batch_size, size):
    with torch.inference_mode():
        for start in range(0, len(tensor), batch_size):
            translator.network(tensor[start:start + batch_size], size)


def timed(call, device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, help="side of the input stamps")
    parser.add_argument("--batch-size", type=int, default=16, help="at most 16 on a CPU")
    parser.add_argument("--widths", type=int, nargs="+", help="widths of the U-Net")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", help="ECSV file for the table")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    translator = make_translator(options.size, options.widths).to(device)
    noise = get_survey("SDSS").sky_noise[:, None, None]
    flux = np.random.default_rng(1).normal(0, noise, (options.galaxies, 5, options.size, options.size))
    flux = flux.astype(np.float32)
    tensor, cubes, size = torch.from_numpy(flux).to(device), make_cubes(flux), translator.target_size(flux.shape[2:])
    entry_points = {
        "translate_array": (
            lambda: translator.translate_array(flux, batch_size=options.batch_size),
            lambda: bare(translator, tensor, options.batch_size, size)),
        "BandCube, list": (lambda: translator(cubes), lambda: bare(translator, tensor, LIST_BATCH, size)),
        "BandCube, one by one": (
            lambda: [translator(cube) for cube in cubes], lambda: bare(translator, tensor, 1, size)),
    }
    rows = []
    for name, (translate, network) in entry_points.items():
        translate(), network()
        turns = [(timed(translate, device), timed(network, device)) for _ in range(options.turns)]
        through, alone = np.median(turns, axis=0)
        share = np.median([alone / through for through, alone in turns])
        rows.append((name, len(flux) / through, len(flux) / alone, share))
    names = "entry_point", "galaxies_per_second", "bare_galaxies_per_second", "share_of_bare"
    table = Table(rows=rows, names=names)
    table.meta = {"device": str(device), "machine": machine(device), "threads": options.threads,
                  "torch": str(torch.__version__), "galaxies": options.galaxies, "size": options.size}
    for name in names[1:]:
        table[name].info.format = ".2f"
    log.info("%s\n%s", table.meta, "\n".join(table.pformat(max_width=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
