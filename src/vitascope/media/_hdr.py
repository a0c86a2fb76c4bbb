"""From HDR video to sRGB: reference white becomes white, what is brighter is clipped.

Sources: ITU-R BT.2100-2 tables 4 (PQ) and 5 (HLG, its system gamma 1.2 at 1000 cd/m2); ITU-R BT.2408
(reference white at 203 cd/m2); ITU-R BT.2087 (primaries of BT.2020 to BT.709); IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# ITU-T H.273, code points of the transfer characteristics.
PQ, HLG = 16, 18
WHITE_NITS = 203.0
HLG_PEAK_NITS, HLG_GAMMA = 1000.0, 1.2
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
STEPS = 4096


def to_srgb(signal: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    """16-bit BT.2020 frames as coded, in PQ or HLG, as sRGB. Shape: (H, W, 3)."""
    linear = _light(transfer)[signal]
    if transfer == HLG:
        luma = linear @ BT2020_LUMA
        linear = linear * (HLG_PEAK_NITS / WHITE_NITS * luma ** (HLG_GAMMA - 1))[..., None]
    shown = np.clip(linear @ BT2020_TO_BT709.T, 0, 1)
    # The square root spreads the table's steps as the eye does, so that dark tones keep theirs.
    return _srgb()[(np.sqrt(shown) * (STEPS - 1) + 0.5).astype(np.uint16)]


@lru_cache(maxsize=2)
def _light(transfer: int) -> NDArray[np.float32]:
    """Light for each code value: PQ's in units of reference white, HLG's of the scene, before its gamma."""
    code = np.arange(65536) / 65535
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = code ** (1 / m2)
        nits = 10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
        return (nits / WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return scene.astype(np.float32)


@lru_cache(maxsize=1)
def _srgb() -> NDArray[np.uint8]:
    """sRGB codes for the squares of evenly spaced steps."""
    linear = np.linspace(0, 1, STEPS) ** 2
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (coded * 255 + 0.5).astype(np.uint8)
