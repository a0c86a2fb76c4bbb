"""`vitascope keys`."""


def test_keys_are_made_listed_and_revoked(vitascope, tmp_path):
    house = ("--house", tmp_path / "house")
    made = vitascope(
        "keys", "create", "studio", "--tenant", "team", "--max-running", "2", *house, "--json"
    ).json()
    assert made["key"].startswith(f"vk_{made['id']}_") and made["tenant"] == "team"
    listed = vitascope("keys", "list", *house).out
    assert made["id"] in listed and "2 running" in listed and made["key"] not in listed
    assert vitascope("keys", "revoke", made["id"], *house).code == 0
    assert "revoked" in vitascope("keys", "list", *house).out
    again = vitascope("keys", "revoke", made["id"], *house)
    assert again.code == 2 and made["id"] in again.err


def test_what_is_wrong_is_said_in_one_line(vitascope, tmp_path):
    house = ("--house", tmp_path / "house")
    for wrong in (["x", "--scope", "all"], ["x", "--tenant", "../x"], [""]):
        done = vitascope("keys", "create", *wrong, *house)
        assert done.code == 2 and done.err.count("\n") == 1
    done = vitascope("keys", "list", "--database", "mysql://x", *house)
    assert done.code == 2 and "postgresql://" in done.err


def test_a_taken_port_is_said_before_anything_starts(vitascope, tmp_path):
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = vitascope("serve", "--port", port, "--house", tmp_path / "house")
    assert done.code == 2 and f"127.0.0.1:{port}" in done.err and not (tmp_path / "house").exists()
