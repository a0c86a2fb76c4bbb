"""Weights that come with Vitascope, each a folder in diffusers' layout."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"


def path(name: str) -> Path:
    """The folder of the model `name`, such as "sprout"; it may not exist."""
    return Path(__file__).parent / name
