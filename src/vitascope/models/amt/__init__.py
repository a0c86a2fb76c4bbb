"""AMT: the frame between two others, as the benchmarks measure smoothness with."""

from vitascope.models.amt.network import SMALLEST_SIDE, Amt, load_amt

__all__ = ["SMALLEST_SIDE", "Amt", "load_amt"]
