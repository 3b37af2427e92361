"""Text that must not be printed."""


class Secret(str):
    """A string whose `repr` shows nothing; `str.__str__` still yields it where it must go."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(...)"
