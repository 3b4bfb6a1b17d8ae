"""Why a URL is not called."""

from enum import StrEnum

from stepwell.core.errors import StepwellError


class EgressReason(StrEnum):
    """Stable, for programs."""

    URL_INVALID = "url_invalid"
    SCHEME_NOT_ALLOWED = "scheme_not_allowed"
    CREDENTIALS_IN_URL = "credentials_in_url"
    PORT_NOT_ALLOWED = "port_not_allowed"
    ODD_ADDRESS = "odd_address"
    HOST_HEADER = "host_header"
    FRAMING_HEADER = "framing_header"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"


class EgressRefusedError(StepwellError, ValueError):
    """A URL that a user gave and that we do not call. Trying again does not help.

    The text names the host and the rule, never the address a name stands for: users must not learn our network from
    it. `address` has it, for logs. A `ValueError` too: so HTTP clients know it for a request that cannot be sent.
    """

    def __init__(self, reason: EgressReason, detail: str, *, address: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.address = address

    def __str__(self) -> str:
        return f"{self.detail} ({self.reason})"
