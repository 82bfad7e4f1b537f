"""The defaults of torch around the networks of the package."""

from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import numpy as np
import torch

from astro_galtrans._utils.numerics import numpy_defaults

__all__ = ["as_tensor", "check_weights", "checked_device", "on_device", "torch_defaults"]

_ON_META: ContextVar[bool] = ContextVar("on_meta", default=False)  # a network is built for its shapes alone


@contextmanager
def torch_defaults():
    """Compute in float32 and on the CPU by default, and restore the defaults of the caller."""
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(numpy_defaults())
        # Entering costs time in each call of torch.
        if torch.get_default_device().type != "cpu" and not _ON_META.get():
            stack.enter_context(torch.device("cpu"))
        if dtype is not torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield


def as_tensor(values):
    """Return a tensor as it is, and arrays on the CPU; `torch.as_tensor` would move them to the default device."""
    return values if isinstance(values, torch.Tensor) else torch.from_numpy(np.asarray(values))


def check_weights(build, options, weights, what):
    """Raise ValueError unless weights are finite and of the shapes that options give, before memory is allocated.

    Parameters
    ----------
    build : callable
        Returns the module of the options.
    options : dict
    weights : dict of str to ndarray
    what : str
        Name of the module for messages.
    """
    weights = {name: np.asarray(value) for name, value in weights.items()}
    total = sum(value.size for value in weights.values())
    largest = max(_whole_numbers(options), default=0)
    if largest > total:  # as many layers would take forever
        raise ValueError(f"the options of the {what} ask for {largest}, more than its {total} weights")
    for name, value in weights.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"the weights of the {what} must be finite, {name} is not")
    token = _ON_META.set(True)
    try:
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in build().state_dict().items()}
    except (NotImplementedError, RuntimeError):  # a module that computes with values when it is built
        return
    finally:
        _ON_META.reset(token)
    wrong = [name for name in sorted({*wanted, *weights})
             if name not in wanted or name not in weights or wanted[name] != weights[name].shape]
    if wrong:
        raise ValueError(f"the weights of the {what} do not fit its options: {', '.join(wrong[:5])}")


def _whole_numbers(options):
    if isinstance(options, dict):
        options = list(options.values())
    if isinstance(options, (list, tuple)):
        for option in options:
            yield from _whole_numbers(option)
    elif isinstance(options, int):
        yield options


def checked_device(device):
    """Return a `torch.device`; raise ValueError if there is none of that name, or torch cannot use it here."""
    requirement = f"device must be 'cpu', 'cuda', 'cuda:N' or another device of torch, got {device!r}"
    try:
        found = torch.device(device)
    except TypeError as error:
        raise TypeError(requirement) from error
    except RuntimeError as error:
        raise ValueError(requirement) from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device is {str(found)!r}, and this torch can use {torch.cuda.device_count()} CUDA devices")
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device is 'mps', and this torch cannot use it here")
    return found


@contextmanager
def on_device(translator, device):
    """Move a translator to a device unless it is None, and back at the end."""
    before = translator.device
    if device is not None:
        translator.to(device)
    try:
        yield
    finally:
        if device is not None:
            translator.to(before)
