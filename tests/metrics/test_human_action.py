"""Whether people do what was asked for: the benchmark's rule on logits that are known, and its two files."""

import pytest
import torch

from tests.metrics.pictures import panning
from vitascope.engine.placement import Placement
from vitascope.errors import WeightsMissing
from vitascope.metrics import METRICS, measure
from vitascope.metrics.human_action import CATEGORIES, WEIGHTS, UmtModules, read_categories

LABELS = ["Riding a bike", "marching", "dodgeball", "juggling balls", "yoga", "zumba"]


class Logits(torch.nn.Module):
    """In place of UMT: logits that are known."""

    def __init__(self, probabilities):
        super().__init__()
        self.known = torch.nn.Parameter(torch.tensor(probabilities).logit())

    def forward(self, frames):
        assert frames.shape == (1, 16, 3, 224, 224)
        return self.known[None]


def value(probabilities, **knobs):
    modules = UmtModules(Logits(probabilities), LABELS)
    return METRICS["human-action"](**knobs).score(panning(20), modules=modules).value


def test_an_action_counts_among_the_five_likeliest_that_are_sure():
    sure = [0.9, 0.91, 0.849, 0.84996, 0.95, 0.96]
    assert value(sure, prompt="A person is Riding a Bike.") == 1
    assert value(sure, action="juggling balls") == 1, "0.85 once it is rounded to four places"
    assert value(sure, action="dodgeball") == 0, "unsure"
    crowded = [0.9, 0.91, 0.92, 0.93, 0.94, 0.95]
    assert value(crowded, action="riding a bike") == 0, "sixth"
    assert value(crowded, action="marching") == 1


def test_what_is_no_action_is_not_measured():
    assert value([0.9] * 6, action="filing taxes") is None and value([0.9] * 6, prompt="a dog") is None


def test_a_missing_or_wrong_file_is_named(tmp_path):
    metric = METRICS["human-action"]
    (lacking,) = measure(panning(4), [metric()])
    assert lacking.value is None and WEIGHTS in lacking.not_measured
    (tmp_path / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(WeightsMissing, match=f"needs {CATEGORIES} of Vchitect/VBench"):
        metric(weights=tmp_path / WEIGHTS).load(Placement())
    (tmp_path / CATEGORIES).write_text("".join(f"action {n}\t{n}\n" for n in range(400)))
    with pytest.raises(WeightsMissing, match="does not hold UMT"):
        metric(weights=tmp_path / WEIGHTS).load(Placement())


@pytest.mark.parametrize("text", ["yoga\t0\n", "yoga 0\n", "yoga\tnought\n", "\0"])
def test_a_list_of_other_classes_is_refused(tmp_path, text):
    path = tmp_path / CATEGORIES
    path.write_text("".join(f"action {n}\t{n}\n" for n in range(400)))
    assert read_categories(path)[7] == "action 7"
    path.write_text(text)
    with pytest.raises(WeightsMissing, match="does not list the 400 classes"):
        read_categories(path)
