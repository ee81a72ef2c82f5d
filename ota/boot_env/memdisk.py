"""What GRUB carries inside itself: for each value of the environment, its words and its sha256.

GRUB's script can neither count nor hash into a variable. It reads which value a copy claims to be,
and compares the whole sector with what that value must be.
"""

import hashlib
import io
import tarfile

from ota.boot_env.states import STATES, State, code, encode

NAME = "state"  # the file of each copy, in a folder of its own: env1/state, env2/state


def files() -> dict[str, str]:
    found: dict[str, str] = {}
    for state in STATES:
        found[f"{state.name}.cfg"] = _words(state)
        found[f"{state.name}.sum"] = f"{hashlib.sha256(encode(state)).hexdigest()}  {NAME}\n"
    return found


def _words(state: State) -> str:
    value = code(state).decode()
    return f"set bedplate_state={value}\nset bedplate_state_again={value}\n"


def archive() -> bytes:
    """The files as a tar, the same bytes each time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in sorted(files().items()):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()
