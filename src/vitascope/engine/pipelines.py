"""Load diffusers pipelines, place them as a `Placement` says, and view them as another pipeline class."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import Any

from vitascope.engine import levers, memory, vae_tiles, weights
from vitascope.engine.failures import first_line, misfits_explained, out_of_memory
from vitascope.engine.levers import Levers
from vitascope.engine.placement import Placement
from vitascope.engine.subject import Gpu, Subject
from vitascope.errors import InvalidMedia, RequestError


@dataclass
class LoadedPipeline:
    """A diffusers pipeline on its device, and what a recipe says of its weights."""

    pipeline: Any
    placement: Placement
    fingerprint: str
    levers: Levers = field(default_factory=Levers)
    warnings: tuple[str, ...] = ()  # about its files, for whoever makes a clip with it

    def __post_init__(self) -> None:
        config = dict(self.pipeline.scheduler.config)
        # With this note diffusers would replace a value that was a default by another class's default.
        config.pop("_use_default_values", None)
        self._scheduler_config = config
        self._scheduler_class = type(self.pipeline.scheduler)

    def as_class(self, where: str) -> Any:
        """The same components in the pipeline class "module:Class", placed alike."""
        cls = import_class(where)
        if type(self.pipeline) is not cls:
            wanted = inspect.signature(cls.__init__).parameters
            given = {**self.pipeline.config, **self.pipeline.components}  # flags such as boundary_ratio too
            pipeline = cls(**{k: v for k, v in given.items() if k in wanted})
            pipeline.set_progress_bar_config(disable=True)
            taking_turns = self.levers.offload != "placement"
            self.pipeline = pipeline if taking_turns else place(pipeline, self.placement)
        return self.pipeline

    def new_scheduler(self, where: str | None = None, changes: Mapping[str, Any] | None = None) -> Any:
        """A fresh scheduler of the class "module:Class", or of the model's, with the model's settings."""
        cls = import_class(where) if where else self._scheduler_class
        known = inspect.signature(cls.__init__).parameters
        config = {**self._scheduler_config, **(changes or {})}
        return cls.from_config({key: value for key, value in config.items() if key in known})

    def new_original_scheduler(self) -> Any:
        """A fresh scheduler exactly as the model was saved with."""
        return self._scheduler_class.from_config(self._scheduler_config)


def import_class(where: str) -> Any:
    """The class named "module:Class".

    The module is named in full because `from diffusers import X` looks through all of diffusers first.
    """
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def load(where: str, folder: Path, placement: Placement, **components: Any) -> Any:
    """The pipeline class "module:Class" with the weights in `folder`, placed, as diffusers has it.

    Raises: as `read` and `place`.
    """
    return place(read(where, folder, placement, **components), placement)


def read(where: str, folder: Path, placement: Placement, **components: Any) -> Any:
    """The pipeline class "module:Class" with the weights in `folder`, in main memory.

    `components` stand in for those that it would load. The dtype is always given: without it the text
    encoder alone comes up in the dtype of its file.
    Pickled weights are read by diffusers and transformers with `weights_only=True`.
    Raises: InvalidMedia for weights that do not fit their configuration.
    """
    import torch

    from vitascope.engine.folder_configs import misfit
    from vitascope.engine.text_encoders import LazyTextEncoder
    from vitascope.engine.transformers_nets import nets_of

    cls = import_class(where)
    dtype = getattr(torch, placement.dtype)
    components |= nets_of(folder, set(inspect.signature(cls.__init__).parameters) - set(components), dtype)
    # diffusers takes no stand-ins for models while it loads, but does so afterwards.
    lazy = {name: part for name, part in components.items() if isinstance(part, LazyTextEncoder)}
    given = {**components, **dict.fromkeys(lazy)}
    try:
        with quiet():
            variant = next(filter(None, map(weights.variant_of, sorted(folder.iterdir()))), None)
            pipeline = cls.from_pretrained(
                folder, dtype=dtype, local_files_only=True, variant=variant, **given
            )
            pipeline.register_modules(**lazy)
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        reason = misfit(folder, cls) or first_line(error).partition(". If you want")[0]
        raise InvalidMedia(
            f"{str(folder)!r} cannot be loaded as {cls.__name__}: {reason}",
            param="model",
        ) from error
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            _check_filled(part, folder / name)
    return pipeline


def read_net(where: str, folder: Path, dtype: Any) -> Any:
    """The network of diffusers "module:Class" in `folder`, in main memory.

    Raises: InvalidMedia for weights that do not fit their configuration, or lack a tensor.
    """
    cls = import_class(where)
    with misfits_explained(folder, cls.__name__), quiet():
        variant = weights.variant_of(folder)
        net = cls.from_pretrained(folder, dtype=dtype, local_files_only=True, variant=variant)
    _check_filled(net, folder)
    return net


def _check_filled(net: Any, folder: Path) -> None:
    """diffusers leaves a parameter that its files lack without memory, and says so nowhere."""
    places = dict(net.named_parameters())
    empty = [key for key, parameter in places.items() if parameter.is_meta]
    if empty:
        raise InvalidMedia(
            f"{str(folder)!r} lacks {len(empty)} of the {len(places)} tensors of a {type(net).__name__}, such as "
            f"{empty[0]!r}: not all of its weights, or another model's",
            param="model",
        )


def accelerated(pipeline: Any, placement: Placement) -> tuple[Any, Levers]:
    """Place a pipeline that was never placed, and do to it what the placement's speed asks for.

    Raises: RequestError, ResourceError, DependencyMissing for a switch that this model or machine cannot have.
    """
    chosen = levers_for(pipeline, placement)
    memory.cap(placement)
    levers.shrink(pipeline, chosen, placement.device)
    if chosen.offload == "placement":
        pipeline = place(pipeline, placement)
    else:
        for part in pipeline.components.values():
            if hasattr(part, "leaves_after_use"):
                part.leaves_after_use = True
        pipeline.set_progress_bar_config(disable=True)
    if chosen.vae_tiling:
        vae_tiles.enable(pipeline.vae)
    levers.pull(pipeline, chosen, placement.device)
    return pipeline, chosen


def levers_for(pipeline: Any, placement: Placement) -> Levers:
    """The levers of a loaded pipeline on this machine, with what is new on GPUs tried first.

    Raises: RequestError, ResourceError, DependencyMissing for a switch that this model or machine cannot have.
    """
    subject, gpu = Subject.of(pipeline), Gpu.here(placement.device)
    chosen = levers.decide(subject, placement, gpu)
    return chosen if gpu is None else _proven(chosen, subject, placement, gpu)


def _proven(chosen: Levers, subject: Subject, placement: Placement, gpu: Gpu) -> Levers:
    """What is new on GPUs is tried on a few tokens first; what does not work here is left out, and said."""
    import torch

    from vitascope.engine import attention, quantize

    device, dtype = torch.device(placement.device), getattr(torch, placement.dtype)
    if chosen.attention == "sage" and not attention.works("sage", device, dtype, subject.head_dim):
        chosen = levers.decide_without_sage(subject, placement, gpu)
    if chosen.linears == "fp8":
        chosen = chosen.with_proven_linears(quantize.fp8_works(device), placement.quantize)
    if chosen.attention == "int8":
        exact = attention.best_exact(device, dtype)
        chosen = chosen.with_proven_kernel(attention.works("int8", device), exact, placement.attention)
    return chosen


def place(pipeline: Any, placement: Placement) -> Any:
    """Move a pipeline to where `placement` says, with its VAE options.

    Raises: RequestError for tiling that this VAE cannot do.
    """
    from vitascope.engine.cpu_convolutions import use_onednn

    pipeline.set_progress_bar_config(disable=True)
    if placement.offload == "model":
        pipeline.enable_model_cpu_offload(device=placement.device)
    elif placement.offload == "sequential":
        whole = [*pipeline._exclude_from_cpu_offload, *_never_layer_by_layer(pipeline)]
        pipeline._exclude_from_cpu_offload = whole
        pipeline.enable_sequential_cpu_offload(device=placement.device)
    else:
        pipeline.to(placement.device)
    for wanted, method, enable in (
        (placement.vae_tiling, "enable_tiling", vae_tiles.enable),
        (placement.vae_slicing, "enable_slicing", methodcaller("enable_slicing")),
    ):
        if wanted:
            _enabled(pipeline.vae, method, enable)
    if placement.device == "cpu" and getattr(pipeline, "vae", None) is not None:
        use_onednn(pipeline.vae)
    return pipeline


def _never_layer_by_layer(pipeline: Any) -> list[str]:
    """Parts with torch's MultiheadAttention: it reads weights of a layer it never calls, so no hook brings them."""
    from torch import nn

    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    return [
        name
        for name, part in parts.items()
        if any(isinstance(module, nn.MultiheadAttention) for module in part.modules())
    ]


