"""The model that is fine-tuned: found, looked at, and loaded part by part."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.engine import memory, pipelines, weights
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError
from vitascope.generators import for_model
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.settings import Settings
from vitascope.training.cache import Encoders
from vitascope.training.dataset import Bucket
from vitascope.training.families import family_for
from vitascope.training.families.base import Family
from vitascope.training.recipe import Recipe
from vitascope.training.trainable import buckets_of, check_samples

LOW_MEMORY_GIB = 30.0
"""Below this much free memory the VAE encodes in tiles, which changes its last bits."""


@dataclass(frozen=True)
class BaseModel:
    """A model in diffusers layout and what is known of it; nothing is loaded until asked."""

    generator: DiffusersGenerator
    family: Family
    folder: Path
    config: Mapping[str, Any]
    where: str

    @classmethod
    def find(cls, recipe: Recipe, settings: Settings) -> BaseModel:
        """From the recipe's model. Raises: UnknownName, NotFound, WeightsMissing, NoNetwork, RequestError."""
        knobs = {"revision": recipe.revision} if recipe.revision else {}
        generator = for_model(recipe.model, **knobs)
        if not isinstance(generator, DiffusersGenerator):
            raise RequestError(
                f"{recipe.model!r} cannot be fine-tuned: it is not a diffusers model", param="model"
            )
        source = generator.source()
        if source.kind == "file":
            raise RequestError(
                f"{recipe.model!r} is a single file; fine-tuning needs the folder of its model", param="model"
            )
        configs = weights.read_configs(source, offline=settings.offline)
        config = dict(configs.component("transformer"))
        family = family_for(configs.pipeline, recipe.model, config)
        check_samples(recipe, configs.pipeline or "")
        folder = weights.local_path(source, offline=settings.offline)
        weights.check_folder(folder, generator.pipelines)
        kind = "image-to-video" if family.from_image else "text-to-video"
        return cls(generator, family, folder, config, generator.pipeline_for[kind])

    def buckets(self, recipe: Recipe) -> tuple[Bucket, ...]:
        """The recipe's sizes, each one that the model can make. Raises: UnsupportedTask with the nearest."""
        return buckets_of(self.generator, recipe)

    def fps(self, recipe: Recipe) -> float:
        """The frame rate of validation clips."""
        return recipe.video.fps or float(self.generator.profile().fps)

    def _component_names(self) -> list[str]:
        index = weights.read_json(self.folder / "model_index.json")
        return [name for name, kind in index.items() if isinstance(kind, list) and kind and kind[0]]

    def pipeline(self, placement: Placement, *wanted: str) -> Any:
        """The pipeline with these components alone (and the scheduler). Raises: OutOfMemory, InvalidMedia."""
        left_out = {n: None for n in self._component_names() if n not in (*wanted, "scheduler")}
        sizes = memory.component_gib(self.folder, placement.dtype)
        memory.check_room({n: gib for n, gib in sizes.items() if n in wanted}, placement)
        return pipelines.load(self.where, self.folder, placement, **left_out)

    def encoders(self, placement: Placement) -> Encoders:
        """What encodes clips and captions; one of the two is in memory at a time."""
        held: dict[str, Any] = {}

        def load(part: str) -> Any:
            held.clear()
            gc.collect()
            if part == "vae":
                tiled = placement.device.startswith("cuda") and memory.free_gib(placement) < LOW_MEMORY_GIB
                place = placement.model_copy(update={"vae_tiling": tiled})
                held[part] = self.pipeline(place, "vae").vae.requires_grad_(False)
            else:
                held[part] = self.pipeline(placement, *self.family.prompt_parts)
            return held[part]

        texts = [weights.fingerprint(self.folder / n) for n in self.family.prompt_parts if "encoder" in n]
        texts.append(placement.dtype)
        vae = f"{weights.fingerprint(self.folder / 'vae')}+{placement.dtype}"
        marks = {"vae": vae, "prompts": "+".join(texts)}
        return Encoders(self.family, load, marks, self.generator.profile().max_sequence_length)

    def with_vae(self, pipeline: Any, placement: Placement) -> Any:
        """The training's pipeline with the VAE added, to make clips."""
        vae = self.pipeline(placement, "vae").vae
        return type(pipeline)(**{**pipeline.components, "vae": vae})

    @property
    def parameters(self) -> float:
        """The number of parameters of the denoiser."""
        return memory.component_gib(self.folder, "float32")["transformer"] * memory.GIB / 4
