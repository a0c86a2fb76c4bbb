"""ViCLIP: videos and sentences as vectors in one space."""

from vitascope.models.viclip.network import ViClip, load_viclip

__all__ = ["ViClip", "load_viclip"]
