"""The optimisers of a recipe by name."""

from __future__ import annotations

import torch
from torch import nn

from vitascope.errors import DependencyMissing
from vitascope.training.muon import Muon
from vitascope.training.recipe import Optimiser


def new_optimiser(recipe: Optimiser, params: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser that the recipe names. Raises: DependencyMissing."""
    lr, decay, betas = recipe.lr, recipe.weight_decay, recipe.betas
    if recipe.name == "adamw-8bit":
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            raise DependencyMissing("bitsandbytes", "train-8bit", "the optimiser adamw-8bit") from error
        return AdamW8bit(params, lr=lr, betas=betas, weight_decay=decay)
    if recipe.name == "prodigy":
        try:
            from prodigyopt import Prodigy
        except ImportError as error:
            raise DependencyMissing("prodigyopt", "prodigy", "the optimiser prodigy") from error
        return Prodigy(
            params, lr=lr, betas=betas, weight_decay=decay, use_bias_correction=True, safeguard_warmup=True
        )
    if recipe.name == "muon":
        return Muon(params, lr=lr, momentum=betas[0], weight_decay=decay)
    fused = all(p.is_cuda for p in params)
    return torch.optim.AdamW(params, lr=lr, betas=betas, weight_decay=decay, fused=fused)
