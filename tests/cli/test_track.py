"""`vitascope catalog` and `vitascope measure`."""

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
    assert done.out.count("temporal-flickering") == 2, "five clips side by side, then three"
    assert "trajectory-error-klt: no wanted trajectories" in done.out


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
