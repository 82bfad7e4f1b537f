"""Kill the command while it writes: every file is then absent, the old one or whole, and a second run mends the rest.

    python tests/faults/kills.py --kills 30 --seed 0

kills each job so many times, in turn by SIGKILL, SIGTERM and SIGINT, half of the times at a random moment and half at
one of the system calls that write, which strace counts (without strace: at one of the Python calls that write). After
each kill the outputs are read, the same command is run again, and its outputs are compared with those of a run that was
not killed. The exit status is 1 if anything was half-written, lost, different, or left behind.
"""

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}
CALLS = ("write", "pwrite64", "writev", "rename", "renameat2", "mkdir", "rmdir", "unlink", "unlinkat", "ftruncate",
         "fchmod", "chmod", "chown", "utimensat", "flock")
EVENTS = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.link")
SIZE = "16"


class Job(NamedTuple):
    """A command, in a folder with what it needs."""

    arguments: list
    outputs: dict
    """Path and the function that reads it into something that can be compared."""
    resume: tuple = ()
    """Further arguments of the second run."""
    earlier: list | None = None
    """Arguments of the command that wrote the outputs that this one replaces."""
    setup: tuple = ()
    """Folders to make before."""


def pairs_at(path):
    from astro_galtrans.pairs import PairSet

    return PairSet.open(path).hash


def translator_at(path):
    from astro_galtrans.storage import load

    return load(path).hash


def cube_at(path):
    from astro_galtrans.images import BandCube

    cube = BandCube.read(path)
    return hashlib.sha256(np.asarray(cube.data).tobytes() + np.asarray(cube.uncertainty.array).tobytes()).hexdigest()


def text_at(path):
    return Path(path).read_text()


def folder_at(path):
    """Every file of a folder; of FITS files and figures, which have the time of writing in them, the images."""
    read = {".fits": cube_at, ".ecsv": text_at, ".png": _pixels}
    return {str(file.relative_to(path)): read[file.suffix](file) for file in sorted(Path(path).rglob("*.*"))}


def _pixels(path):
    from matplotlib.image import imread

    return hashlib.sha256(imread(path).tobytes()).hexdigest()


_SIMULATE = ["simulate", "--n", "4", "--input-size", SIZE, "--galaxies", "templates", "--sky", "plain", "new.zarr"]
_PAIR = ["pair", "galaxies.ecsv", "new.zarr", "--input", "sdss.fits", "--target", "cfhtls.fits", "--input-size", SIZE,
         "--sheet", "0", "--quiet"]
_PAIRED = {"new.zarr": pairs_at, "new-dropped.ecsv": text_at, "new-fields.ecsv": text_at}
_TRAIN = ["train", "pairs.zarr", "--out", "new.asdf", "--epochs", "3", "--batch-size", "4", "--checkpoint", "state",
          "--backbone-option", "widths=[4,8]", "--backbone-option", "n_features=4", "--validation-fraction", "0.3"]
_TRANSLATE = ["translate", "t.asdf", "a.fits", "b.fits", "c.fits", "--out", "new"]
_TRANSLATED = {f"new/{name}-cfhtls.fits": cube_at for name in "abc"}
_FIELD = ["translate", "t.asdf", "--frames", "field.fits", "--catalog", "sources.ecsv", "--size", SIZE, "--out", "new"]
_PHOTOZ = ["photoz", "densities.ecsv", "--z-spec", "z_spec", "--n-bootstrap", "10", "--out", "new"]

