"""Mutated skills are never accepted and never break the checker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.skills.manifest import parse_manifest
from runtime.skills.package import archive_bytes
from runtime.skills.refusal import SkillRefusedError
from runtime.skills.signature import LIST_FILE, SIGNATURE_FILE, load_trusted_keys, parse_list
from runtime.skills.verify import verify_files

SMALL = ("manifest.yaml", "card.yaml", LIST_FILE, SIGNATURE_FILE)


@st.composite
def mutations(draw):
    """(which file, where, what): a byte changed, a tail cut off, bytes put in."""
    return (
        draw(st.sampled_from([*SMALL, "primary.onnx"])),
        draw(st.floats(0.0, 0.999)),
        draw(st.sampled_from(["flip", "cut", "insert"])),
        draw(st.integers(1, 255)),
    )


def mutate(content: bytes, position: float, kind: str, value: int) -> bytes:
    at = int(len(content) * position)
    match kind:
        case "flip":
            return content[:at] + bytes([content[at] ^ value]) + content[at + 1 :]
        case "cut":
            return content[:at]
        case _:
            return content[:at] + bytes([value]) + content[at:]


@given(mutation=mutations())
def test_mutated_skill_is_never_accepted(workshop_files, mutation):
    files, keys, where = workshop_files
    name, position, kind, value = mutation
    changed = {**files, name: mutate(files[name], position, kind, value)}
    if changed == files or (name == SIGNATURE_FILE and _same_signature(changed, files)):
        return
    with pytest.raises(SkillRefusedError):
        verify_files(changed, keys, where)


def _same_signature(changed, files) -> bool:
    """White space and letter case of the hexadecimal text carry no meaning."""
    try:
        return bytes.fromhex(changed[SIGNATURE_FILE].decode().strip()) == bytes.fromhex(
            files[SIGNATURE_FILE].decode().strip()
        )
    except ValueError:
        return False


@given(content=st.binary(max_size=400))
def test_any_bytes_as_manifest_are_refused_or_parsed(tmp_path_factory, content):
    try:
        parse_manifest(content, tmp_path_factory.getbasetemp())
    except SkillRefusedError:
        return


@given(content=st.binary(max_size=400))
def test_any_bytes_as_file_list_are_refused(tmp_path_factory, content):
    with pytest.raises(SkillRefusedError):
        parse_list(content, tmp_path_factory.getbasetemp())


@given(position=st.floats(0.0, 0.999), value=st.integers(1, 255), cut=st.booleans())
def test_mutated_archive_is_refused_or_unchanged(workshop_files, tmp_path, position, value, cut):
    from runtime.skills.package import read_source

    files, keys, where = workshop_files
    whole = archive_bytes(files)
    path = tmp_path / "m.skill"
    path.write_bytes(mutate(whole, position, "cut" if cut else "flip", value))
    try:
        found = verify_files(read_source(path), keys, where)
    except SkillRefusedError:
        return
    # Padding and times of a tar are not content; everything signed must be as it was.
    assert found.files == files


@pytest.fixture
def workshop_files(workshop):
    return workshop.files(), load_trusted_keys(workshop.key_folder), workshop.root
