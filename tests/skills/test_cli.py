"""`bedplate skills`: from a key to an installed skill."""

from typer.testing import CliRunner

from runtime.skills.cli import app, key_folder

RUNNER = CliRunner()


def run(*words: object):
    return RUNNER.invoke(app, [str(word) for word in words])


def test_pack_verify_install_list(workshop):
    data = workshop.root / "data"
    key, public = workshop.root / "k.pem", key_folder(data) / "dev.pem"
    assert run("keygen", "--private", key, "--public", public).exit_code == 0
    assert key.stat().st_mode & 0o777 == 0o600
    out = workshop.root / "p.skill"
    packed = run("pack", workshop.folder(), "--key", key, "--out", out)
    assert packed.exit_code == 0, packed.output
    assert run("verify", out, "--data-dir", data).exit_code == 0
    assert run("install", out, "--arm", "panda", "--data-dir", data).exit_code == 0
    listed = run("list", "--data-dir", data)
    assert "pick_place" in listed.output
    assert "verified" in listed.output


def test_packing_twice_gives_the_same_bytes(workshop):
    key = workshop.root / "k.pem"
    run("keygen", "--private", key, "--public", workshop.root / "p.pem")
    source = workshop.folder()
    outs = [workshop.root / "one.skill", workshop.root / "two.skill"]
    for out in outs:
        run("pack", source, "--key", key, "--out", out)
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_refused_skill_ends_with_an_error_and_its_reason(workshop):
    source = workshop.folder()
    (source / "card.yaml").write_text("changed")
    keys = workshop.key_folder
    result = run("verify", source, "--keys", keys)
    assert result.exit_code == 1
    assert "hash_wrong" in result.output


def test_existing_keys_are_kept(workshop):
    key, public = workshop.root / "k.pem", workshop.root / "p.pem"
    run("keygen", "--private", key, "--public", public)
    before = key.read_bytes()
    run("keygen", "--private", key, "--public", public)
    assert key.read_bytes() == before