JOBS = {
    "simulate": Job(_SIMULATE + ["--seed", "2"], {"new.zarr": pairs_at}),
    "simulate, overwrite": Job(_SIMULATE + ["--seed", "2", "--overwrite"], {"new.zarr": pairs_at},
                               earlier=_SIMULATE + ["--seed", "1"]),
    "pair": Job(_PAIR, _PAIRED, resume=("--resume",)),
    "pair, overwrite": Job(_PAIR + ["--overwrite"], _PAIRED, resume=("--resume",),
                           earlier=_PAIR + ["--input-bands", "gr"]),
    "train": Job(_TRAIN + ["--seed", "2"], {"new.asdf": translator_at}, resume=("--resume",)),
    "train, overwrite": Job(_TRAIN + ["--seed", "2", "--overwrite"], {"new.asdf": translator_at}, resume=("--resume",),
                            earlier=[word.replace("state", "other") for word in _TRAIN]),
    "translate": Job(_TRANSLATE, _TRANSLATED),
    "translate, existing folder": Job(_TRANSLATE, _TRANSLATED, setup=("new",)),
    "translate, overwrite": Job(_TRANSLATE + ["--overwrite"], _TRANSLATED,
                                earlier=[word.replace("t.asdf", "other.asdf") for word in _TRANSLATE]),
    "translate pairs": Job(["translate", "t.asdf", "pairs.zarr", "--out", "new.zarr"], {"new.zarr": pairs_at}),
    "field": Job(_FIELD, {"new": folder_at}),
    "field, overwrite": Job(_FIELD + ["--overwrite"], {"new": folder_at},
                            earlier=[word.replace("t.asdf", "other.asdf") for word in _FIELD]),
    "photoz, overwrite": Job(_PHOTOZ + ["--overwrite", "--seed", "2"], {"new": folder_at}, earlier=_PHOTOZ),
}


def make_inputs(folder):
    """Write the inputs of all jobs to a folder."""
    from astropy.table import Table

    from astro_galtrans.simulation import simulate_pairs
    from astro_galtrans.training import fit

    spec = importlib.util.spec_from_file_location("sky", Path(__file__).parents[1] / "pairs" / "sky.py")
    sky = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sky)
    table = sky.galaxies(n=6, side=40.0)
    table.write(folder / "galaxies.ecsv")
    sky.image(table, "SDSS", side=60.0).write(folder / "sdss.fits")
    sky.image(table, "CFHTLS", side=60.0, seed=2).write(folder / "cfhtls.fits")
    pairs = simulate_pairs(12, seed=5, input_size=int(SIZE), galaxies="templates", sky="plain",
                           path=folder / "pairs.zarr")
    pairs = pairs.select(slice(None))
    for name, seed in (("t", 0), ("other", 1)):
        fit(pairs, epochs=1, seed=seed, batch_size=4, backbone_options={"widths": [4, 8], "n_features": 4}
            ).translator.write(folder / f"{name}.asdf")
    for number, name in enumerate("abc"):
        pairs[number].input.write(folder / f"{name}.fits")
    field = sky.image(table, "SDSS", side=60.0, bands="ugriz")
    field.write(folder / "field.fits")
    table["ra", "dec"][:3].write(folder / "sources.ecsv")
    grid, z = np.linspace(0, 1, 21), np.linspace(0.1, 0.8, 20)
    density = np.exp(-0.5 * ((grid - z[:, None]) / 0.1)**2)
    densities = Table({"z_spec": z, "pdf": density / np.trapezoid(density, grid)[:, None]})
    densities.meta["redshift_grid"] = grid.tolist()
    densities.write(folder / "densities.ecsv")


