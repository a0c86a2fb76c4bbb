"""Run a network as one CUDA graph: launching its hundreds of small kernels one by one takes longer than they do."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

from vitascope.models.sgm_vfi.network import SGMVFI

GRAPHS_KEPT = 4
WARM_UPS = 2


@dataclass(frozen=True, eq=False)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    first: Tensor
    second: Tensor
    middle: Tensor


class GraphedNetwork:
    """A network on a GPU that replays what it did for frames of the same size; safe to call from threads.

    The last four sizes are kept; they share the work space of the largest.
    """

    def __init__(self, network: SGMVFI) -> None:
        self.network = network
        self._kept: OrderedDict[tuple[object, ...], _Recorded] = OrderedDict()
        self._pool = torch.cuda.graph_pool_handle()  # no two run at once, so all may work in the same memory
        self._busy = threading.Lock()

    @torch.inference_mode()
    def __call__(self, first: Tensor, second: Tensor, flow_scale: float = 1.0) -> Tensor:
        """As `SGMVFI.forward`, replayed from a CUDA graph."""
        key = (*first.shape, first.dtype, flow_scale)
        with self._busy:
            if key not in self._kept:
                self._kept[key] = self._record(first, second, flow_scale)
            self._kept.move_to_end(key)
            while len(self._kept) > GRAPHS_KEPT:
                self._kept.popitem(last=False)
            recorded = self._kept[key]
            recorded.first.copy_(first)
            recorded.second.copy_(second)
            recorded.graph.replay()
            return recorded.middle.clone()

    def _record(self, first: Tensor, second: Tensor, flow_scale: float) -> _Recorded:
        first, second = first.clone(), second.clone()
        beside = torch.cuda.Stream(first.device)
        beside.wait_stream(torch.cuda.current_stream(first.device))
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                self.network(first, second, flow_scale=flow_scale)
        torch.cuda.current_stream(first.device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            middle = self.network(first, second, flow_scale=flow_scale)
        return _Recorded(graph, first, second, middle)
