"""Socket.IO's packets, read as strictly as a body, and what becomes of a client that sends something else."""

import logging
from typing import Any, Final

from socketio import packet
from werkzeug.exceptions import RequestEntityTooLarge

from webqueue import strictjson
from webqueue.web.incoming import PUSH_BYTES

UNREADABLE: Final = "webqueue: unreadable"
"""The event that an unreadable one is turned into; its argument is the error, which no client can send."""

RESERVED: Final = frozenset({"connect", "disconnect", "connect_error", "__disconnect_final", "*"})
_AROUND: Final = 64
"""Characters around a body in its frame: the list and the event's name."""


class StrictJSON:
    """The strict reader and writer, under the names that python-socketio calls."""

    @staticmethod
    def dumps(value: Any, **_options: Any) -> str:
        """*value* as compact JSON."""
        return strictjson.dump(value).decode()

    @staticmethod
    def loads(text: str) -> Any:
        """What *text* stands for; instead of what can't be read, an event that says so to whoever waits for its ack."""
        if len(text.encode("utf-8", "replace")) > PUSH_BYTES + _AROUND:
            return [UNREADABLE, RequestEntityTooLarge(f"The body is too large: {PUSH_BYTES} bytes at most.")]
        try:
            # The list around the event is not of the body's own braces.
            return strictjson.read(text.encode("utf-8", "surrogatepass"), strictjson.MAX_DEPTH + 1)
        except strictjson.NotJSON as error:
            return [UNREADABLE, error]


class Packet(packet.Packet):  # type: ignore[misc]
    """A packet of JSON; there is nothing binary in webqueue."""

    uses_binary_events = False
    json = StrictJSON

    def decode(self, encoded_packet: Any) -> int:
        """Read a packet. Raises ValueError for one that no client of webqueue has a reason to send."""
        if not isinstance(encoded_packet, str):
            raise ValueError("Not a text.")
        super().decode(encoded_packet)
        if self.packet_type not in {packet.CONNECT, packet.DISCONNECT, packet.EVENT}:
            raise ValueError(f"Not a packet of webqueue's clients: {self.packet_type}.")
        if self.packet_type == packet.EVENT and not _is_event(self.data):
            raise ValueError("Not an event.")
        return 0


def _is_event(data: Any) -> bool:
    # python-socketio would call the handler of its own events with whatever arguments the client chose.
    return isinstance(data, list) and bool(data) and isinstance(data[0], str) and data[0] not in RESERVED


def quiet_logger() -> logging.Logger:
    """For socketio and engineio: what they log is what clients do wrong, with the clients' own texts in it."""
    logger = logging.getLogger("webqueue.socketio")
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
    return logger
