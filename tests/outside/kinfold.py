"""A client of Kinfold, written from docs/PROTOCOL.md alone: frames of CBOR on the streams of another QUIC (aioquic).

It is a yardstick rather than a product: one connection to one node, no retries, no layout. What it shares with the
Rust client is the document and nothing else.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import cbor2
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived, StreamReset

CLIENT, PEER = "kinfold/1", "kinfold-peer/1"
PREFIX = 8


class Closed(Exception):
    """The connection is gone: `code` is the node's application error code, or QUIC's own."""

    def __init__(self, code, reason):
        super().__init__(f"closed with code {code}: {reason}")
        self.code, self.reason = code, reason


class Failed(Exception):
    """The node's answer is `failed`."""

    def __init__(self, code, message, retry_after_ms=None):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.retry_after_ms = code, message, retry_after_ms


class Conflict(Exception):
    """A conditional write was not made: `found` is the object as it is."""

    def __init__(self, found, settled):
        super().__init__("the object is another one")
        self.found, self.settled = found, settled


def known(kind, has):
    """A `kind` of what the document names: a newer node may say more."""
    return kind(**{name: has[name] for name in kind.__dataclass_fields__ if name in has})


@dataclass
class Found:
    """What a get found: values side by side, and the context that has seen them."""

    context: bytes
    values: list
    deleted: bool
    merged: bool
    owners: int
    merge_failure: str | None = None
    fallbacks: int = 0

    @classmethod
    def of(cls, header, body):
        values, at = [], 0
        for length in header["values"]:
            values.append(body[at : at + length])
            at += length
        assert at == len(body), f"{len(body)} bytes of values, {at} were named"
        return known(cls, {**header, "values": values})


@dataclass
class Written:
    """What a write came to."""

    context: bytes
    owners: int
    fallbacks: int


@dataclass
class Page:
    """Some of a bucket's keys; `cursor` is None at the end."""

    keys: list
    cursor: bytes | None = None


def frame(header, body=b""):
    """A frame: both lengths, the header, the body. A header that is bytes already goes as it is."""
    if not isinstance(header, bytes):
        header = cbor2.dumps(header)
    return len(header).to_bytes(4) + len(body).to_bytes(4) + header + body


def unframe(data):
    """The header, decoded, and the body of one frame."""
    assert len(data) >= PREFIX, f"an answer of {len(data)} bytes"
    header, body = int.from_bytes(data[:4]), int.from_bytes(data[4:8])
    assert len(data) == PREFIX + header + body, f"a frame of {header} and {body} in {len(data)} bytes"
    return cbor2.loads(data[PREFIX : PREFIX + header]), data[PREFIX + header :]


@dataclass
class Stream:
    data: bytearray = field(default_factory=bytearray)
    ended: asyncio.Future = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Connection(QuicConnectionProtocol):
    """Streams of bytes on one connection."""

    def __init__(self, quic):
        super().__init__(quic)
        self.streams = {}
        self.closed = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            gone = Closed(event.error_code, event.reason_phrase)
            self.closed.set_result(gone)
            for stream in self.streams.values():
                if not stream.ended.done():
                    stream.ended.set_exception(gone)
        elif isinstance(event, StreamDataReceived) and event.stream_id in self.streams:
            stream = self.streams[event.stream_id]
            stream.data += event.data
            if event.end_stream and not stream.ended.done():
                stream.ended.set_result(bytes(stream.data))
        elif isinstance(event, StreamReset) and event.stream_id in self.streams:
            stream = self.streams[event.stream_id]
            if not stream.ended.done():
                stream.ended.set_exception(Closed(event.error_code, "the stream was reset"))

    def send(self, data, end=True):
        """Opens a stream and sends `data`; gives its number."""
        if self.closed.done():
            raise self.closed.result()
        number = self._quic.get_next_available_stream_id()
        self.streams[number] = Stream()
        self._quic.send_stream_data(number, data, end_stream=end)
        self.transmit()
        return number

    async def answer(self, number):
        """All that the node says on a stream."""
        try:
            return await self.streams[number].ended
        finally:
            del self.streams[number]


class Client:
    """Requests to one node. A context is bytes, and None has seen nothing."""

    def __init__(self, connection, deadline_ms):
        self.connection, self.deadline_ms = connection, deadline_ms

    async def raw(self, data):
        """Sends bytes on a stream of their own; gives the answer's `response` and its body."""
        header, body = unframe(await self.connection.answer(self.connection.send(data)))
        return header["response"], body

    async def ask(self, request, body=b"", **also):
        """Makes a request; gives the answer's name, what it has, and its body."""
        header = {"layout": 0, "deadline_ms": self.deadline_ms, "request": request, **also}
        response, body = await self.raw(frame(header, body))
        (name, has), = response.items() if isinstance(response, dict) else [(response, {})]
        if name == "failed":
            raise Failed(**has)
        return name, has, body

    async def get(self, bucket, key, **options):
        name, has, body = await self.ask({"get": {"bucket": bucket, "key": key, **options}})
        assert name == "found", name
        return Found.of(has, body)

    async def put(self, bucket, key, value, **options):
        return await self._write("put", bucket, key, value, options)

    async def delete(self, bucket, key, **options):
        return await self._write("delete", bucket, key, b"", options)

    async def _write(self, kind, bucket, key, value, options):
        options = {"request": os.urandom(16), **options}
        name, has, body = await self.ask({kind: {"bucket": bucket, "key": key, **options}}, value)
        if name == "conflict":
            raise Conflict(Found.of(has["found"], body), has["settled"])
        assert name == "written", name
        return known(Written, has)

    async def list(self, bucket, **options):
        name, has, _ = await self.ask({"list": {"bucket": bucket, **options}})
        assert name == "listed", name
        return known(Page, has)

    async def bucket_create(self, bucket, config):
        name, has, _ = await self.ask({"bucket_create": {"bucket": bucket, "config": config}})
        assert name == "bucket_saved", name
        return has["missing"]

    async def layout(self):
        return (await self.ask("layout"))[1]


@asynccontextmanager
async def connect(address, cluster, ca, cert, key, protocol=CLIENT, deadline_ms=20_000, on_ticket=None):
    """A client of the node at `address` (host and port), as whom the certificate names."""
    configuration = QuicConfiguration(
        alpn_protocols=[protocol],
        server_name=f"node.{cluster}.kinfold",
        max_data=16 * 1024 * 1024,
        max_stream_data=16 * 1024 * 1024,
    )
    configuration.load_verify_locations(cafile=ca)
    configuration.load_cert_chain(cert, key)
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_datagram_endpoint(
        lambda: Connection(QuicConnection(configuration=configuration, session_ticket_handler=on_ticket)),
        local_addr=("0.0.0.0", 0),
    )
    try:
        connection.connect(address)
        try:
            await connection.wait_connected()
        except ConnectionError:
            raise connection.closed.result() from None
        yield Client(connection, deadline_ms)
    finally:
        connection.close()
        await connection.wait_closed()
        transport.close()
