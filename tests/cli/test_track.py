"""`vitascope catalog`, `vitascope measure` and the checks of `vitascope eval`."""

import pytest

BARS = ("generate", "a star", "--model", "colour-bars", "-q", "-o")


def test_the_catalogue_lists_shows_and_compares(vitascope):
    listed = vitascope("catalog", "list", "--task", "t2v", "--json").json()
    assert {"cogvideox", "mochi"} <= {word for card in listed for word in card["id"].split("-")}
    known = [card["id"] for card in listed][:2]
    shown = vitascope("catalog", "show", known[0])
    assert shown.code == 0
    assert "source" in shown.out
    compared = vitascope("catalog", "compare", *known)
    assert "licence" in compared.out
    assert vitascope("catalog", "show", "mochii").code == 2
    assert vitascope("catalog", "list", "--task", "dance").code == 2


def test_measures_clips_and_names_the_one_that_cannot_be_read(vitascope, tmp_path):
    vitascope(*BARS, "a.mp4")
    vitascope(*BARS, "b.mp4", "--seed", "3")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    table = vitascope("measure", "a.mp4", "b.mp4")
    assert table.code == 0, table.err
    assert "temporal-flickering" in table.out
    done = vitascope("measure", "a.mp4", "broken.mp4", "--metric", "psnr", "--reference", "a.mp4", "--json")
    assert done.code == 2
    assert "broken.mp4" in done.err
    assert list(done.json()) == ["a.mp4"]
    bare = vitascope("measure", "a.mp4", "--metric", "psnr", "--json").json()
    assert bare["a.mp4"][0]["value"] is None
    assert "reference" in bare["a.mp4"][0]["not_measured"]


def test_foreign_clips_damaged_odd_and_of_one_name_are_measured_or_named(vitascope, tmp_path):
    for number in range(7):
        vitascope(*BARS, f"{number}.mp4", "--seed", number)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0.mp4").write_bytes((tmp_path / "0.mp4").read_bytes())
    whole = (tmp_path / "1.mp4").read_bytes()
    middle = len(whole) // 2
    (tmp_path / "torn.mp4").write_bytes(whole[:middle])
    clips = [*(f"{number}.mp4" for number in range(7)), "other/0.mp4", "torn.mp4", "gone.mp4"]
    done = vitascope("measure", *clips)
    assert done.code == 2
    assert "2 of 10 clips could not be read: torn.mp4, gone.mp4" in done.err
    assert max(len(line) for line in done.out.splitlines() if "flickering" in line) <= 160
    assert "other/0.mp4" in done.out
    assert " 6.mp4" in done.out
    assert done.out.count("temporal-flickering (share)") == 2, "five clips side by side, then three"
    assert "trajectory-error-klt: no wanted trajectories" in done.out
    rows = vitascope("measure", "0.mp4", "torn.mp4", "--metric", "sharpness", "--metric", "psnr", "--csv")
    assert rows.code == 2
    assert vitascope("measure", ".", "--metric", "sharpness").out.count("sharpness") == 2, "eight clips in it"
    (tmp_path / "empty").mkdir()
    assert "holds no clips" in vitascope("measure", "empty").err
    head, sharp, psnr = rows.out.splitlines()
    assert head.startswith("clip,metric,value,unit") and sharp.startswith("0.mp4,sharpness,")
    assert psnr.startswith("0.mp4,psnr,,dB") and "reference" in psnr


def test_metrics_take_knobs_and_wrong_ones_are_named(vitascope):
    vitascope(*BARS, "a.mp4")
    sampled = ("measure", "a.mp4", "--metric", "piqe", "--json", "--set")
    assert vitascope(*sampled, "piqe.num_frames=1").json()["a.mp4"][0]["value"] is not None
    assert "niqe" in vitascope(*sampled, "niqe.num_frames=1").err
    assert "num_frames" in vitascope(*sampled, "piqe.num_frame=1").err
    assert vitascope("measure", "a.mp4", "--metric", "nique").code == 2


def test_adds_a_card_once_and_lists_it(vitascope, tmp_path):
    new = ("catalog", "add", "my-model", "--name", "My model", "--org", "Us", "--task", "t2v")
    facts = ("--released", "2026-03", "--licence", "open", "--fact", "licence=MIT")
    assert "--source" in vitascope(*new, *facts).err
    done = vitascope(*new, *facts, "--source", "https://example.org/paper")
    assert done.code == 0, done.err
    assert "My model" in vitascope("catalog", "list", "--since", "2026-03", "--until", "2026-03").out
    again = vitascope(*new, "--source", "https://example.org/paper")
    assert again.code == 2
    assert "already" in again.err
    (tmp_path / "wrong.toml").write_text("name = 1")
    assert vitascope("catalog", "add", "wrong.toml").code == 2


def test_writes_the_catalogue_as_one_page(vitascope, tmp_path):
    assert vitascope("catalog", "page", "out.html", "--language", "zh").code == 0
    assert "Mochi 1" in (tmp_path / "out.html").read_text()
    assert vitascope("catalog", "page", "out.html", "--language", "fr").code == 2


def test_votes_go_out_and_in_and_boards_say_what_they_lack(vitascope, tmp_path):
    suite = "name: s\nitems:\n  - {id: a, prompt: a star, fields: {width: 64, height: 64, num_frames: 5}}\n"
    (tmp_path / "s.yaml").write_text(suite)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        vitascope(*BARS, f"{name}/a.mp4", "--seed", len(name))
    run = ("eval", "s.yaml", "--clips", "one=one", "--clips", "two=two", "-f", "run", "--metric", "sharpness")
    assert vitascope(*run, "--quiet").code == 0
    head = "task,item,left,right,choice,rater,at\n"
    (tmp_path / "votes.csv").write_text(head + "t2v,a,one,two,left,ann,2026-11-26T10:00:00Z\n")
    added = vitascope("votes", "import", "run", "votes.csv")
    assert added.code == 0 and "1 votes added" in added.out, added.err
    again = vitascope("votes", "import", "run", "votes.csv")
    assert again.code == 2 and "has already voted on 'one' against 'two'" in again.err
    assert vitascope("votes", "export", "run", "-o", "out.jsonl").code == 0
    assert '"choice": "left"' in (tmp_path / "out.jsonl").read_text()
    checked = vitascope("votes", "check", "run", "--json").json()
    assert checked[0]["publishable"] is False and checked[0]["task"] == "t2v"
    assert "not yet fit" in vitascope("votes", "check", "run").out
    assert vitascope("votes", "check", "one").code == 2
    assert "'one' takes part twice" in vitascope(*run[:4], "--clips", "one=two", "-f", "other").err
    assert "needs --database" in vitascope("eval", "s.yaml", "--workers", "0", "-f", "other").err


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [("--language", "fr", "zh"), ("-o", "report.docx", ".html or .pdf"), ("-o", "gone/report.html", "gone")],
)
def test_a_report_that_cannot_be_is_refused_before_clips_are_made(vitascope, tmp_path, flag, value, said):
    refused = vitascope("eval", "toyworld", "--limit", "1", "-f", "run", flag, value)
    assert refused.code == 2
    assert said in refused.err
    assert not (tmp_path / "run").exists()
