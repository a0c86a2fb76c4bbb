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
