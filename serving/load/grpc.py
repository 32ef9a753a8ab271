"""Prepared gRPC requests for load."""

from collections.abc import Sequence

import grpc

PREDICT = "/tensorflow.serving.PredictionService/Predict"


class GrpcSender:
    """Sends serialized messages to one method of one server, over one channel.

    Args:
      address: host and port.
      requests: serialized messages; request ``n`` sends message ``n`` modulo their number.
      method: the method's full name.
      timeout: seconds until an unanswered request has failed.
    """

    def __init__(
        self, address: str, requests: Sequence[bytes], method: str = PREDICT, timeout: float = 10.0
    ) -> None:
        self._requests = requests
        self._timeout = timeout
        self._channel = grpc.aio.insecure_channel(address)
        # Bytes go and come as they are: what the messages cost to build is not the server's.
        self._call = self._channel.unary_unary(method)

    async def __call__(self, number: int) -> None:
        """Sends a request; raises grpc.aio.AioRpcError if it failed."""
        await self.answer(number)

    async def answer(self, number: int) -> bytes:
        """Sends a request and returns the serialized answer."""
        request = self._requests[number % len(self._requests)]
        answer: bytes = await self._call(request, timeout=self._timeout)
        return answer

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()
