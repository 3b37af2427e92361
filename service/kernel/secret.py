"""Text that must not be printed."""


class Secret(str):
    """A string whose `repr` shows nothing.  `str()` still returns the text, where it is needed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(...)"
