"""Go on from a narrower network: the wider one starts by computing the same."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def load_narrower(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load weights of a network with fewer inner channels, layer by layer, into `network`.

    Old channels hear nothing of new ones, so the outputs stay what they were; new channels keep the random
    weights that `network` has, so that learning can make use of them. This holds for the channels between
    convolutions, not for those that are normalised or attended over.
    Raises: RuntimeError as `load_state_dict` does if names differ or anything is wider than in `network`.

    Source: Chen et al., "Net2Net", ICLR 2016: widening that preserves the function, with zeros in place of
    shares.
    """
    fitted = {}
    for name, own in network.state_dict().items():
        old = tensors.get(name)
        if (
            old is None
            or old.ndim != own.ndim
            or any(a > b for a, b in zip(old.shape, own.shape, strict=True))
        ):
            continue  # left to load_state_dict's complaint
        value = own.clone()
        if own.ndim > 1:
            value[: old.shape[0], old.shape[1] :] = 0
        value[tuple(slice(length) for length in old.shape)] = old.to(value)
        fitted[name] = value
    network.load_state_dict({**tensors, **fitted})
