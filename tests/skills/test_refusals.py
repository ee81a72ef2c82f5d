"""Each way in which a skill can be wrong, and the reason that is given."""

import io
import tarfile
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runtime.skills.refusal import RefusalReason, SkillRefusedError


def refusal_of(workshop, source: Path, arm: str = "panda") -> SkillRefusedError:
    with pytest.raises(SkillRefusedError) as caught:
        workshop.cache().install(source, arm)
    assert workshop.cache().list() == ()
    return caught.value


def edit_manifest(**fields):
    def change(folder: Path) -> None:
        path = folder / "manifest.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **fields}))

    return change


def test_signed_skill_is_installed_and_loaded(workshop):
    skill = workshop.cache().install(workshop.folder(), "panda")
    cached = workshop.cache().find("pick_place")
    assert cached is not None
    assert workshop.cache().load(cached).digest == skill.digest
    assert workshop.cache().find_hash(skill.skill_hash) == cached


def test_archive_gives_the_same_skill_as_the_folder(workshop):
    folder = workshop.folder()
    from_folder = workshop.cache().install(folder, "panda")
    from runtime.skills.package import read_source

    archive = workshop.archive(read_source(folder))
    assert workshop.cache().install(archive, "panda").digest == from_folder.digest


def test_unknown_signer_is_refused(workshop):
    stranger = Ed25519PrivateKey.generate()
    error = refusal_of(workshop, workshop.folder(key=stranger))
    assert error.reason is RefusalReason.SIGNATURE_WRONG


def test_robot_without_keys_says_where_they_belong(workshop):
    (workshop.key_folder / "dev.pem").unlink()
    error = refusal_of(workshop, workshop.folder())
    assert error.reason is RefusalReason.KEY_UNKNOWN
    assert "pki/skills" in str(error)


def test_missing_signature_is_refused(workshop):
    folder = workshop.folder()
    (folder / "files.sig").unlink()
    assert refusal_of(workshop, folder).reason is RefusalReason.SIGNATURE_MISSING


def test_changed_file_is_refused(workshop):
    folder = workshop.folder()
    (folder / "card.yaml").write_text("about: another\n")
    assert refusal_of(workshop, folder).reason is RefusalReason.HASH_WRONG


def test_added_file_is_refused(workshop):
    folder = workshop.folder()
    (folder / "extra.txt").write_text("x")
    assert refusal_of(workshop, folder).reason is RefusalReason.FILE_UNLISTED


def test_removed_file_is_refused(workshop):
    folder = workshop.folder()
    (folder / "backup.onnx").unlink()
    assert refusal_of(workshop, folder).reason is RefusalReason.FILE_MISSING


def test_link_out_of_the_folder_is_refused(workshop):
    folder = workshop.folder()
    (folder / "card.yaml").unlink()
    (folder / "card.yaml").symlink_to("/etc/hostname")
    assert refusal_of(workshop, folder).reason is RefusalReason.PATH_UNSAFE


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "a/b.txt", "Bad.TXT", ".hidden"])
def test_archive_entry_with_a_path_is_refused(workshop, name):
    files = workshop.files()
    path = workshop.root / "evil.skill"
    with tarfile.open(path, "w") as archive:
        for entry, content in [*files.items(), (name, b"evil")]:
            info = tarfile.TarInfo(entry)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert refusal_of(workshop, path).reason is RefusalReason.PATH_UNSAFE
    assert not (workshop.root.parent / "evil.txt").exists()


def test_oversized_file_is_refused(workshop):
    folder = workshop.folder()
    with (folder / "card.yaml").open("ab") as stream:
        stream.truncate(9 * 1024 * 1024)
    assert refusal_of(workshop, folder).reason is RefusalReason.TOO_LARGE


def test_too_many_files_are_refused(workshop):
    folder = workshop.folder()
    for index in range(40):
        (folder / f"f{index}.txt").write_text("x")
    assert refusal_of(workshop, folder).reason is RefusalReason.TOO_LARGE


def test_unknown_manifest_field_is_refused_by_name(workshop):
    error = refusal_of(workshop, workshop.folder(change=edit_manifest(velocty=3)))
    assert error.reason is RefusalReason.MANIFEST_WRONG
    assert "velocty" in str(error)


def test_limit_that_is_not_a_number_is_refused(workshop):
    limits = {
        "joint_velocity_rad_s": float("nan"),
        "joint_acceleration_rad_s2": 4.0,
        "task_timeout_s": 20.0,
    }
    error = refusal_of(workshop, workshop.folder(change=edit_manifest(limits=limits)))
    assert error.reason is RefusalReason.MANIFEST_WRONG
    assert "joint_velocity_rad_s" in str(error)


def test_model_with_another_shape_than_declared_is_refused(workshop):
    model = {"file": "primary.onnx", "observation_size": 5, "chunk_steps": 9, "joints": 2}
    error = refusal_of(workshop, workshop.folder(change=edit_manifest(policy=model)))
    assert error.reason is RefusalReason.MODEL_WRONG
    assert "[1, 9, 3]" in str(error)


def test_file_that_is_no_network_is_refused(workshop):
    def change(folder: Path) -> None:
        (folder / "primary.onnx").write_bytes(b"not a network")

    error = refusal_of(workshop, workshop.folder(change=change))
    assert error.reason is RefusalReason.MODEL_WRONG


def test_skill_for_another_arm_is_refused(workshop):
    error = refusal_of(workshop, workshop.folder(arm="ur5e"))
    assert error.reason is RefusalReason.ARM_WRONG
    assert "panda" in str(error)


def test_refusal_says_what_was_got_what_is_allowed_and_what_to_try(workshop):
    folder = workshop.folder()
    (folder / "card.yaml").write_text("about: another\n")
    lines = str(refusal_of(workshop, folder)).splitlines()
    assert lines[0].startswith("skill refused (hash_wrong): ")
    assert "got sha256" in lines[1]
    assert "allowed: sha256" in lines[1]
    assert "nothing was installed" in lines[2]
    assert lines[3].strip().startswith("try")


def test_signature_of_other_content_never_fits_a_skill(workshop):
    """The domain in front of the signed bytes: a key that signs the bare list signs no skill."""
    folder = workshop.folder()
    bare = workshop.key.sign((folder / "files.json").read_bytes())
    (folder / "files.sig").write_bytes(bare.hex().encode())
    assert refusal_of(workshop, folder).reason is RefusalReason.SIGNATURE_WRONG
