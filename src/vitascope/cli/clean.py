"""`vitascope clean`: what was kept between runs goes."""

from __future__ import annotations


def clean() -> None:
    """Remove the clips of workflows' stages that are kept in VITASCOPE_HOME for reruns."""
    from vitascope.settings import Settings
    from vitascope.workflows import ClipStore

    folder = Settings.from_environment().home / "clips"
    freed = ClipStore(folder).prune(0)
    print(f"{folder}: {freed / 2**20:.1f} MiB freed")
