"""`vitascope clean`: what was kept between runs goes."""

from __future__ import annotations


def clean() -> None:
    """Remove what is kept in VITASCOPE_HOME for reruns: clips of workflows' stages, and denoising that was stopped."""
    from vitascope.context import FolderCheckpoints
    from vitascope.settings import Settings
    from vitascope.workflows import ClipStore

    home = Settings.from_environment().home
    for kept in (ClipStore(home / "clips"), FolderCheckpoints(home / "checkpoints")):
        print(f"{kept.folder}: {kept.prune(0) / 2**20:.1f} MiB freed")
