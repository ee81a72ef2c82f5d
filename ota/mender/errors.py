"""What can go wrong with a server, each with the words an operator needs."""


class MenderError(RuntimeError):
    """Where, what was got, why it matters, what to try: one text."""

    def __init__(self, where: str, got: str, because: str, suggestion: str) -> None:
        super().__init__(f"{where}\n  got {got}\n  because {because}\n  try  {suggestion}")
        self.where, self.got = where, got


class UnreachableError(MenderError):
    """Nobody answered, or only to say: not now. What was asked did not happen."""


class UnclearError(MenderError):
    """It was sent and the answer was lost: it may have happened."""


class NotAllowedError(MenderError):
    """The server knows neither this token nor this password."""


class NotFoundError(MenderError):
    """There is no such thing on the server."""


class ConflictError(MenderError):
    """The server has another like it already, or it is in use."""


class RefusedError(MenderError):
    """The request makes no sense to the server; sent again it makes none either."""


class AnswerError(MenderError):
    """The answer is not one of a Mender server."""


class WishError(MenderError):
    """Refused here, before anything was sent, because of what the server would do with it."""
