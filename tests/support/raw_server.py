"""A server that does on the socket exactly what its script says, and counts what it saw.

A script is a coroutine function of one connection; `scripts` are used one per connection, the last one again and again.
Every byte that arrived is kept, so a test can prove what was, and what was never, sent.
"""

import asyncio
import select
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

import trustme

T = TypeVar("T")
Script = Callable[["Peer"], Awaitable[None]]

OK_BODY = b'{"ok": true}'


def answer(body: bytes = OK_BODY, status: str = "200 OK", headers: str = "Content-Type: application/json") -> bytes:
    """A whole, correct HTTP/1.1 answer."""
    lines = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n" + (f"{headers}\r\n" if headers else "")
    return lines.encode() + b"\r\n" + body


class Peer:
    """One accepted connection, plain or TLS, with nothing done behind the script's back."""

    def __init__(self, server: "RawServer", sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unread = b""

    async def handshake(self, context: ssl.SSLContext) -> None:
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        await self._tls_step(self._tls.do_handshake)

    async def _tls_step(self, step: Callable[[], T]) -> T:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._loop.sock_recv(self._sock, 65536)
                self._incoming.write(data) if data else self._incoming.write_eof()
                continue
            await self._flush()
            return result

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._loop.sock_sendall(self._sock, data)

    async def read(self) -> bytes:
        """Some bytes, b"" at the end."""
        if self._tls is None:
            data = await self._loop.sock_recv(self._sock, 65536)
        else:
            tls = self._tls
            data = await self._tls_step(lambda: tls.read(65536))
        self._server.seen += data
        return data

    async def read_request(self) -> bytes:
        """One whole request with a Content-Length or without a body; ConnectionError if it ends before."""
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            await self._more()
        head = self._unread[:end].lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
        while len(self._unread) < end + 4 + length:
            await self._more()
        request, self._unread = self._unread[: end + 4 + length], self._unread[end + 4 + length :]
        self._server.requests.append(request)
        self._server.arrived.set()
        return request

    async def _more(self) -> None:
        data = await self.read()
        if not data:
            raise ConnectionError
        self._unread += data

    async def readable(self) -> None:
        """Waits until bytes have arrived, and leaves them in the kernel."""
        ready = asyncio.Event()
        self._loop.add_reader(self._sock, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_reader(self._sock)

    async def send(self, data: bytes) -> None:
        if self._tls is None:
            await self._loop.sock_sendall(self._sock, data)
        else:
            tls = self._tls
            await self._tls_step(lambda: tls.write(data))

    def reset(self) -> None:
        """Ends the connection with RST instead of FIN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        self._sock.close()

    def is_readable(self) -> bool:
        return bool(select.select([self._sock], [], [], 0)[0])


class RawServer:
    """`async with RawServer(script) as server`: listens on a free loopback port; `server.url` is its address."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.scripts: Sequence[Script] = scripts
        self.connections = 0
        self.requests: list[bytes] = []
        self.arrived = asyncio.Event()  # a first whole request is here
        self.seen = b""
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        scheme = "https" if tls else "http"
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}/sms?access_token=s3cret"

    async def __aenter__(self) -> Self:
        self._spawn(self._accept())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()
        broken = [result for result in results if isinstance(result, Exception)]
        if broken:
            raise broken[0]

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _accept(self) -> None:
        while True:
            sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            sock.setblocking(False)
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            self._spawn(self._play(Peer(self, sock), script))

    async def _play(self, peer: Peer, script: Script) -> None:
        # The client may end first, that is what many scripts provoke.
        with suppress(ConnectionError, ssl.SSLError):
            try:
                if self._tls is not None:
                    await peer.handshake(self._tls)
                await script(peer)
            finally:
                peer.close()


def replies(*answers: bytes) -> Script:
    """Answers each request on the connection with the next of the answers, then waits for the client's end."""

    async def script(peer: Peer) -> None:
        for data in answers:
            await peer.read_request()
            await peer.send(data)
        await until_end(peer)

    return script


async def until_end(peer: Peer) -> None:
    while await peer.read():
        pass


def certificates() -> tuple[ssl.SSLContext, trustme.CA]:
    """A server context for 127.0.0.1 and the authority that signed it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, authority
