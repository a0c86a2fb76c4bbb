"""Watching a pipeline denoise: progress, cancellation, and going on where a crash left off.

The pipeline's own loop runs; its scheduler's `step` and its denoiser's `forward` are wrapped for one call.
To resume after step k, the loop is replayed: its first k steps cost nothing, then the scheduler, the random
number generators and the latents are put back as they were. The result is equal bit by bit on the same
machine.

Source: measured for DDIM, CogVideoXDPM, DPM++, SDE-DPM++ and UniPC with diffusers 0.42.1; slicing the list of
timesteps instead is equal for DDIM alone, since other schedulers remember earlier outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from vitascope.context import Context
from vitascope.engine import denoising_state
from vitascope.engine.denoising_state import DenoisingState, Unsaveable
from vitascope.engine.preview import Previews
from vitascope.errors import ResourceError

DENOISERS = ("transformer", "transformer_2", "unet")


@dataclass
class Denoising:
    """One watched call: how many steps were done, how often the denoiser ran, where it was taken up again.

    `kept`: plain values and tensors that a lever remembers from step to step; saved with the state.
    """

    pipeline: Any
    context: Context
    identity: str
    generators: Sequence[Any] = ()
    previews: Previews | None = None
    resumed_from: int = 0
    num_denoiser_calls: int = 0
    num_steps_done: int = 0
    num_cached_calls: int = 0
    num_unguided_steps: int = 0
    output_shape: tuple[int, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict)
    _saved: DenoisingState | None = None
    _scheduler_at_start: dict[str, Any] = field(default_factory=dict)

    @property
    def denoisers(self) -> list[Any]:
        """The networks that the pipeline asks: one, or an expert each for high and low noise."""
        return [part for name in DENOISERS if (part := getattr(self.pipeline, name, None)) is not None]

    @property
    def name(self) -> str:
        """The name of this run's state in the checkpoint store."""
        return f"denoising-{self.identity[:16]}.safetensors"

    @property
    def num_steps(self) -> int:
        """How many steps the running loop has."""
        counted = getattr(self.pipeline, "_num_timesteps", None)
        return counted or len(self.pipeline.scheduler.timesteps)

    @functools.cached_property
    def timesteps(self) -> list[float]:
        """The timesteps of the running loop on the host; read once."""
        return [float(timestep) for timestep in self.pipeline.scheduler.timesteps.tolist()]

    @property
    def replaying(self) -> bool:
        """Whether steps of an interrupted run are being replayed."""
        return self._saved is not None and self.num_steps_done < self._saved.step

    def find_saved(self) -> None:
        """Look for the state of an interrupted run with the same inputs.

        Raises: InvalidMedia for a foreign or damaged one.
        """
        store = self.context.checkpoints
        data = store.load(self.name) if store else None
        if data is not None:
            self._saved = denoising_state.from_bytes(data, self.identity)
            self.resumed_from = self._saved.step

    def forget_saved(self) -> None:
        """The run is over: its state is of no use any more."""
        if self.context.checkpoints:
            self.context.checkpoints.delete(self.name)

    def wrap_forward(self, forward: Any) -> Any:
        """A denoiser's forward that is counted, can be cancelled, and costs nothing while replaying."""

        @functools.wraps(forward)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.context.check_cancelled()
            if self._saved is not None and self.replaying:
                return _stand_in(self._saved, kwargs.get("return_dict", True), args, kwargs)
            output = forward(*args, **kwargs)
            self.num_denoiser_calls += 1
            self.output_shape = tuple(_first_tensor(output).shape)
            return output

        return watched

    def wrap_step(self, step: Any) -> Any:
        """A scheduler's step that reports, saves, and is replayed.

        The signature is kept: diffusers looks for the parameter `generator` and else loses the seed.
        """

        @functools.wraps(step)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self.num_steps_done == 0:
                self._scheduler_at_start = dict(vars(self.pipeline.scheduler))
            if self._saved is not None and self.replaying:
                output = self._replay_one(self._saved)
            else:
                output = step(*args, **kwargs)
                self.num_steps_done += 1
                self._save_if_due(output)
            preview = self.previews.of(output) if self.previews and not self.replaying else None
            self.context.progress("denoise", self.num_steps_done, self.num_steps, preview)
            if self.num_steps_done == self.num_steps:
                self.context.progress("decode", 0, 1)
            return output

        return watched

    def _replay_one(self, saved: DenoisingState) -> Any:
        self.num_steps_done += 1
        if self.num_steps_done == saved.step:
            self.num_denoiser_calls = saved.num_denoiser_calls
            self.num_unguided_steps = saved.num_unguided_steps
            self.kept.update(saved.kept)
            self.output_shape = saved.denoiser_output_shape
            denoising_state.restore(saved, self.pipeline.scheduler, self.generators)
        return _as_returned(saved.output)

    def _save_if_due(self, output: Any) -> None:
        store, every = self.context.checkpoints, self.context.checkpoint_every
        last = self.num_steps_done >= self.num_steps  # kept too: a decoding that fails costs no denoising
        if store is None or every <= 0 or (self.num_steps_done % every and not last):
            return
        try:
            state = denoising_state.capture(
                self.pipeline.scheduler, self._scheduler_at_start, self.generators, _fields_of(output)
            )
        except Unsaveable as reason:
            self.context.warn(f"the denoising state cannot be saved: {reason}")
            return
        state.step = self.num_steps_done
        state.num_denoiser_calls = self.num_denoiser_calls
        state.num_unguided_steps = self.num_unguided_steps
        state.kept = self.kept
        state.denoiser_output_shape = self.output_shape
        try:
            store.save(self.name, denoising_state.to_bytes(state, self.identity))
        except ResourceError as error:
            self.context.warn(f"the denoising state is not kept: {error}")


@contextmanager
def watched(
    pipeline: Any,
    context: Context,
    identity: str,
    generators: Sequence[Any] = (),
    previews: Previews | None = None,
) -> Iterator[Denoising]:
    """Watch one call of `pipeline`; all wrapping is undone at the end.

    `identity`: a hash of everything that decides the result. `generators`: those given to the call.
    Raises: JobCancelled out of the call, InvalidMedia for a state saved by another run.
    """
    run = Denoising(pipeline, context, identity, generators, previews)
    run.find_saved()
    scheduler = pipeline.scheduler
    undo = [(part, vars(part).get("forward")) for part in run.denoisers]
    for part in run.denoisers:
        part.forward = run.wrap_forward(part.forward)
    scheduler.step = run.wrap_step(scheduler.step)
    try:
        yield run
        run.forget_saved()
    finally:
        del scheduler.step
        for part, own in undo:
            if own is None:
                del part.forward
            else:
                part.forward = own  # the hook of an offloading placement


def _first_tensor(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else getattr(output, "sample", output)


def _stand_in(saved: DenoisingState, return_dict: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a skipped denoiser call returns: zeros that take no memory, of the right shape."""
    import torch

    like = next(value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
    zeros = torch.zeros((), dtype=like.dtype, device=like.device).expand(saved.denoiser_output_shape)
    return SimpleNamespace(sample=zeros) if return_dict else (zeros,)


def _fields_of(output: Any) -> dict[str, Any]:
    if isinstance(output, tuple):
        return {str(index): value for index, value in enumerate(output)}
    return dict(output)


def _as_returned(fields: dict[str, Any]) -> Any:
    if all(name.isdigit() for name in fields):
        return tuple(fields.values())
    return SimpleNamespace(**fields)
