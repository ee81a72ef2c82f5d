"""Why nothing was made or changed: one text that says where, what, why it matters, what to try."""


class OtaRefusedError(RuntimeError):
    """Before anything was written."""


def refused(where: object, got: str, because: str, suggestion: str) -> OtaRefusedError:
    return OtaRefusedError(f"{where}\n  got {got}\n  because {because}\n  try  {suggestion}")
