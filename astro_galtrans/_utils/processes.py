"""Work shared by several processes, in order, with an error instead of a hang where they cannot start."""

import ast
import multiprocessing
import os
import sys
import tokenize
import uuid
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

__all__ = ["check_workers", "ordered_results"]

_made = {}  # in a worker: what it has set up
_GUARD = 'if __name__ == "__main__":'


def ordered_results(setup, recipe, function, tasks, workers):
    """Yield ``function(setup(recipe), task)`` for each task, in order, from worker processes.

    Parameters
    ----------
    setup, function : callable
        Of a module that the workers can import; ``setup`` runs once in each worker.
    recipe : object
    tasks : sequence
    workers : int
        Number of processes. They are spawned, not forked: the parent may hold threads of torch or Zarr.

    Raises
    ------
    RuntimeError
        If the workers cannot start, as in a script without the ``__main__`` guard, or one of them ends abruptly.
    """
    check_workers(workers)
    token = uuid.uuid4().hex
    # The recipe comes with each task, not as the pool's initargs: a parent that writes more than a pipe's buffer to a
    # worker that died while it started waits for ever.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    done = 0
    try:
        with _single_threaded_children():
            futures = [pool.submit(_work, token, setup, recipe, function, task) for task in tasks]
        for future in futures:
            yield future.result()
            done += 1
    except BrokenProcessPool as error:
        if done:
            raise RuntimeError(f"one of the {workers} workers ended abruptly after {done} of {len(tasks)} tasks, "
                               "perhaps for lack of memory; use fewer workers") from error
        raise RuntimeError(
            f"the workers ended before their first result. Each of them imports the script that called this function: "
            f"with workers={workers} the call must be under `{_GUARD}`, and objects that are passed must be of "
            "classes in modules; workers=1 needs neither") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _work(token, setup, recipe, function, task):
    if token not in _made:
        _made.clear()
        _made[token] = setup(recipe)
    return function(_made[token], task)


def check_workers(workers):
    """Raise RuntimeError, with the reason, if this process cannot start workers."""
    if workers == 1:
        return
    process, main = multiprocessing.current_process(), sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    # A pool that is started while its parent's script is imported would wait for processes that never start.
    if getattr(process, "_inheriting", False):
        raise RuntimeError(f"workers={workers} was reached while a worker imports the script: it needs `{_GUARD}`")
    if process.daemon:
        raise RuntimeError(f"workers must be 1 in a worker of multiprocessing.Pool, which may not start processes, got "
                           f"{workers}")
    if getattr(main, "__spec__", None) is None and path is not None:
        if not os.path.exists(path):
            raise RuntimeError(f"workers={workers} needs a script that other processes can import, and {path} is not "
                               f"a file; run a file with `{_GUARD}`, or use workers=1")
        line = _unguarded_line(main, path)
        if line is not None:
            raise RuntimeError(f"{path}, line {line}: each worker imports this script and would run this line too; "
                               f"with workers={workers} it must be under `{_GUARD}`, workers=1 does not need that")


def _unguarded_line(main, path):
    """Line of the script from which this call comes, if an import of the script certainly runs it; else None.

    Lines under an ``if`` or in a ``try`` are not checked: the start of the workers shows whether they run.
    """
    frame = sys._getframe()
    while frame is not None and not (frame.f_globals is vars(main) and frame.f_code.co_name == "<module>"
                                     and frame.f_code.co_filename == path):
        frame = frame.f_back
    if frame is None:
        return None
    try:
        with tokenize.open(path) as file:
            statements = ast.parse(file.read()).body
    except (OSError, SyntaxError, ValueError):  # the file was changed or removed since
        return None
    conditional = (ast.If, ast.Try, ast.Match)
    certain = any(one.lineno <= frame.f_lineno <= one.end_lineno and not isinstance(one, conditional)
                  for one in statements)
    return frame.f_lineno if certain else None


@contextmanager
def _single_threaded_children():
    """Children inherit the environment: without this each would start a pool of threads for linear algebra."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
