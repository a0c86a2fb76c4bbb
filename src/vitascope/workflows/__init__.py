"""Composition: generators and steps put together, as data."""

from vitascope.workflows.chain import Chain
from vitascope.workflows.store import ClipStore
from vitascope.workflows.workflow import Workflow, load

__all__ = ["Chain", "ClipStore", "Workflow", "load"]
