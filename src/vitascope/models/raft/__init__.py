"""RAFT: optical flow that is refined step by step, as the benchmarks measure motion with."""

from vitascope.models.raft.network import Raft, load_raft

__all__ = ["Raft", "load_raft"]
