"""Weights and pictures that are the same wherever they are drawn up, for setting RAFT against upstream's code."""

import zlib

import torch


def weights_for(state):
    """A value for every entry of a state, from its name alone."""
    drawn = {}
    for name, tensor in state.items():
        # Upstream writes the shortcut's norm down twice, under two names.
        generator = torch.Generator().manual_seed(zlib.crc32(name.replace("norm3", "downsample.1").encode()))
        value = torch.randn(tensor.shape, generator=generator)
        if tensor.dtype == torch.long:
            drawn[name] = torch.zeros_like(tensor)
        elif name.endswith("running_var"):
            drawn[name] = 0.5 + value.abs()
        elif tensor.ndim >= 4 or (tensor.ndim == 2 and name.endswith("weight")):
            drawn[name] = value * (2 / tensor[0].numel()) ** 0.5
        else:
            drawn[name] = 0.1 * value + ("norm" in name and name.endswith("weight"))
    return drawn


def pictures():
    """Two pictures of an odd size, the second a shifted first. Shape: (1, 3, 132, 150)."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(1, 3, 18, 20, generator=generator) * 255
    whole = torch.nn.functional.interpolate(coarse, size=(144, 160), mode="bilinear", align_corners=True)
    return whole[..., 4:136, 4:154], whole[..., 2:134, 7:157]
