"""A server on the loopback address that does what its addresses say: http://…/SCENARIO/FILE.

It runs in a process of its own, so that whoever asks may fork.
"""

from __future__ import annotations

import gzip
import os
import signal
import socket
import socketserver
import struct
import time


class Server:
    """The server, as a context manager; `url(scenario)` is the folder that it publishes.

    Args:
        files: name -> content.
    """

    def __init__(self, files):
        self.files = files

    def __enter__(self):
        files = self.files

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                request = self.request.recv(65536).split(b" ")
                _, scenario, *name = request[1].decode().split("/")
                base = f"http://127.0.0.1:{self.server.server_address[1]}"
                content = files.get(name[-1] if name else "", b"")
                SCENARIOS[scenario][0](Answer(self.request, content, base, "/".join(name)))

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):  # who asked may be gone
                pass

        listener = Listener(("127.0.0.1", 0), Handler)
        self.port = listener.server_address[1]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                listener.serve_forever(0.05)
            finally:
                os._exit(0)
        listener.socket.close()
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def url(self, scenario):
        return f"http://127.0.0.1:{self.port}/{scenario}"


class Answer:
    """One answer: what is asked for, and ways to say it."""

    def __init__(self, connection, content, base, name):
        self.connection, self.content, self.base, self.name = connection, content, base, name

    def say(self, status="200 OK", content=b"", **headers):
        lines = [f"HTTP/1.1 {status}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    def send(self, content):
        self.connection.sendall(content)

    def whole(self, **headers):
        self.say(content=self.content, Content_Length=len(self.content), **headers)

    def half(self):
        half = self.content[: len(self.content) // 2]
        self.say(content=half, Content_Length=len(self.content))

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def chunk(self, content):
        self.send(b"%x\r\n%s\r\n" % (len(content), content))


def slow(answer):
    answer.say(Content_Length=len(answer.content))
    size = -(-len(answer.content) // 20)
    for start in range(0, len(answer.content), size):
        answer.send(answer.content[start : start + size])
        time.sleep(0.02)


def trickle(answer):
    """A file in very small pieces, for those who are to be killed meanwhile."""
    answer.say(Content_Length=len(answer.content))
    for start in range(0, len(answer.content), 1 << 16):
        answer.send(answer.content[start : start + (1 << 16)])
        time.sleep(0.002)


def drip(answer):
    while True:
        answer.send(b"x")
        time.sleep(0.05)


def drip_body(answer):
    answer.say(Content_Length=len(answer.content))
    drip(answer)


def drip_headers(answer):
    answer.send(b"HTTP/1.1 200 OK\r\nX-A: ")
    drip(answer)


def half_then_reset(answer):
    answer.half()
    time.sleep(0.05)
    answer.reset()


def half_then_silence(answer):
    answer.half()
    time.sleep(60)


def endless(answer):
    answer.say(Transfer_Encoding="chunked")
    while True:
        answer.chunk(b"0" * 65536)


def chunked(answer):
    answer.say(Transfer_Encoding="chunked")
    answer.chunk(answer.content)
    answer.chunk(b"")


def chunked_and_cut(answer):
    answer.say(Transfer_Encoding="chunked")
    answer.chunk(answer.content[:50])


def bomb(answer):
    packed = gzip.compress(b"0" * 3 * 10**7, 1)
    answer.say(content=packed, Content_Encoding="gzip", Content_Length=len(packed))


def redirect(where):
    return lambda answer: answer.say("302 Found", Location=where(answer), Content_Length=0)


#: Name -> (what the server does, whether the file can be had all the same).
SCENARIOS = {
    "as-it-should-be": (Answer.whole, True),
    "slow": (slow, True),
    "trickle": (trickle, True),
    "in-chunks": (chunked, True),
    "compressed": (
        lambda a: a.say(content=gzip.compress(a.content), Content_Encoding="gzip"),
        True,
    ),
    "without-a-length": (lambda a: a.say(content=a.content), True),
    "a-length-that-is-no-number": (lambda a: a.say(content=a.content, Content_Length="x"), True),
    "more-than-its-length": (
        lambda a: a.say(content=a.content + b"x", Content_Length=len(a.content)),
        True,
    ),
    "redirects": (redirect(lambda a: f"{a.base}/as-it-should-be/{a.name}"), True),
    "redirects-to-something-else": (redirect(lambda a: f"{a.base}/wrong/{a.name}"), False),
    "redirects-for-ever": (redirect(lambda a: f"{a.base}/redirects-for-ever/{a.name}"), False),
    "redirects-to-a-local-file": (redirect(lambda a: "file:///etc/passwd"), False),
    "redirects-to-nowhere": (redirect(lambda a: "http://127.0.0.1:9/x"), False),
    "resets": (Answer.reset, False),
    "resets-half-way": (half_then_reset, False),
    "closes": (lambda a: a.connection.close(), False),
    "closes-half-way": (Answer.half, False),
    "silent": (lambda a: time.sleep(60), False),
    "silent-half-way": (half_then_silence, False),
    "drips": (drip_body, False),
    "drips-headers": (drip_headers, False),
    "half-as-if-it-were-all": (
        lambda a: a.say(
            content=a.content[: len(a.content) // 2], Content_Length=len(a.content) // 2
        ),
        False,
    ),
    "chunks-that-are-cut": (chunked_and_cut, False),
    "wrong": (lambda a: a.say(content=a.content[::-1], Content_Length=len(a.content)), False),
    "one-bit-wrong": (
        lambda a: a.say(content=bytes([a.content[0] ^ 1]) + a.content[1:]),
        False,
    ),
    "empty": (lambda a: a.say(Content_Length=0), False),
    "a-page": (lambda a: a.say(content=b"<html>please log in</html>"), False),
    "404": (lambda a: a.say("404 Not Found", Content_Length=0), False),
    "403": (lambda a: a.say("403 Forbidden", content=b"no", Content_Length=2), False),
    "503": (lambda a: a.say("503 Service Unavailable", Retry_After=3600, Content_Length=0), False),
    "no-http": (lambda a: a.send(b"\x00\x01\x02 hello\n" * 9), False),
    "headers-without-end": (
        lambda a: a.send(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000),
        False,
    ),
    "compressed-rubbish": (lambda a: a.say(content=b"rubbish", Content_Encoding="gzip"), False),
    "compressed-bomb": (bomb, False),
    "endless": (endless, False),
}
