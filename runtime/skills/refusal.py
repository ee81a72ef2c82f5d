"""Why a skill is refused: a closed set, so that the fleet can count the reasons."""

from dataclasses import dataclass
from enum import StrEnum


class RefusalReason(StrEnum):
    NOT_CACHED_OFFLINE = "not_cached_offline"
    NOT_FOUND = "not_found"
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_WRONG = "signature_wrong"
    KEY_UNKNOWN = "key_unknown"
    HASH_WRONG = "hash_wrong"
    FILE_UNLISTED = "file_unlisted"
    FILE_MISSING = "file_missing"
    PATH_UNSAFE = "path_unsafe"
    TOO_LARGE = "too_large"
    LIST_MALFORMED = "list_malformed"
    MANIFEST_WRONG = "manifest_wrong"
    MODEL_WRONG = "model_wrong"
    ARM_WRONG = "arm_wrong"
    STORAGE_FAILED = "storage_failed"


@dataclass(frozen=True)
class Refusal:
    """One reason with the words for a person: where, what was got, what is allowed, what to try."""

    reason: RefusalReason
    where: str
    got: str
    allowed: str
    attempt: str

    def text(self) -> str:
        return (
            f"skill refused ({self.reason}): {self.where}\n"
            f"  got {self.got}; allowed: {self.allowed}\n"
            f"  nothing was installed or started; skills already cached are unchanged\n"
            f"  try  {self.attempt}"
        )


class SkillRefusedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text())
        self.refusal = refusal

    @property
    def reason(self) -> RefusalReason:
        return self.refusal.reason


def refuse(
    reason: RefusalReason, where: object, *, got: str, allowed: str, attempt: str
) -> SkillRefusedError:
    return SkillRefusedError(Refusal(reason, str(where), got, allowed, attempt))
