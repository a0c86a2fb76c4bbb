"""`--label` on the command line: what ends in the file, what `info` tells, what is refused before the run."""

import shlex

import pytest

BARS = ("--model", "colour-bars", "-q")


def test_a_clip_is_labelled_told_of_treated_and_made_again(vitascope):
    assert vitascope("generate", "a star", *BARS, "--label", "cn", "-o", "a.mp4").code == 0
    told = vitascope("info", "a.mp4", "--json").json()
    label = told["labels"]["aigc"]
    assert label["Label"] == "1" and told["labels"]["visible_mark_s"] == 2.0
    assert "ContentProducer: Vitascope" in vitascope("info", "a.mp4").out
    assert vitascope("apply", "reverse", "a.mp4", "-o", "b.gif", "-q", "--label", "none").code == 0
    assert vitascope("info", "b.gif", "--json").json()["labels"]["aigc"] == label
    for command in (shlex.split(told["command"])[1:], ["run", "a.mp4", "-o", "again.mp4", "-q"]):
        assert vitascope(*command).code == 0
        assert (
            vitascope("info", "again.mp4", "--json").json()["labels"]["aigc"]["ProduceID"]
            == label["ProduceID"]
        )


def test_the_environment_is_the_default_and_the_flag_wins(vitascope, monkeypatch):
    monkeypatch.setenv("VITASCOPE_LABEL", "cn")
    monkeypatch.setenv("VITASCOPE_LABEL_PRODUCER", "工作室")
    vitascope("run", "loop", "a star", "--set", "generate.model=colour-bars", "-q", "-o", "a.webm")
    assert vitascope("info", "a.webm", "--json").json()["labels"]["aigc"]["ContentProducer"] == "工作室"
    vitascope("generate", "a star", *BARS, "--label", "none", "-o", "b.mp4")
    assert vitascope("info", "b.mp4", "--json").json()["labels"] == {}


@pytest.mark.parametrize(
    ("label", "output", "code", "words"),
    [
        ("china", "a.mp4", 2, "unknown label 'china'"),
        ("c2pa", "a.webm", 2, "cannot carry C2PA"),
        ("c2pa", "a.mp4", 3, "VITASCOPE_C2PA_CERT"),
    ],
)
def test_refusals_come_before_the_run(vitascope, tmp_path, label, output, code, words):
    done = vitascope("generate", "a star", *BARS, "--label", label, "-o", output)
    assert (done.code, done.err.count("\n")) == (code, 1) and words in done.err
    assert not (tmp_path / output).exists()
