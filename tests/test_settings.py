"""What the environment says, and what is wrong with it."""

from pathlib import Path

import pytest

from vitascope.errors import RequestError
from vitascope.settings import Settings


def test_folders_go_from_the_most_to_the_least_said():
    of = Settings.from_environment
    assert of({"XDG_CACHE_HOME": "/c"}).home == Path("/c/vitascope")
    said = of({"XDG_CACHE_HOME": "/c", "VITASCOPE_HOME": "~/v"})
    assert said.home == Path.home() / "v" and said.metric_weights == said.home / "metrics"
    assert of({"VITASCOPE_METRIC_WEIGHTS": "/m"}).metric_weights == Path("/m")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def nowhere(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(nowhere))
    with pytest.raises(RequestError, match="set VITASCOPE_HOME"):
        Settings.from_environment({})
    assert Settings.from_environment({"VITASCOPE_HOME": "/v"}).home == Path("/v")


def test_the_home_of_nobody_is_refused_by_name():
    with pytest.raises(RequestError, match="VITASCOPE_HOME='~nosuchuser/x'"):
        Settings.from_environment({"VITASCOPE_HOME": "~nosuchuser/x"})
