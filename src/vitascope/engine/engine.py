"""Loads an item's modules once, keeps them warm, lets the oldest go when there is no room."""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Protocol

from vitascope.engine.placement import Placement


class Loadable(Protocol):
    """What the engine asks of an item: how its modules are told apart, and how they are loaded."""

    def modules_key(self) -> Hashable:
        """Equal for two items that can share modules (knobs such as the number of steps left out).

        None: nothing that would be worth keeping warm.
        """
        ...

    def load(self, placement: Placement) -> Any:
        """The item's modules, placed as `placement` (already resolved) says; None if it needs none."""
        ...


class Engine:
    """The only room that knows devices: hands out loaded modules.

    Keeps the last `capacity` sets of modules warm. Thread-safe; one load at a time.
    """

    def __init__(self, placement: Placement | None = None, capacity: int = 2) -> None:
        self._asked = placement or Placement()
        self._resolved: Placement | None = None
        self._capacity = capacity
        self._warm: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def placement(self) -> Placement:
        """The placement with "auto" replaced; imports torch on first use."""
        if self._resolved is None:
            self._resolved = self._asked.resolve()
        return self._resolved

    def modules(self, item: Loadable) -> Any:
        """The modules of `item`: warm ones, or loaded now. Raises: WeightsMissing, OutOfMemory, NoNetwork."""
        with self._lock:
            if item.modules_key() is None:
                return item.load(self.placement)
            key = (type(item), item.modules_key())
            if key not in self._warm:
                while len(self._warm) >= self._capacity:
                    self._evict_oldest()
                self._warm[key] = item.load(self.placement)
            self._warm.move_to_end(key)
            return self._warm[key]

    def evict_all(self) -> None:
        """Let all modules go and give their memory back."""
        with self._lock:
            while self._warm:
                self._evict_oldest()

    def _evict_oldest(self) -> None:
        self._warm.popitem(last=False)
        gc.collect()
        if self.placement.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()
