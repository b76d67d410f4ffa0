"""URL → store. Backends are imported only here, and only the one that is asked for."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from tachograph.errors import SettingsError
from tachograph.settings import without_key
from tachograph.store.ports import Store

URLS = (
    "sqlite:PATH (also sqlite:///PATH, or a bare path; with ?shared behind it the file of an application), "
    "https://HOST of a tachograph server (http: on this machine only), or memory:"
)
"""What this version can open."""
_REMOTE = re.compile(r"https?:", re.IGNORECASE)
_SHARED = "?shared"
_PORTS = {"http": 80, "https": 443}
_KEY = re.compile(r"[A-Za-z0-9._~-]+")


def open_store(url: str, key: str = "") -> Store:
    """The store behind a URL. Nothing is opened or created before its first use. Raises SettingsError.

    `key` opens another server, where the URL has none before its host.
    """
    if url == "memory:":
        from tachograph.store.memory import MemoryStore

        return MemoryStore()
    if is_remote(url):
        from tachograph.store.remote import RemoteStore

        address = remote_url(url)
        near = is_loopback(urlsplit(address).hostname or "")
        return RemoteStore(address, _checked(address, without_key(url)[1] or key, near=near), direct=near)
    from tachograph.store.sqlite.store import SqliteStore

    return SqliteStore(sqlite_path(url), shared=url.endswith(_SHARED))


def sqlite_path(url: str) -> Path:
    """The file of a SQLite store; `sqlite:///a` is relative, `sqlite:////a` absolute. Raises SettingsError."""
    scheme, colon, rest = url.partition(":")
    if not colon or len(scheme) == 1:  # a bare path; a single letter is a drive
        scheme, rest = "sqlite", url
    rest = rest.removeprefix("///").removesuffix(_SHARED)
    if scheme != "sqlite" or not rest or "?" in rest or rest.startswith("//") or rest == ":memory:":
        raise SettingsError("store", url, URLS)
    return Path(rest).expanduser()


def is_remote(url: str) -> bool:
    """Whether a URL names another tachograph server."""
    return _REMOTE.match(url) is not None


def remote_url(url: str) -> str:
    """A server's URL in one spelling: without key, default port, query and trailing slash. Raises SettingsError."""
    shown = without_key(url)[0]
    try:
        parts = urlsplit(shown)
        host, port = parts.hostname or "", parts.port
    except ValueError as problem:
        raise SettingsError("store", shown, f"a URL of a server ({problem})") from None
    if not host or parts.query or parts.fragment:
        raise SettingsError("store", shown, "https://HOST, perhaps with a port and a path, and nothing else")
    if parts.scheme == "http" and not is_loopback(host):
        wanted = "https: to other machines; http: would show what is recorded, and the key, to everybody on the way"
        raise SettingsError("store", shown, wanted)
    name = f"[{host}]" if ":" in host else host
    stated = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{name}{stated}{parts.path.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant by a host name or address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(url: str, key: str, *, near: bool) -> str:
    """The key, if it can be one; what it is, is never said. Raises SettingsError."""
    if key and not _KEY.fullmatch(key):
        raise SettingsError("key", "(not shown)", "an access key as `tachograph keys add` printed it")
    if not key and not near:
        raise SettingsError("key", key, f"an access key of {url}: TACHOGRAPH_KEY, or https://KEY@HOST as the store")
    return key
