"""Weights that live in main memory and visit the GPU: whole parts in turn, or a transformer block by block.

Weights do not change while a clip is made, so a visit copies one way: from page-locked memory, and leaving is
free. Blocks are copied one ahead on a stream of their own, hidden behind the block that computes.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

ALIGNMENT = 256


class Packed:
    """The parameters and buffers of some modules in one page-locked piece of main memory."""

    def __init__(
        self, modules: Iterable[nn.Module], device: torch.device, without: Sequence[nn.Module] = ()
    ) -> None:
        left_out = {id(tensor) for module in without for tensor in _tensors(module)}
        self.device = device
        self._owned: list[tuple[Tensor, int]] = []
        size = 0
        for tensor in (tensor for module in modules for tensor in _tensors(module)):
            if id(tensor) not in left_out:
                self._owned.append((tensor, size))
                size += -(-tensor.numel() * tensor.element_size() // ALIGNMENT) * ALIGNMENT
        self.num_bytes = size
        self._home = torch.empty(size, dtype=torch.uint8)
        pairs = self._views(self._home)
        for tensor, view in pairs:
            view.copy_(tensor)
        if device.type == "cuda" and size and not _lock_pages(self._home, self):
            self._home = self._home.pin_memory()
            pairs = self._views(self._home)
        for tensor, view in pairs:
            tensor.data = view

    def _views(self, storage: Tensor) -> list[tuple[Tensor, Tensor]]:
        views = []
        for tensor, start in self._owned:
            piece = storage[start : start + tensor.numel() * tensor.element_size()]
            # Channels stay last where they were: graphs were compiled for that, and convolutions are faster so.
            strides = torch.empty_like(tensor, device="meta").stride()
            views.append((tensor, piece.view(tensor.dtype).as_strided(tensor.shape, strides)))
        return views

    @torch.inference_mode(False)  # weights stay ordinary tensors, which compiled blocks were made for
    def move_to(self, storage: Tensor) -> None:
        """Copy everything into `storage`, on the current stream, and let the modules use it there."""
        storage[: self.num_bytes].copy_(self._home, non_blocking=True)
        for tensor, view in self._views(storage):
            tensor.data = view

    @torch.inference_mode(False)
    def enter(self) -> None:
        """Move onto the device, into newly allocated memory."""
        self.move_to(torch.empty(self.num_bytes, dtype=torch.uint8, device=self.device))

    @torch.inference_mode(False)
    def leave(self) -> None:
        """Point back to main memory; what was on the device is let go."""
        for tensor, view in self._views(self._home):
            tensor.data = view


def _lock_pages(memory: Tensor, owner: object) -> bool:
    """Page-lock `memory` where it lies until `owner` goes; whether the system lets us.

    Torch's own page-locked memory comes in powers of two: up to twice as much of the machine's.
    """
    cudart: Any = torch.cuda.cudart()
    if int(cudart.cudaHostRegister(memory.data_ptr(), memory.numel(), 0)):
        return False
    weakref.finalize(owner, cudart.cudaHostUnregister, memory.data_ptr()).atexit = False
    return True


def _tensors(module: nn.Module) -> list[Tensor]:
    seen: dict[int, Tensor] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        seen.setdefault(id(tensor), tensor)
    return list(seen.values())


class Visit:
    """A part's turn on the device: when it is called, the part that was there goes.

    diffusers asks `_hf_hook.execution_device` where a pipeline computes and calls `pre_forward` before a VAE's
    encode and decode; other parts are told by a hook of their own.
    """

    def __init__(self, packed: Packed, turn: Turn) -> None:
        self.execution_device = packed.device
        self._packed, self._turn = packed, turn

    def pre_forward(self, *_: Any) -> None:
        """Be on the device from now on."""
        self._turn.give(self._packed)


class Turn:
    """Remembers which part is on the device, so that the next one takes its place."""

    def __init__(self) -> None:
        self._here: Packed | None = None

    def give(self, packed: Packed) -> None:
        """Let `packed` in and whoever was there out."""
        if self._here is packed:
            return
        if self._here is not None:
            self._here.leave()
            if packed.device.type == "cuda":
                torch.cuda.empty_cache()
        packed.enter()
        self._here = packed


def take_turns(parts: dict[str, nn.Module], device: str, streamed: Sequence[nn.Module] = ()) -> None:
    """Keep only the part that computes on `device`; `streamed` blocks come and go by themselves."""
    turn, where = Turn(), torch.device(device)
    for part in parts.values():
        visit = Visit(Packed([part], where, without=streamed), turn)
        part._hf_hook = visit  # type: ignore[assignment]
        part.register_forward_pre_hook(visit.pre_forward)
    if streamed:
        BlockStream(streamed, where)


class BlockStream:
    """Two places on the device for the blocks of one transformer: one computes, the next one arrives."""

    def __init__(self, blocks: Sequence[nn.Module], device: torch.device) -> None:
        self._packed = [Packed([block], device) for block in blocks]
        size = max(packed.num_bytes for packed in self._packed)
        self._cuda = device.type == "cuda"
        self._slots = [torch.empty(size, dtype=torch.uint8, device=device) for _ in range(2)]
        self._in_slot = [-1, -1]
        self._copies: Any = torch.cuda.Stream(device) if self._cuda else None
        self._arrived: list[Any] = [torch.cuda.Event() if self._cuda else None for _ in self._slots]
        self._done: list[Any] = [torch.cuda.Event() if self._cuda else None for _ in self._slots]
        for index, block in enumerate(blocks):
            block.register_forward_pre_hook(self._before(index))
            block.register_forward_hook(self._after(index))

    def _before(self, index: int) -> Any:
        def arrive(*_: Any) -> None:
            self._fetch(index)
            if self._cuda:
                torch.cuda.current_stream().wait_event(self._arrived[index % 2])
            following = (index + 1) % len(self._packed)
            if following % 2 != index % 2:  # else it would land on the block that computes
                self._fetch(following)

        return arrive

    def _after(self, index: int) -> Any:
        def depart(*_: Any) -> None:
            if self._cuda:
                self._done[index % 2].record()

        return depart

    def _fetch(self, index: int) -> None:
        slot = index % 2
        if self._in_slot[slot] == index:
            return
        if self._in_slot[slot] >= 0:
            self._packed[self._in_slot[slot]].leave()
        with torch.cuda.stream(self._copies) if self._cuda else contextlib.nullcontext():
            if self._cuda and self._in_slot[slot] >= 0:
                self._copies.wait_event(self._done[slot])
            self._packed[index].move_to(self._slots[slot])
            if self._cuda:
                self._arrived[slot].record(self._copies)
        self._in_slot[slot] = index
