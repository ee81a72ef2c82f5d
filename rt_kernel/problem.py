"""What went wrong with a kernel, in the shape of every error here."""


class KernelError(RuntimeError):
    """Where, what was got, why it matters, what to try; all mistakes of one look at once."""

    def __init__(self, where: str, got: str, because: str, suggestion: str) -> None:
        self.where, self.got, self.because, self.suggestion = where, got, because, suggestion
        super().__init__(f"{where}\n  got {got}\n  because {because}\n  try  {suggestion}")


class SourceGoneError(KernelError):
    """The archive no longer has the locked file: the one problem that a new lock solves."""
