"""Errors in data, told so that the reader can mend them."""


class DataError(Exception):
    """Data that breaks a rule.

    Attributes:
      source: the source's name in settings.
      where: the column, file or table, with the row or line where one is known.
      value: the offending value as it was read, or None.
      rule: what was expected.
      mend: what the reader can do about it.
    """

    def __init__(
        self, source: str, where: str, rule: str, mend: str, value: object | None = None
    ) -> None:
        self.source = source
        self.where = where
        self.value = value
        self.rule = rule
        self.mend = mend
        shown = "" if value is None else f" is {shorten(value)}"
        super().__init__(f"{source}: {where}{shown}: {rule}. {mend}")

    def __reduce__(self):
        # Errors cross process boundaries in Beam: the default pickles only the message.
        return type(self), (self.source, self.where, self.rule, self.mend, self.value)


class BrokenOffError(DataError):
    """A source that answered and then did not: what was asked may be asked again."""


class ReadAnewError(BrokenOffError):
    """A part that cannot be read to its end in this way, but in another.

    Attributes:
      partition: what to read instead, from its beginning.
    """

    def __init__(self, source: str, where: str, rule: str, mend: str, partition: object) -> None:
        super().__init__(source, where, rule, mend)
        self.partition = partition

    def __reduce__(self):
        return type(self), (self.source, self.where, self.rule, self.mend, self.partition)


def shorten(value: object, limit: int = 120) -> str:
    """The value's repr, cut to ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
