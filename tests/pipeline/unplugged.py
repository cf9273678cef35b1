"""Runs a command where nothing can be reached, and tells what the kernel saw it try.

    python tests/pipeline/unplugged.py REPORT COMMAND...

Must be started in network and mount namespaces of its own (``unshare --net --mount``). Every address is routed to the
loopback device, from which nothing leaves; so a packet to anywhere is one that the kernel counts there, whichever
library sends it by whatever system call. REPORT becomes ``{"packets", "names", "peers"}``: how many packets the device
carried, the names that a DNS server was asked for, and the addresses with ports. The exit status is the command's.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LOOPBACK = b"lo"
OWN_ADDRESS = "10.255.255.53"  # the source of packets to anywhere; those of 127/8 would not be sent
NAME_SERVER = "198.51.100.53"  # nobody's (RFC 5737)
RESOLVER = {
    "/etc/resolv.conf": f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",  # nobody is asked by a socket of the file system
}
SIOCADDRT, SIOCSIFFLAGS, SIOCSIFADDR = 0x890B, 0x8914, 0x8916
IFF_UP = RTF_UP = 1
EVERY_PROTOCOL, ETHERNET_BYTES, IPV4, UDP, TCP, DNS_PORT = 3, 14, 0x0800, 17, 6, 53


def lead_everything_to_loopback() -> None:
    """Bring the device up, and make it the way to every address; names are asked for by packets to a DNS server."""
    device = ctypes.create_string_buffer(LOOPBACK)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for label, address in ((LOOPBACK, "127.0.0.1"), (LOOPBACK + b":1", OWN_ADDRESS)):
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16s16s8x", label, _inet(address)))
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", label, IFF_UP))
        anywhere = (_inet("0.0.0.0"),) * 3  # destination, gateway, mask
        # struct rtentry: ..., flags, two paddings, a third, a fourth, metric, device, mtu, window, first round trip
        rest = (RTF_UP, 0, 0, 0, 0, ctypes.addressof(device), 0, 0, 0)
        fcntl.ioctl(control, SIOCADDRT, struct.pack("@L16s16s16sHhLPhPLLH6x", 0, *anywhere, *rest))
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:  # no IPv6, no way out by it
        # struct in6_rtmsg: destination, source, gateway, type, two lengths, metric, info, flags, device
        route = struct.pack("@48sIHHILIi", bytes(48), 0, 0, 0, 1, 0, RTF_UP, socket.if_nametoindex("lo"))
        fcntl.ioctl(control, SIOCADDRT, route)
    with tempfile.TemporaryDirectory() as folder:
        for place, text in RESOLVER.items():
            own = Path(folder, "own")
            own.write_text(text)
            own.chmod(0o644)
            subprocess.run(["mount", "--bind", str(own), str(Path(place).resolve())], check=True)
            own.unlink()  # the mount keeps it


def _inet(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


class Listener(threading.Thread):
    """Reads what the loopback device carries."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        self.socket.bind(("lo", 0))
        self.names: set[str] = set()
        self.peers: set[str] = set()

    def run(self) -> None:
        while True:
            frame, (_, protocol, *_) = self.socket.recvfrom(65_535)
            with suppress(IndexError, struct.error):
                self._note(frame[ETHERNET_BYTES:], protocol)

    def _note(self, packet: bytes, protocol: int) -> None:
        if protocol != IPV4:
            self.peers.add(f"protocol {protocol:#06x}")
            return
        content = packet[4 * (packet[0] & 15) :]
        (port,) = struct.unpack_from("!H", content, 2) if packet[9] in (UDP, TCP) else (0,)
        self.peers.add(f"{socket.inet_ntoa(packet[16:20])}:{port}")
        if packet[9] == UDP and port == DNS_PORT:
            self.names.add(".".join(_labels(content[8 + 12 :])))


def _labels(question: bytes) -> Iterator[str]:
    while length := question[0]:
        yield question[1 : 1 + length].decode("ascii", "backslashreplace")
        question = question[1 + length :]


def packets() -> int:
    """How many the kernel has sent over the loopback device of this namespace."""
    (line,) = (line for line in Path("/proc/self/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.partition(":")[2].split()[9])


def main(report: str, *command: str) -> int:
    lead_everything_to_loopback()
    listener = Listener()
    listener.start()
    before = packets()
    status = subprocess.run(command, check=False).returncode
    heard = {"packets": packets() - before, "names": sorted(listener.names), "peers": sorted(listener.peers)}
    Path(report).write_text(json.dumps(heard))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
