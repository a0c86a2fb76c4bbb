"""Runs the command line in this process, as a shell would see it."""

import json
import sys
from dataclasses import dataclass

import pytest

from vitascope.cli.main import main


@dataclass
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


@pytest.fixture
def vitascope(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["vitascope", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run
