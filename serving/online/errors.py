"""What a server answers with instead of a prediction."""


class PredictionError(Exception):
    """A prediction that could not be made.

    Attributes:
      code: the gRPC status code's name, such as ``UNAVAILABLE``.
      message: as the server words it.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")
