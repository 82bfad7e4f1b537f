"""Collect the pairs of a run in memory, or on disk so that an interrupted run can be resumed."""

import json
import os
import shutil
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from astro_galtrans._utils.io import unfinished_folder, whole_file, whole_folder
from astro_galtrans.pairs._disk import PairWriter, check_replaceable

__all__ = ["MemorySink", "disk_sink", "write_table"]

_NOTE_BLOCKS = 16  # blocks of galaxies between two notes of the progress on disk


def write_table(table, path):
    """Write a table as ECSV; the file appears when it is complete."""
    with whole_file(path) as unfinished:
        table.write(unfinished, format="ascii.ecsv")


def _columns(records):
    """Return a dict of arrays of a list of records; None if it is empty."""
    return {name: np.array([record[name] for record in records]) for name in records[0]} if records else None


class MemorySink:
    """Collect pairs in memory."""

    def __init__(self, writer):
        # The first candidate that is still to do, and the records of the fields by number.
        self.writer, self.first, self.fields = writer, 0, {}
        self.pending, self.kept, self.dropped, self.written = [], [], [], 0

    def __enter__(self):
        self.writer.__enter__()
        return self

    def __exit__(self, *error):
        return self.writer.__exit__(*error)

    def keep(self, number, images, record):
        """Add a pair: its number among the candidates, its arrays by name, and its measurements."""
        self.pending.append((number, images, record))
        if len(self.pending) == self.writer.block:
            self._write()

    def drop(self, number, record):
        """Add a candidate that does not give a pair."""
        self.dropped.append((number, record))

    def field(self, number, record):
        """Add the record of a field."""
        self.fields[number] = record

    def _write(self):
        if self.pending:
            images = {name: np.stack([one[1][name] for one in self.pending]) for name in self.pending[0][1]}
            self.writer.write_images(self.written, images)
            self.kept += [record for _, _, record in self.pending]
            self.written += len(self.pending)
            self.first = self.pending[-1][0] + 1
            self.pending = []

    def close(self):
        """Return the measurements of the pairs and of the dropped candidates, two dicts of arrays or None."""
        self._write()
        return _columns(self.kept), _columns([record for _, record in self.dropped])

    def discard(self):
        """Remove what an interrupted run would leave."""


@contextmanager
def disk_sink(path, n, shapes, surveys, overwrite, create, plan, resume):
    """Give a sink that writes pairs in blocks; complete blocks survive an interrupt.

    ``resume`` continues an interrupted run of the same ``plan``, which is all that defines the pairs, as JSON types.
    The other arguments are those of `PairWriter`.
    """
    path = Path(os.path.abspath(path))
    check_replaceable(path, overwrite)
    with unfinished_folder(path) as folder, _DiskSink(
            path, folder, plan, resume, n=n, shapes=shapes, surveys=surveys, overwrite=overwrite,
            create=create) as sink:
        yield sink


class _DiskSink(MemorySink):
    """Write pairs to ``pairs`` in a folder, and to ``state`` what a resumed run needs beside them."""

    def __init__(self, path, folder, plan, resume, **writing):
        self.folder, self.data, self.state = folder, folder / "pairs", folder / "state"
        done = self._done(plan) if resume else None
        if done is None:
            self.discard()
            self.state.mkdir()
            self._put_json("plan.json", plan)
            done = {"first": 0, "written": 0, "parts": 0}
        if not done["written"]:
            shutil.rmtree(self.data, ignore_errors=True)
            self.data.mkdir()
        for file in self.data.rglob("*.partial"):  # of Zarr
            file.unlink()
        super().__init__(PairWriter(path, folder=self._finished(path), written=done["written"], **writing))
        self.first, self.written, self.parts, self.blocks = done["first"], done["written"], done["parts"], 0
        for file in self.state.glob("*-*.npz"):  # of a note that was not completed
            if int(file.stem.partition("-")[2]) >= self.parts:
                file.unlink()
        for file in self.state.glob("field-*.json"):
            self.fields[int(file.stem.partition("-")[2])] = json.loads(file.read_text())

    def _done(self, plan):
        """Return the progress of an interrupted run, None if it has none."""
        if not self.data.is_dir() or not all((self.state / name).is_file() for name in ("plan.json", "done.json")):
            return None
        if json.loads((self.state / "plan.json").read_text()) != json.loads(json.dumps(plan)):
            raise ValueError(f"resume: {self.folder} was made from another catalog, other images or with other "
                             "options; without resume it is replaced")
        done = json.loads((self.state / "done.json").read_text())
        return done if done["first"] else None

    @contextmanager
    def _finished(self, path):
        """Give the folder of the pairs, which is moved to ``path`` at the end and is kept on an error."""
        yield self.data
        with whole_folder(path) as temporary:
            os.replace(self.data, temporary)
            shutil.rmtree(self.folder)

    def __exit__(self, kind, error, trace):
        if kind is not None and self.state.is_dir():
            self._note()
        return super().__exit__(kind, error, trace)

    def drop(self, number, record):
        super().drop(number, record)
        if not self.pending:
            self.first = number + 1
            if len(self.dropped) >= _NOTE_BLOCKS * self.writer.block:
                self._note()

    def field(self, number, record):
        super().field(number, record)
        self._put_json(f"field-{number:06d}.json", record)

    def _write(self):
        super()._write()
        self.blocks += 1
        if self.blocks >= _NOTE_BLOCKS:
            self._note()

    def _note(self):
        """Save the records of all candidates before ``first``; a resumed run starts there."""
        dropped = [record for number, record in self.dropped if number < self.first]
        if not self.kept and not dropped:
            return
        for kind, records in (("kept", self.kept), ("dropped", dropped)):
            if records:
                save = partial(np.savez, allow_pickle=False, **_columns(records))
                self._put(f"{kind}-{self.parts:06d}.npz", save)
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
        self._write()
        self.first = self.writer.n + 1
        self._note()
        return self._saved("kept"), self._saved("dropped")

    def _saved(self, kind):
        """Return all saved records of a kind, a dict of arrays, or None."""
        parts = []
        for file in sorted(self.state.glob(f"{kind}-*.npz")):
            with np.load(file) as columns:
                parts.append(dict(columns))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else None

    def discard(self):
        for part in (self.data, self.state):
            shutil.rmtree(part, ignore_errors=True)
