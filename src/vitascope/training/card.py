"""The card that goes with a LoRA: what it is for, what made it, how it is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitascope.atomic import write_bytes
from vitascope.training.recipe import Recipe

_HEAD = """---
library_name: diffusers
base_model: {base}
tags: [lora, text-to-video, vitascope]
---
# {name}

A LoRA for {base}, rank {rank}, alpha {alpha:g}, trained with Vitascope {version} for {steps} steps.
"""

_USE = """
## Use
```sh
vitascope generate "{prompt}" --model {base} --lora {name}.safetensors
```
```python
pipe.load_lora_weights("{name}.safetensors")  # diffusers
```
`{name}-comfyui.safetensors` is the same in the names that ComfyUI reads.
"""


def write_card(
    folder: Path,
    recipe: Recipe,
    steps: int,
    data: tuple[int, str, str],
    samples: Sequence[Path],
    said: dict[str, str],
) -> Path:
    """Write README.md beside the LoRA. `data`: how many clips, their hash, the base's fingerprint."""
    import yaml

    from vitascope import __version__

    triggers = [source.trigger for source in recipe.data if source.trigger]
    prompt = next(iter(recipe.validation.prompts), f"{triggers[0]}, ..." if triggers else "...")
    lines = [
        _HEAD.format(
            base=recipe.model,
            name=recipe.name,
            rank=recipe.adapter.rank,
            alpha=recipe.adapter.strength,
            version=__version__,
            steps=steps,
        )
    ]
    if triggers:
        lines.append(
            "\n" + "Trigger words: " + ", ".join(f"`{word}`" for word in dict.fromkeys(triggers)) + "\n"
        )
    lines.append(_USE.format(prompt=prompt, base=recipe.model, name=recipe.name))
    if samples:
        lines.append("\n## Samples\n")
        lines += [
            f"- `{p.relative_to(folder)}`: {text}\n"
            for p, text in zip(samples, recipe.validation.prompts, strict=False)
        ]
    count, content, base = data
    lines.append(f"\n## Made from\n{count} clips, content hash `{content[:16]}`; base weights `{base}`\n")
    lines.append("".join(f"- {name}: {value}\n" for name, value in said.items()))
    settings = recipe.model_dump(mode="json", exclude_defaults=True)
    lines.append(f"\n```yaml\n{yaml.safe_dump(settings, allow_unicode=True, sort_keys=False)}```\n")
    return write_bytes(folder / "README.md", "".join(lines).encode())
