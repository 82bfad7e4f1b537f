"""Damage small files in every format of the package, read each, and report all but documented errors.

The script writes its own files (FITS, ASDF, Zarr, YAML, ECSV, Parquet, HDF5, VOTable), changes bytes, cards, numbers
and lengths of copies, and reads each copy in a process with a limit of time and memory. It reports

- an error that the reader does not document, or one that does not name the file;
- a reader that ends its process, or does not end within the limit;
- values that are not finite and not masked.

Run it from the root of the repository::

    python tests/fuzz/files.py                          # 10 minutes
    python tests/fuzz/files.py --minutes 1 --seed 3
    python tests/fuzz/files.py --kinds cube.fits        # some of the files

Each report has the number of the case, which ``--case`` repeats alone. It ends with status 1 if there is any report.
"""

import argparse
import random
import re
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

LIMIT = 30  # seconds of one file
MEMORY = 6 * 2**30
NUMBERS = (b"0", b"-1", b"1", b"3", b"255", b"65536", b"2147483647", b"9999999999", b"-99999999", b"1e308", b"-1e308",
           b"1e-320", b"nan", b"inf", b"true", b"null", b"[]", b"'x'")
CARDS = ("NaN", "1E400", "T", "'text'", "-1", "0", "99999999", "99999999999999999999", "1.5", "", "(1,2)", "'broken",
         "#", "1 2")
BOMB = "&a [1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"bomb{i}: &{new} [{', '.join([f'*{old}'] * 8)}]\n" for i, (old, new) in enumerate(zip("abcdefghi", "bcdefghij")))
SEAL = b"#ASTRO_GALTRANS_SHA256"


def write_files(folder):
    """Write one small file of each kind."""
    import asdf
    import astropy.units as u
    import numpy as np
    from astropy.io import fits
    from astropy.nddata import InverseVariance
    from astropy.table import Table
    from astropy.wcs import WCS

    from astro_galtrans.images import BandCube
    from astro_galtrans.pairs import PairSet
    from astro_galtrans.photoz import RedshiftPDF
    from astro_galtrans.storage import save
    from astro_galtrans.storage.checkpoint import save_state
    from astro_galtrans.surveys import get_survey

    rng = np.random.default_rng(1)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150, 2], [12, 12]
    wcs.wcs.cdelt = [-1.1e-4, 1.1e-4]
    flux = rng.normal(1, 0.1, (5, 24, 24)).astype(np.float32)
    cube = BandCube(flux, unit="nmgy", wcs=wcs, bands="ugriz", survey="SDSS", mask=flux > 1.3,
                    uncertainty=InverseVariance(np.full_like(flux, 100)), psf=np.ones((5, 5, 5)) / 25,
                    meta={"time": 3 * u.s, "name": "galaxy", "list": [1, 2.5, None]})
    cube.write(folder / "cube.fits")
    save(folder / "cube.asdf", cube)
    header = wcs.to_header()
    header.update(FILTER="r", BUNIT="nanomaggy", EXPTIME=50.0, GAIN=4.0, MAGZERO=22.5)
    fits.writeto(folder / "frame.fits", flux[2], header)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(flux[2], header, compression_type="GZIP_1")]).writeto(
        folder / "tiles.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(
        (1000 * flux[2]).astype(np.int32), header, compression_type="RICE_1", tile_shape=(8, 8))]).writeto(
            folder / "rice.fits")
    fits.writeto(folder / "packed.fits.gz", flux[2], header)
    save(folder / "survey.asdf", get_survey("SDSS"))
    get_survey("SDSS").write(folder / "description.asdf")
    get_survey("SDSS").write(folder / "description.yaml")
    grid = np.linspace(0, 1, 11)
    density = np.exp(-((grid - rng.uniform(0, 1, (6, 1))) / 0.2)**2)
    save(folder / "density.asdf", RedshiftPDF(grid, density))
    asdf.AsdfFile({"cube": cube}).write_to(folder / "zlib.asdf", all_array_compression="zlib")
    asdf.AsdfFile({"cube": cube}).write_to(folder / "bzp2.asdf", all_array_compression="bzp2")
    save_state(folder / "last.ckpt", {"epoch": 3, "weights": {"a": flux, "b": [1, (2, 3.5)]}, "name": "run"})
    shipped = Path(__import__("astro_galtrans").__file__).parent / "data" / "sdss-to-cfhtls.asdf"
    shutil.copy(shipped, folder / "translator.asdf")
    table = Table({"z_spec": grid[:6], "pdf": density, "id": [f"galaxy {i}" for i in range(6)]})
    table["z_spec"].unit = u.dimensionless_unscaled
    table["z_spec"].description = "redshift"
    table.meta["redshift_grid"] = grid.tolist()
    table.write(folder / "pdf.ecsv")
    table.write(folder / "pdf.h5", path="pdf", serialize_meta=True)
    table["pdf", "z_spec"].write(folder / "pdf.vot", format="votable")
    flat = Table({"z_spec": grid[:6], **{f"p_{i}": density[:, i] for i in range(11)}})
    flat.write(folder / "pdf.parquet")
    flat.write(folder / "pdf.csv", format="ascii.csv")
    table["pdf", "z_spec"].write(folder / "pdf.fits")
    PairSet.from_arrays(flux[None].repeat(3, 0), np.ones((3, 5, 50, 50)), input_survey="SDSS", target_survey="CFHTLS",
                        redshift=[0.1, 0.2, 0.3]).write(folder / "pairs.zarr")


