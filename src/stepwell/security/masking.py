"""Secrets out of outputs and logs: by name (`authorization`, `password`), by looks (our keys, tokens), by value.

By value is sure and comes first; the others catch what nobody thought of. Masking never lengthens the list of things
that may be shown: when in doubt it hides.
"""

import logging
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

MASK: Final = "***"
MIN_CHARACTERS: Final = 8
"""Shorter values protect nothing, and hiding every "abc" would tear texts apart."""
MAX_DEPTH: Final = 32

_NAMES: Final = re.compile(
    r"authorization|cookie|password|passwd|passphrase|secret|credential|private_?key|api_?key|access_?key|signature"
    r"|(?:^|_)(?:token|pwd|jwt)$|_token(?:_|$)",
    re.IGNORECASE,
)
_LOOKS: Final = re.compile(
    r"ap_[0-9a-f]{16}_[A-Za-z0-9_-]{20,}"  # our API keys
    r"|whsec_[A-Za-z0-9+/=_-]{16,}"  # webhook secrets (Standard Webhooks)
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # JWTs begin with {" in base64
    r"|(?<=[Bb]earer )[^\s\"',;]+"
    r"|(?<=[Bb]asic )[A-Za-z0-9+/=]{6,}"
    r"|(?<=[?&;]token=)[^&#\s\"']+"
    r"|(?<=/workflow-callbacks/)[^/?#\s\"']+"  # the path is the credential
    r"|(?<=://)[^/\s:@\"']*:[^/\s@\"']+(?=@)"  # user:password@ in URLs
)


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is never shown."""
    return bool(_NAMES.search(re.sub(r"(?<=[a-z])(?=[A-Z])|[-.\s]", "_", name)))


class Masks:
    """Hides the given secrets, and what looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        found = {secret for secret in secrets if len(secret) >= MIN_CHARACTERS}
        self._secrets = sorted(found, key=len, reverse=True)  # one may be a part of another

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return _LOOKS.sub(MASK, text)

    def data(self, value: Any, depth: int = 0) -> Any:
        """The same JSON value without secrets; what stands under a secret's name goes as a whole."""
        if isinstance(value, str):
            return self.text(value)
        if depth >= MAX_DEPTH and isinstance(value, Mapping | list | tuple):
            return MASK
        if isinstance(value, Mapping):
            return {name: self._under(name, one, depth + 1) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(one, depth + 1) for one in value]
        return value

    def _under(self, name: Any, value: Any, depth: int) -> Any:
        hidden = isinstance(name, str) and is_secret_name(name) and value not in (None, "", True, False)
        return MASK if hidden else self.data(value, depth)


MASKS: Final = Masks()


def mask_url(url: str) -> str:
    """A URL for outputs: no credentials, and of the query only the names."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(f"{pair.partition('=')[0]}={MASK}" for pair in parts.query.split("&") if pair)
    return MASKS.text(urlunsplit((parts.scheme, host, parts.path, query, "")))


class MaskedRecords(logging.Filter):
    """Hides secrets in what the standard library's loggers are given, paths and queries of access logs above all."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):  # an access log's formatter reads them one by one
            record.args = tuple(MASKS.text(one) if isinstance(one, str) else one for one in record.args)
        return True


def mask_access_log() -> None:
    """For servers that are started with uvicorn's own access log. Doing it twice is harmless."""
    access = logging.getLogger("uvicorn.access")
    if not any(isinstance(one, MaskedRecords) for one in access.filters):
        access.addFilter(MaskedRecords())


def mask_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: stands last before the renderer."""
    for name, value in event.items():
        event[name] = MASKS._under(name, value, 0)
    return event
