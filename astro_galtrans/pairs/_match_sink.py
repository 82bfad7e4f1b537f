"""Where pairs go as they are made: into memory, or onto disk so that an unfinished set can be gone on with."""

import json
import os
import shutil
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import zarr

from astro_galtrans._utils.io import put_folder, whole_file
from astro_galtrans.pairs._disk import PairWriter, check_replaceable

__all__ = ["DiskSink", "MemorySink", "write_table"]

# Blocks of galaxies between two notes of how far a set on disk has come.
_NOTE_BLOCKS = 16


def write_table(table, path):
    """Write a table as ECSV; the file appears whole."""
    with whole_file(path) as partial:
        table.write(partial, format="ascii.ecsv")


def _save(file, columns):
    np.savez(file, allow_pickle=False, **columns)


def _columns(records):
    return {name: np.array([record[name] for record in records]) for name in records[0]}


class MemorySink:
    """Keeps pairs in memory; a context manager as `DiskSink` is one."""

    first = 0

    def __init__(self):
        self.images, self.kept, self.dropped, self.fields = [], [], [], {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def keep(self, number, images, record):
        """Add a pair: its place among the candidates, its arrays by name, and what is known of it."""
        self.images.append(images)
        self.kept.append(record)

    def drop(self, number, record):
        """Add a candidate that has no pair."""
        self.dropped.append(record)

    def field(self, number, record):
        """Add what is known of a field, by its number."""
        self.fields[number] = record

    def close(self):
        """All that is known of the pairs kept, and of the candidates dropped: two dicts of arrays, or None."""
        return tuple(_columns(records) if records else None for records in (self.kept, self.dropped))

    def arrays(self):
        """The images by name, with a galaxy axis."""
        return {name: np.stack([one[name] for one in self.images]) for name in self.images[0]}

    def leave_out(self, name):
        """Forget an array of all pairs."""
        for one in self.images:
            del one[name]


class DiskSink(PairWriter):
    """Writes pairs in blocks; what is whole stays when it is interrupted, and the next one goes on there.

    Parameters
    ----------
    path, n, shapes, surveys, overwrite
        As of `PairWriter`; ``n`` is the largest number of pairs there can be.
    plan : dict
        What makes the pairs what they are, as JSON types.
    resume : bool
        Whether to go on with an unfinished set of the same plan.
    """

    def __init__(self, path, n, shapes, surveys, overwrite, plan, resume):
        super().__init__(path, n, shapes, surveys, overwrite)
        self._target = self._folder(Path(os.path.abspath(path)), overwrite, plan, resume)
        self.pending, self.kept, self.dropped, self.fields = [], [], [], {}
        self.first = self.written = self.parts = self.blocks = 0

    @contextmanager
    def _folder(self, path, overwrite, plan, resume):
        """The unfinished folder, which takes its place at the end and stays where it is on an error."""
        check_replaceable(path, overwrite)
        folder = path.with_name(f".{path.name}.unfinished")
        self.state = folder / "state"
        if folder.exists() and not (resume and self._resumed(folder, plan)):
            shutil.rmtree(folder)
        if not folder.exists():
            self.state.mkdir(parents=True)
            self._put_json("plan.json", plan)
        yield folder
        shutil.rmtree(self.state)
        put_folder(folder, path)

    def _resumed(self, folder, plan):
        """Whether there is something to go on with; ValueError where it is of another plan."""
        if not (self.state / "plan.json").is_file() or not (self.state / "done.json").is_file():
            return False
        if json.loads((self.state / "plan.json").read_text()) != json.loads(json.dumps(plan)):
            raise ValueError(f"{folder} was begun with another catalogue, other images or other choices; "
                             "leave resume out to begin anew")
        done = json.loads((self.state / "done.json").read_text())
        if not done["first"]:
            return False
        self.first, self.written, self.parts = done["first"], done["written"], done["parts"]
        for file in self.state.glob("*-*.npz"):  # of a note that was not finished
            if int(file.stem.partition("-")[2]) >= self.parts:
                file.unlink()
        for file in self.state.glob("field-*.json"):
            self.fields[int(file.stem.partition("-")[2])] = json.loads(file.read_text())
        return True

    def create_group(self, folder):
        if self.first:
            self.group = zarr.open_group(str(folder), mode="r+", zarr_format=3)
        else:
            super().create_group(folder)

    def keep(self, number, images, record):
        """Add a pair: its place among the candidates, its arrays by name, and what is known of it."""
        self.pending.append((number, images, record))
        if len(self.pending) == self.block:
            self._write()
            if self.blocks >= _NOTE_BLOCKS:
                self.note()

    def drop(self, number, record):
        """Add a candidate that has no pair."""
        self.dropped.append((number, record))
        if not self.pending:
            self.first = number + 1
            if len(self.dropped) >= _NOTE_BLOCKS * self.block:
                self.note()

    def field(self, number, record):
        """Add what is known of a field, by its number."""
        self.fields[number] = record
        self._put_json(f"field-{number:06d}.json", record)

    def _write(self):
        if not self.pending:
            return
        images = {name: np.stack([one[1][name] for one in self.pending]) for name in self.shapes}
        self.write_images(self.written, images)
        self.kept += [record for _, _, record in self.pending]
        self.written += len(self.pending)
        self.first = self.pending[-1][0] + 1
        self.pending, self.blocks = [], self.blocks + 1

    def note(self):
        """Put down what is known of all that is written; from here an interrupted run goes on."""
        told = [record for number, record in self.dropped if number < self.first]
        if not self.kept and not told:
            return
        for kind, records in (("kept", self.kept), ("dropped", told)):
            if records:
                self._put(f"{kind}-{self.parts:06d}.npz", partial(_save, columns=_columns(records)))
        self.parts += 1
        self._put_json("done.json", {"first": self.first, "written": self.written, "parts": self.parts})
        self.dropped = [(number, record) for number, record in self.dropped if number >= self.first]
        self.kept, self.blocks = [], 0

    def _put(self, name, write):
        unfinished = self.state / f"{name}.partial"
        with open(unfinished, "wb") as file:
            write(file)
        os.replace(unfinished, self.state / name)

    def _put_json(self, name, tree):
        self._put(name, lambda file: file.write(json.dumps(tree).encode()))

    def close(self):
        """Write what is left; what is known of the pairs kept and of those dropped, two dicts of arrays, or None."""
        self._write()
        self.first = self.n + 1
        self.note()
        everything = []
        for kind in ("kept", "dropped"):
            parts = []
            for file in sorted(self.state.glob(f"{kind}-*.npz")):
                with np.load(file) as columns:
                    parts.append({name: columns[name] for name in columns.files})
            everything.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
                              if parts else None)
        return tuple(everything)

    def shorten(self):
        """Leave out the room for candidates that have no pair."""
        for name, shape in self.shapes.items():
            self.group[name].resize((self.written, *shape))
        self.n = self.written

    def leave_out(self, name):
        """Forget an array of all pairs."""
        del self.group[name], self.shapes[name]

    def discard(self):
        """Leave nothing to go on with."""
        shutil.rmtree(self.state.parent, ignore_errors=True)

    def __exit__(self, kind, error, trace):
        if kind is not None and self.state.is_dir():
            self.note()
        return super().__exit__(kind, error, trace)
