"""Where calls may go: AWS, the emulator inside the run, or a server on this machine's loopback, and nowhere else."""

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

EMULATOR = "emulator"
EXPECTED = 'must be "emulator" or a URL such as "http://127.0.0.1:8000/{region}"'
LOOPBACK = "a custom endpoint must be on loopback (127.0.0.0/8, ::1 or localhost): prompts and credentials go there"


def checked_endpoint(url: str) -> str:
    """Return `url` if calls may go there.

    Raises ValueError with the reason if not.
    """
    if url == EMULATOR:
        return url
    # Parsers disagree about white space and backslashes, so that the host checked might not be the host called.
    if re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise ValueError(EXPECTED)
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(EXPECTED)
    if "@" in parts.netloc:
        raise ValueError("must hold no user name and no password")
    if parts.query or parts.fragment:
        raise ValueError("must hold no query and no fragment")
    if re.search(r"[{}]", parts.path.replace("{region}", "")):
        raise ValueError("may hold {region} and no other braces")
    if not is_loopback(parts.hostname):
        raise ValueError(LOOPBACK)
    return url


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise ValueError(f"{EXPECTED}; {error}") from None
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address alone."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # A scope ("::1%eth0") is refused too: comparing with the bare address is exact.
    return address == IPv6Address("::1") or (address.version == 4 and address.is_loopback)
