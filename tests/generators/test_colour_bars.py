"""The generator without a model refuses what would change nothing."""

import pytest

import vitascope
from vitascope.context import Context
from vitascope.errors import VitascopeError


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        ({"attention": "sdpa"}, "attention='sdpa' has no effect on a model without a transformer"),
        ({"compile": True}, "compile has no effect on a model without a transformer"),
        ({"quantize": "fp8"}, "a model without a transformer has no fp8 linears"),
        ({"vae_streaming": True}, "vae_streaming has no effect on a model without a VAE"),
        ({"skip_interval": 3}, "skip_interval has no effect on a model without a transformer"),
        ({"vae_tiling": True}, "vae_tiling=True has no effect on a model without a VAE"),
        ({"text_encoder_precision": "int8"}, "has no effect on a model without a text encoder"),
        ({"vae_slicing": True}, "no effect on one clip"),
    ],
)
def test_a_switch_without_effect_is_an_error(switch, said):
    with pytest.raises(VitascopeError, match=said):
        vitascope.generate("a star", model="colour-bars", **switch)


def test_a_speed_word_that_can_hasten_nothing_says_so():
    context = Context()
    vitascope.generate("a star", model="colour-bars", speed="turbo", context=context)
    assert "steps are skipped for transformers only" in " ".join(context.warnings)
