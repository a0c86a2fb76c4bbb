"""Composition: generators and steps put together, as data."""

from vitascope.workflows.chain import Chain

__all__ = ["Chain"]