def read(path, kind):
    """Read a file, and return a word for values that are not finite and not masked, or None."""
    import numpy as np

    from astro_galtrans.images import BandCube, read_cube
    from astro_galtrans.pairs import PairSet
    from astro_galtrans.photoz import read_pdf_table
    from astro_galtrans.storage import load
    from astro_galtrans.storage.checkpoint import load_state
    from astro_galtrans.surveys import Survey

    if kind == "last.ckpt":
        load_state(path)
    elif kind.startswith("description"):
        Survey.read(path)
    elif kind.startswith("pdf"):
        pdf, _ = read_pdf_table(path, grid="0:1:11", **({"pdf": "p_*"} if kind in ("pdf.parquet", "pdf.csv") else {}))
        if not np.isfinite(np.asarray(pdf.density)[np.asarray(pdf.valid)]).all():
            return "density"
    elif kind == "pairs.zarr":
        pairs = PairSet.open(path)
        for start in range(len(pairs)):
            pairs[start]
    elif kind.endswith(".asdf"):
        found = load(path)
        if isinstance(found, BandCube) and kind == "cube.asdf":
            np.asarray(found.data)
    else:
        cube = read_cube(path)
        bad = ~np.isfinite(cube.data) if cube.mask is None else ~np.isfinite(cube.data) & ~cube.mask
        # A cube of this package is returned as it was written.
        if kind != "cube.fits" and bad.any():
            return "flux"
    return None


def answer(path, kind):
    """Return how a reader answers: ``read``, ``refused``, or a report."""
    from astro_galtrans.exceptions import FileFormatError, SurveyError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = read(path, kind)
    except (FileFormatError, SurveyError, FileNotFoundError) as error:
        return "refused" if path.name in str(error) or isinstance(error, SurveyError) else f"unnamed: {error!r}"
    except ValueError as error:
        return "refused" if path.name in str(error) else f"unnamed: {error!r}"
    except Exception as error:
        return f"error: {error!r}"
    return "read" if wrong is None else f"not finite: {wrong}"


def work():
    """Answer for each line of the standard input, a kind and a path."""
    import astro_galtrans.photoz  # noqa: F401 - before the limit
    import astro_galtrans.translation  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out = sys.stdout
    sys.stdout = sys.stderr
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        kind, path = line.rstrip("\n").split("\t")
        print(" ".join(answer(Path(path), kind).split())[:400], file=out, flush=True)


class Reader:
    """A process that reads files, started anew when it ends or is too slow."""

    def __init__(self):
        self.process = None

    def start(self):
        self.process = subprocess.Popen([sys.executable, __file__, "--worker"], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process.stdout.readline()

    def ask(self, path, kind, limit=LIMIT):
        if self.process is None:
            self.start()
        self.process.stdin.write(f"{kind}\t{path}\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        line = self.process.stdout.readline().strip() if ready else ""
        if not line:
            self.stop()
        return line or (f"ended its process: {self.status}" if ready else f"no answer in {limit} s")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.status = self.process.wait()
            self.process = None


def damaged(content, kind, rng):
    """Return the bytes of a damaged file."""
    if kind.endswith((".asdf", ".ckpt")) and rng.random() < 0.8:  # else the checksum refuses all of them
        content = content.partition(SEAL)[0]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_CHANGES)(content, kind, rng)
    return content


def _flip(content, kind, rng):
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 20))):
        if content:
            content[rng.randrange(len(content))] = rng.choice((0, 255, 32, rng.randrange(256)))
    return bytes(content)


def _cut(content, kind, rng):
    return content[:rng.randrange(len(content) + 1)]


def _remove(content, kind, rng):
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.choice((1, 4, 80, 2880)):]


def _repeat(content, kind, rng):
    start = rng.randrange(len(content) + 1)
    length = rng.choice((1, 4, 80, 2880))
    return content[:start] + content[start:start + length] * rng.choice((2, 50)) + content[start + length:]


def _number(content, kind, rng):
    """Replace a number in text."""
    found = list(re.finditer(rb"(?<=[ \[:,\"])-?\d[\d.e+-]*(?=[\s\],}\"])", content[:200_000]))
    if not found:
        return _flip(content, kind, rng)
    match = rng.choice(found)
    return content[:match.start()] + rng.choice(NUMBERS) + content[match.end():]