class Runner:
    """Runs jobs in processes that are forked from this one, which has imported everything.

    Parameters
    ----------
    names : list of str
        Jobs.
    folder : path-like
        Where to work.
    """

    def __init__(self, names, folder):
        self.folder, self.inputs = Path(folder), Path(folder) / "inputs"
        self.inputs.mkdir()
        make_inputs(self.inputs)
        self.starts, self.old, self.new, self.events = {}, {}, {}, {}
        for name in names:
            self._prepare(name, JOBS[name])

    def _prepare(self, name, job):
        """Run a job without a kill, for its outputs."""
        start = self.starts[name] = self.folder / f"start-{len(self.starts)}"
        shutil.copytree(self.inputs, start)
        for folder in job.setup:
            (start / folder).mkdir()
        if job.earlier is not None:
            assert self.run(job.earlier, start) == 0, self.log.read_text()
        self.old[name] = read_all(job, start)
        work, counted = self._copy(name), self.folder / "events"
        assert self.run(job.arguments, work, count=counted) == 0, self.log.read_text()
        self.events[name] = int(counted.read_text())
        self.new[name] = read_all(job, work)
        assert None not in self.new[name].values(), self.new[name]

    def seconds(self, name):
        """Return how long a job takes."""
        work, begun = self._copy(name), time.perf_counter()
        assert self.run(JOBS[name].arguments, work) == 0, self.log.read_text()
        return time.perf_counter() - begun

    def _copy(self, name):
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.starts[name], work)
        return work

    @property
    def log(self):
        return self.folder / "log"

    def run(self, arguments, work, **stop):
        """Run the command in a folder and return its exit status, or minus the signal that ended it."""
        child, pipe = self._start(arguments, work, **stop)
        os.close(pipe)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _start(self, arguments, work, count=None, at_event=None):
        """Start a process that runs the command once its pipe is closed; return its number and the pipe."""
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads, which are idle
            child = os.fork()
        if child:
            os.close(read)
            return child, write
        status = 99
        try:
            os.close(write)
            os.read(read, 1)
            os.close(read)
            status = _command(arguments, work, self.log, count, at_event)
        except KeyboardInterrupt:  # before or after the command
            status = 130
        finally:
            os._exit(status)

    def calls(self, name):
        """Return how often a job makes each of the system calls that write, from a run under strace."""
        trace = self.folder / "strace"
        child, pipe = self._start(JOBS[name].arguments, self._copy(name))
        with _strace(child, trace, []):
            os.close(pipe)
            os.waitpid(child, 0)
        counts = Counter()
        for line in trace.read_text().splitlines():
            found = re.match(r"(\d+) +(\w+)\(", line)
            if found:
                counts[found.groups()] += 1
        return {call: max(n for (_, one), n in counts.items() if one == call) for _, call in counts}

    def kill_at_moment(self, name, number, seconds):
        """Kill a job after some seconds, and return its exit status."""
        child, pipe = self._start(JOBS[name].arguments, self._copy(name))
        os.close(pipe)
        time.sleep(seconds)
        os.kill(child, number)  # a process that has ended already is there until it is waited for
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def kill_at_call(self, name, number, call, when):
        """Kill a job at a system call, and return its exit status."""
        child, pipe = self._start(JOBS[name].arguments, self._copy(name))
        inject = ["-e", f"inject={call}:signal={signal.Signals(number).name}:when={when}"]
        with _strace(child, self.folder / "strace", inject) as trace:
            os.close(pipe)
            while True:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    return os.waitstatus_to_exitcode(status)
                if trace.process.poll() is not None:
                    os.kill(child, signal.SIGCONT)  # strace may leave it stopped
                time.sleep(0.01)

    def kill_at_event(self, name, number, when):
        """Kill a job at a Python call that writes, and return its exit status."""
        return self.run(JOBS[name].arguments, self._copy(name), at_event=(number, when))

    def check(self, name, number, status):
        """Return what is wrong after a kill and after the second run, a list of str, and whether files were left."""
        job, work, wrong = JOBS[name], self.folder / "work", []
        if status not in (0, -number, STATUS.get(number)):
            wrong.append(f"exit status {status}: {self.log.read_text()[-300:]}")
        left = leftovers(work)
        found = read_all(job, work)
        for path, value in found.items():
            if value not in (None, self.old[name][path], self.new[name][path]):
                wrong.append(f"{path} is half-written: {value}")
            if value is None and self.old[name][path] is not None:
                wrong.append(f"{path} is lost")
        again = self.run([*job.arguments, *job.resume], work)
        if again != 0 and not (again == 2 and found == self.new[name] and "exists already" in self.log.read_text()):
            wrong.append(f"the second run ends with {again}: {self.log.read_text()[-300:]}")
        elif read_all(job, work) != self.new[name]:
            wrong.append("the second run gives something else")
        if leftovers(work):
            wrong.append(f"left behind: {', '.join(leftovers(work)[:3])}")
        return wrong, bool(left)


