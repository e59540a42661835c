"""Sends to sockets by their engine.io id, whatever state they are in: a client that is gone hurts nobody else."""

import logging
from typing import Any, Final

from engineio import packet as engine_packet
from engineio.exceptions import SocketIsClosedError
from socketio import packet as socket_packet

NAMESPACE: Final = "/queue"
_log = logging.getLogger(__name__)


class Wire:
    """The way to the clients of one ``socketio.Server``. ``emit`` would stop at the first client that has just gone."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def encode(self, event: str, body: object) -> Any:
        """A frame that can be sent to any number of clients."""
        made = self._server.packet_class(socket_packet.EVENT, [event, body], NAMESPACE)
        return engine_packet.Packet(engine_packet.MESSAGE, made.encode())

    def send(self, socket: str, frame: Any) -> None:
        """Put *frame* into the client's queue; nothing happens where it is gone."""
        try:
            self._server.eio.send_packet(socket, frame)
        except SocketIsClosedError:
            return
        except Exception:  # noqa: BLE001 - logged; the others must not pay for it
            _log.exception("A frame could not be sent")

    def queued(self, socket: str) -> int | None:
        """How many packets wait for the client to read them; None where it is gone."""
        found = self._server.eio.sockets.get(socket)
        return None if found is None or found.closed else found.queue.qsize()

    def cut(self, socket: str) -> None:
        """End the connection without waiting for the client."""
        found = self._server.eio.sockets.pop(socket, None)
        if found is not None:
            # Neither of engine.io's own ways will do: its disconnect() waits until the client has read everything.
            found.close(wait=False, abort=True)

    def open(self) -> list[str]:
        """The ids of all sockets."""
        return list(self._server.eio.sockets)
