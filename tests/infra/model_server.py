"""A small server on both of TensorFlow Serving's ports that names itself in each answer.

Started by the tests of nginx, to be counted, killed and filled up: ``python model_server.py NAME``.
It prints its two ports as JSON once it listens. Answers take a millisecond.
"""

import concurrent.futures
import http.server
import json
import sys
import threading
import time

import grpc

SERVICE = "tensorflow.serving.PredictionService"
SECONDS = 0.001


class Handler(http.server.BaseHTTPRequestHandler):
    """REST: the name and the headers received; a body of ``full`` or ``hang`` is answered so."""

    protocol_version = "HTTP/1.1"
    # An answer leaves at once: one that is killed between its head and its body cannot be repeated.
    wbufsize = -1
    name = ""

    def do_GET(self) -> None:
        self.answer(200, {"name": self.name})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"hang":
            time.sleep(2)
        time.sleep(SECONDS)
        if body == f"full {self.name}".encode():
            self.answer(503, {"error": "the queue is full"})
            return
        self.answer(200, {"name": self.name, "headers": dict(self.headers)})

    def answer(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def predict(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Answers any request with the server's name."""
    time.sleep(2 if request == b"hang" else SECONDS)
    return Handler.name.encode()


def main() -> None:
    """Serves until it is killed."""
    Handler.name = sys.argv[1]
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    rest.daemon_threads = True
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    method = grpc.unary_unary_rpc_method_handler(predict)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Predict": method}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"rest": rest.server_port, "grpc": port}), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
