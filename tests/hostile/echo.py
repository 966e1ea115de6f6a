"""A hostile endpoint: it answers each call with an error that quotes the headers and the body it was sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def quoting(handler: BaseHTTPRequestHandler, body: str) -> str:
    """Return a message as AWS writes one about a signature, and a gateway about a body."""
    headers = "\n".join(f"{name.lower()}:{value}" for name, value in handler.headers.items())
    authorization = handler.headers.get("Authorization", "")
    return (
        f"The Canonical String for this request should have been 'POST {handler.path}\n{headers}'. "
        f"'{authorization}' is not valid. You sent: {body} which is {authorization}"
    )


@contextmanager
def echoing(status: int, code: str | None, *, as_answer: bool = False) -> Iterator[str]:
    """Serve on loopback, and yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            told: Any = {"message": quoting(self, body)}
            if as_answer:
                told = {
                    "stop_reason": quoting(self, body),
                    "usage": {"input_tokens": quoting(self, body)},
                    "content": [],
                }
            content = json.dumps(told).encode()
            self.send_response(status)
            if code is not None:
                self.send_header("x-amzn-errortype", code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