def _command(arguments, work, log, count, at_event):
    """Run the command in a forked process."""
    from astro_galtrans.cli import main
    from astro_galtrans.pairs import _disk, _match_sink

    _disk.MAX_BLOCK, _match_sink._NOTE_BLOCKS = 2, 1  # so that there is something to resume
    os.chdir(work)
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if number == 1 else os.O_APPEND)), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    events = _Events(str(work), at_event)
    if count is not None or at_event is not None:
        sys.addaudithook(events)
    try:
        status = main(list(arguments))
    except Exception:
        traceback.print_exc()
        status = 99
    sys.stderr.flush()
    if count is not None:
        events.at = None
        count.write_text(str(events.n))
    return status


class _Events:
    """Counts the Python calls that write to a folder, and kills the process at one of them."""

    def __init__(self, folder, at):
        self.folder, self.at, self.n = folder, at, 0

    def __call__(self, event, arguments):
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event not in EVENTS and not (event == "ctypes.dlsym" and arguments[1] == "renameat2"):
            return
        path = arguments[0]
        if isinstance(path, (str, bytes, os.PathLike)) and not os.path.abspath(os.fsdecode(path)).startswith(
                self.folder):
            return
        self.n += 1
        if self.at is not None and self.n == self.at[1]:
            os.kill(os.getpid(), self.at[0])


class _strace:
    """Traces the system calls of a process that write."""

    def __init__(self, child, trace, inject):
        self.command = ["strace", "-f", "-p", str(child), "-o", str(trace), "-e", f"trace={','.join(CALLS)}", *inject]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        if b"attached" not in line:
            raise OSError(f"strace cannot trace: {line.decode()}")
        return self

    def __exit__(self, *error):
        self.process.stderr.read()
        self.process.wait()


def read_all(job, folder):
    """Return what is at each output of a job: None if nothing is, or a text that says why it cannot be read."""
    found = {}
    for path, read in job.outputs.items():
        try:
            found[path] = read(folder / path) if os.path.lexists(folder / path) else None
        except Exception as error:  # a broken file may raise anything
            found[path] = repr(error)
    return found


def leftovers(folder):
    """Return the temporary files and folders in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                  if re.search(r"^\.|\.partial|\.part$|\.old$|asdf_tmp", path.name))


def main():
    """Kill jobs as the command line says, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=18, help="kills of each job")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=JOBS, metavar="JOB")
    options = parser.parse_args()
    rng, has_strace = np.random.default_rng(options.seed), shutil.which("strace") is not None
    total = Counter()
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(options.jobs, folder)
        for name in options.jobs:
            counts, duration, calls = Counter(), runner.seconds(name), runner.calls(name) if has_strace else {}
            for index in range(options.kills):
                number = SIGNALS[index % 3]
                if index % 2:
                    seconds = rng.uniform(0, duration)
                    at, status = f"{seconds:.3f} s", runner.kill_at_moment(name, number, seconds)
                elif has_strace:
                    call = list(calls)[rng.integers(len(calls))]
                    when = int(rng.integers(1, calls[call] + 1))
                    at, status = f"{call} {when}", runner.kill_at_call(name, number, call, when)
                else:
                    when = int(rng.integers(1, runner.events[name] + 1))
                    at, status = f"event {when}", runner.kill_at_event(name, number, when)
                wrong, left = runner.check(name, number, status)
                counts["kills"] += 1
                counts["finished before"] += status == 0
                counts["left files"] += left
                counts["wrong"] += bool(wrong)
                for line in wrong:
                    print(f"  {name}, {signal.Signals(number).name} at {at}: {line}", flush=True)
            total += counts
            print(f"{name}: {dict(counts)}, {duration:.2f} s a run", flush=True)
    print(f"all: {dict(total)}")
    return int(total["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
