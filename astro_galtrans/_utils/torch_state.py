"""The defaults of torch around the networks of the package."""

from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from astro_galtrans._utils.numerics import numpy_defaults

__all__ = ["as_tensor", "checked_device", "on_device", "torch_defaults"]


@contextmanager
def torch_defaults():
    """Compute in float32 and on the CPU by default, and restore the defaults of the caller."""
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(numpy_defaults())
        if torch.get_default_device().type != "cpu":  # entering costs time in each call of torch
            stack.enter_context(torch.device("cpu"))
        if dtype is not torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield


def as_tensor(values):
    """Return a tensor as it is, and arrays on the CPU; `torch.as_tensor` would move them to the default device."""
    return values if isinstance(values, torch.Tensor) else torch.from_numpy(np.asarray(values))


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
