"""SIGTERM, which batch schedulers send, as an interrupt."""

import signal
import threading
from contextlib import contextmanager

__all__ = ["TERMINATED", "interrupted_by_sigterm"]

TERMINATED = 128 + signal.SIGTERM
"""Exit status of a process that SIGTERM ended."""


@contextmanager
def interrupted_by_sigterm():
    """Raise KeyboardInterrupt on SIGTERM, so that all cleans up that does so on Ctrl-C; yield a list of the signals.

    A program that has a handler for SIGTERM keeps it.
    """
    received = []

    def interrupt(number, frame):
        received.append(number)
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield received
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
