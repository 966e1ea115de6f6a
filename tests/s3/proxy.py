"""A proxy between a client and the object store that loses answers, says 503, hangs or cuts a connection: each once."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
REFUSALS = {"slow": (503, SLOW_DOWN), "expired": (400, EXPIRED)}
HANGS_S = 18.0  # a test that waits for it fails, and ends; below the 20 s after which a client gives up by itself
HELD_BACK = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}


@dataclass(slots=True)
class Fault:
    """What happens to the next request of a kind: "lost" (done, but the answer is dropped), "slow" and "expired" (503
    and 400, not done), "cut" (half of the answer's body comes), "hung" (not done and not answered while the test
    lasts), "away" (the same, and so are all later ones)."""

    kind: str
    method: str
    words: str = ""


@dataclass(slots=True)
class Seen:
    """A request as it came: to count what was asked for."""

    method: str
    path: str
    headers: dict[str, str]
    status: int | None = None


@dataclass(slots=True)
class Proxy:
    """A running proxy."""

    endpoint: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    hanging: threading.Event = field(default_factory=threading.Event)  # a request hangs
    back: threading.Event = field(default_factory=threading.Event)  # set, nothing hangs any more
    away: bool = False
    waited_out: int = 0  # requests that hung for as long as they can

    def fault_for(self, method: str, path: str) -> str | None:
        with self.lock:
            for fault in self.faults:
                if fault.method == method and fault.words in path:
                    self.faults.remove(fault)
                    return fault.kind
        return None


@contextmanager
def proxy_to(endpoint: str) -> Iterator[Proxy]:
    """Run a proxy in front of `endpoint`."""
    target = urlsplit(endpoint).netloc
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    _Handler.target, _Handler.proxy = target, proxy
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target: str
    proxy: Proxy

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = Seen(self.command, self.path, dict(self.headers))
        self.proxy.seen.append(seen)
        fault = self.proxy.fault_for(self.command, self.path)
        if fault in ("hung", "away") or self.proxy.away:
            self.proxy.away = self.proxy.away or fault == "away"
            self.proxy.hanging.set()
            if not self.proxy.back.wait(HANGS_S):
                self.proxy.waited_out += 1
            self.close_connection = True
            return
        if fault in REFUSALS:
            status, told = REFUSALS[fault]
            self.answer(status, {"Content-Type": "application/xml"}, told, cut=False)
            return
        onward = http.client.HTTPConnection(self.target, timeout=20)
        try:
            onward.request(self.command, self.path, body, {**dict(self.headers), "Connection": "close"})
            came = onward.getresponse()
            content = came.read()
        finally:
            onward.close()
        seen.status = came.status
        if fault == "lost":
            self.close_connection = True
            return
        headers = {name: value for name, value in came.getheaders() if name.lower() not in HELD_BACK}
        if self.command == "HEAD":
            headers["Content-Length"] = came.getheader("Content-Length", "0")
        self.answer(came.status, headers, content, cut=fault == "cut")

    def answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut


for _method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
    setattr(_Handler, f"do_{_method}", _Handler.handle_any)
