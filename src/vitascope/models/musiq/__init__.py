"""MUSIQ: how good a picture is technically, as the benchmarks measure it."""

from vitascope.models.musiq.network import Musiq, load_musiq

__all__ = ["Musiq", "load_musiq"]