def _enabled(vae: Any, method: str, enable: Callable[[Any], object]) -> None:
    """Have a VAE do what not all can: some lack the method, others of diffusers have it and refuse."""
    option = f"vae_{method.removeprefix('enable_')}"
    cannot = RequestError(f"{type(vae).__name__} has no {method}; leave {option} off", param=option)
    if not hasattr(vae, method):
        raise cannot
    try:
        enable(vae)
    except NotImplementedError as error:
        raise cannot from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the loaders' progress bars and notes off the terminal, not their errors."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = [(room, room.get_verbosity()) for room in (diffusers_logging, transformers_logging)]
    bars = transformers_logging.is_progress_bar_enabled()
    for room, _ in levels:
        room.set_verbosity(logging.ERROR)
        room.disable_progress_bar()
    try:
        yield
    finally:
        for room, level in levels:
            room.set_verbosity(level)
        if bars:
            for room, _ in levels:
                room.enable_progress_bar()


def environment(placement: Placement) -> dict[str, str]:
    """The versions and the device that a recipe names."""
    import diffusers
    import torch
    import transformers

    said = {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "device": placement.device,
        "dtype": placement.dtype,
    }
    if placement.device.startswith("cuda"):
        said["gpu"] = torch.cuda.get_device_name(placement.device)
    return said


def check_switches(model: str, placement: Placement) -> None:
    """Check, before a published model is downloaded, that it can have what `placement` asks for.

    Memory is looked at once the weights are here. Raises: as `levers.decide`.
    """
    from vitascope.engine.planned_run import subject_of
    from vitascope.engine.workload import published

    sizes = published().get(model)
    if sizes is not None:
        asked = placement.model_copy(update={"memory_gib": None})
        levers.decide(subject_of(sizes, placement.dtype), asked, Gpu.here(placement.device))