def _word(content, kind, rng):
    """Replace a word in text by another of the file."""
    found = list(re.finditer(rb"[A-Za-z_]{3,}", content[:60_000]))
    if len(found) < 2:
        return _flip(content, kind, rng)
    match, other = rng.choice(found), rng.choice(found)
    return content[:match.start()] + other[0] + content[match.end():]


def _binary(content, kind, rng):
    """Replace an integer in binary, as a length or an offset."""
    width = rng.choice((2, 4, 8))
    start = rng.randrange(max(len(content) - width, 1))
    value = rng.choice((0, 1, 2**(8 * width) - 1, 2**(8 * width - 1), 2**(8 * width - 2), 10**4))
    return content[:start] + value.to_bytes(width, rng.choice(("big", "little"))) + content[start + width:]


def _card(content, kind, rng):
    """Change a card of a FITS header, or the header of a block of ASDF."""
    if b"\xd3BLK" in content:
        start = rng.choice([one.start() for one in re.finditer(rb"\xd3BLK", content)]) + 6
        place, width = rng.choice(((0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 16)))
        new = rng.choice((bytes(width), b"zlib"[:width].ljust(width, b"\0"), b"lz4\0".ljust(width, b"\0"),
                          (32 * 2**30).to_bytes(8, "big")[-width:].rjust(width, b"\0"), b"\xff" * width))
        return content[:start + place] + new + content[start + place + width:]
    if not content.startswith(b"SIMPLE"):
        return _number(content, kind, rng)
    cards = [place for place in range(0, len(content) - 80, 80) if re.match(rb"[A-Z0-9_-]{1,8} *= ",
                                                                            content[place:place + 80])]
    if not cards:
        return _flip(content, kind, rng)
    place = rng.choice(cards)
    card = content[place:place + 80]
    new = rng.choice((
        lambda: card[:10] + rng.choice(CARDS).rjust(20).encode().ljust(70), lambda: b"".ljust(80),
        lambda: bytes(rng.randrange(256) for _ in range(80)), lambda: card[:8].lower() + card[8:],
        lambda: content[rng.choice(cards):][:8] + card[8:], lambda: b"END".ljust(80)))()
    return content[:place] + new[:80].ljust(80) + content[place + 80:]


def _bomb(content, kind, rng):
    """Insert aliases that repeat values without end."""
    head = b"# " if kind.endswith(".ecsv") else b""
    places = [match.end() for match in re.finditer(rb"\n" + head + rb"(?=[a-z]+: )", content[:20_000])]
    if not places:
        return _number(content, kind, rng)
    place = rng.choice(places)
    text = f"bomb: {BOMB}".encode().replace(b"\n", b"\n" + head).removesuffix(head)
    return content[:place] + text + head + content[place:]


_CHANGES = (_flip, _flip, _cut, _remove, _repeat, _number, _number, _number, _word, _binary, _binary, _card, _card,
            _card, _bomb)


def prepare(source, folder, case, seed):
    """Write the damaged copy of a case, and return its path."""
    rng = random.Random(f"{seed} {case}")
    target = folder / f"case-{case}-{source.name}"
    if source.is_dir():
        shutil.copytree(source, target)
        files = sorted(one for one in target.rglob("*") if one.is_file())
        changed = rng.choice([*(one for one in files if one.suffix == ".json"), *files])
        if rng.random() < 0.1:
            changed.unlink()
        else:
            changed.write_bytes(damaged(changed.read_bytes(), changed.name, rng))
    else:
        target.write_bytes(damaged(source.read_bytes(), source.name, rng))
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", help="names of the files to damage; default: all")
    parser.add_argument("--case", type=int, help="number of one case, which is kept and whose error is printed")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work()
    counts, reports, reader = Counter(), 0, Reader()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "whole").mkdir()
        write_files(folder / "whole")
        sources = sorted(one for one in (folder / "whole").iterdir() if not options.kinds or one.name in options.kinds)
        for source in sources:
            found = reader.ask(source, source.name, 10 * LIMIT)  # with the imports
            if found != "read":
                raise RuntimeError(f"the whole {source.name} is not read: {found}")
        end = time.monotonic() + 60 * options.minutes
        case = 0 if options.case is None else options.case
        while time.monotonic() < end:
            source = sources[case % len(sources)]
            path = prepare(source, folder, case, options.seed)
            if options.case is not None:
                kept = Path(tempfile.gettempdir()) / path.name
                path.replace(kept)
                print(f"{kept}\n{reader.ask(kept, source.name)}")
                break
            found = reader.ask(path, source.name)
            counts[source.name, found if found in ("read", "refused") else "reported"] += 1
            if found not in ("read", "refused"):
                reports += 1
                print(f"case {case}, {source.name}: {found}", flush=True)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            case += 1
    reader.stop()
    for source in sources:
        print(f"{source.name:18}" + "".join(
            f"{counts[source.name, one]:8} {one}" for one in ("read", "refused", "reported")))
    print(f"{sum(counts.values())} files, {reports} reports, seed {options.seed}")
    return int(reports > 0)


if __name__ == "__main__":
    sys.exit(main())
