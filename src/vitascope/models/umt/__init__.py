"""UMT: what people do in a video, as Kinetics-400 names it."""

from vitascope.models.umt.network import NUM_FRAMES, SIDE, Umt, load_umt

__all__ = ["NUM_FRAMES", "SIDE", "Umt", "load_umt"]
