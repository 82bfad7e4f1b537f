import numpy as np
import pytest

from astro_galtrans._utils.photometry import circle_mask


@pytest.mark.parametrize("subpixels", [None, 10])
def test_a_circle_has_its_area_and_is_symmetric(subpixels):
    for radius in (0.0, 3.0, 6.5, 9.0):
        mask = circle_mask((20, 20), radius, subpixels=subpixels)
        assert mask.sum() == pytest.approx(np.pi * radius**2, rel=1e-2 if subpixels else 1e-12)
        np.testing.assert_allclose(mask, np.rot90(mask), atol=1e-12)
    moved = circle_mask((20, 30), 2.0, center=(25, 4), subpixels=subpixels)
    y, x = np.indices((20, 30))
    assert (moved * x).sum() / moved.sum() == pytest.approx(25) and (moved * y).sum() / moved.sum() == pytest.approx(4)
    assert not circle_mask((20, 20), 2.0, center=(50, 50), subpixels=subpixels).any()
