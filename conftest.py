"""A test that leaves the process in another state than it found it in fails."""

import random
from functools import partial

import numpy as np
import pytest
import torch

from astro_galtrans.surveys._registry import _registered

# Not modules with examples: the configuration of Sphinx, what it makes, and scripts.
collect_ignore = [
    "docs/conf.py", "docs/_build", "docs/_ext", "docs/api", "docs/changes", "docs/gallery", "docs/tutorials",
    "benchmarks", "examples",
]


def _random_states():
    numpy_state = np.random.get_state()
    return {
        "random.getstate()": random.getstate(),
        "numpy.random.get_state()": (numpy_state[0], numpy_state[1].tobytes(), *numpy_state[2:]),
        "torch.get_rng_state()": torch.get_rng_state().numpy().tobytes(),
    }


def _attribute(holder, name):
    return partial(getattr, holder, name), partial(setattr, holder, name)


_SETTINGS = {
    "torch default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "torch float32 matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "cudnn.deterministic": _attribute(torch.backends.cudnn, "deterministic"),
    "cudnn.benchmark": _attribute(torch.backends.cudnn, "benchmark"),
}


def _check(item):
    """Run a phase of a test; fail where it changed global state, after putting the settings back."""
    settings = {name: read() for name, (read, _) in _SETTINGS.items()}
    states = _random_states()
    result = yield
    changed = [name for name, state in _random_states().items() if state != states[name]]
    for name, (read, write) in _SETTINGS.items():
        if read() != settings[name]:
            changed.append(name)
            write(settings[name])
    if changed:
        pytest.fail(f"{item.nodeid} changed global state: {', '.join(changed)}", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    return (yield from _check(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    known = dict(_registered)
    result = yield from _check(item)
    if item.path.suffix == ".rst":  # a page that registers a survey leaves the others as they are
        _registered.clear()
        _registered.update(known)
    return result
