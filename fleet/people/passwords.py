"""Passwords: what is good enough, and Argon2id."""

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN, LENGTH_MAX = 12, 256
LETTERS_MIN = 5
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what looks alike
RANDOM_GROUPS, GROUP_LETTERS = 4, 5

# RFC 9106's second recommendation with one lane: a page on two cores shares them with everything.
HASHER = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)


def weakness(name: str, password: str) -> str | None:
    """Why a password is refused. Length is what counts; signs and digits are nobody's duty."""
    if len(password) < LENGTH_MIN:
        return f"the password has {len(password)} letters, at least {LENGTH_MIN} are needed"
    if len(password) > LENGTH_MAX:
        return f"the password has {len(password)} letters, at most {LENGTH_MAX} are taken"
    if len(set(password)) < LETTERS_MIN:
        return f"the password repeats itself: at least {LETTERS_MIN} different letters are needed"
    if name in password.lower():
        return "the password contains the name, which is the first that anybody tries"
    return None


def random_password() -> str:
    """Ninety-nine bits, in groups that can be read out."""
    groups = (
        "".join(secrets.choice(ALPHABET) for _ in range(GROUP_LETTERS))
        for _ in range(RANDOM_GROUPS)
    )
    return "-".join(groups)


def hash_password(password: str, hasher: PasswordHasher = HASHER) -> str:
    return hasher.hash(password)


def is_right(password_hash: str, password: str, hasher: PasswordHasher = HASHER) -> bool:
    if len(password) > LENGTH_MAX:
        return False
    try:
        return hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def is_dated(password_hash: str, hasher: PasswordHasher = HASHER) -> bool:
    """Made with other settings than today's."""
    return hasher.check_needs_rehash(password_hash)
