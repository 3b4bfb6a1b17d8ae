"""Why a request is refused before any door sees it: a closed list of reasons, a record, an error that carries it.

`Reason` is for programs and stays stable; the text is for people and never holds what was sent (a wrong password is
often a right one with a typing error).
"""

from enum import StrEnum
from typing import Final

import msgspec

from stepwell.core.errors import StepwellError


class Reason(StrEnum):
    """Every reason, with the HTTP status in `STATUS`."""

    # nobody, or nobody we know
    MISSING_CREDENTIAL = "missing_credential"
    AMBIGUOUS_CREDENTIALS = "ambiguous_credentials"
    UNSUPPORTED_SCHEME = "unsupported_scheme"
    TOKEN_IN_QUERY = "token_in_query"
    TOKEN_NOT_ACCEPTED = "token_not_accepted"
    TOKEN_MALFORMED = "token_malformed"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    HEADER_NOT_ALLOWED = "header_not_allowed"
    KEY_UNKNOWN = "key_unknown"
    SIGNATURE_INVALID = "signature_invalid"
    CLAIM_MISSING = "claim_missing"
    CLAIM_INVALID = "claim_invalid"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_TOKEN_TYPE = "wrong_token_type"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    API_KEY_INVALID = "api_key_invalid"
    API_KEY_EXPIRED = "api_key_expired"
    API_KEY_REVOKED = "api_key_revoked"
    # known, but not for this
    CROSS_SITE = "cross_site"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    ORGANISATION_NOT_ALLOWED = "organisation_not_allowed"
    ORGANISATION_REQUIRED = "organisation_required"
    ORGANISATION_AMBIGUOUS = "organisation_ambiguous"
    # too much
    HEADERS_TOO_LARGE = "headers_too_large"
    BODY_TOO_LARGE = "body_too_large"
    CONTENT_LENGTH_INVALID = "content_length_invalid"
    JSON_TOO_DEEP = "json_too_deep"
    JSON_DUPLICATE_KEY = "json_duplicate_key"
    RATE_LIMITED = "rate_limited"
    # our own fault
    KEYS_UNAVAILABLE = "keys_unavailable"


STATUS: Final[dict[Reason, int]] = {
    **dict.fromkeys(Reason, 401),
    Reason.CROSS_SITE: 403,
    Reason.INSUFFICIENT_SCOPE: 403,
    Reason.ORGANISATION_NOT_ALLOWED: 403,
    Reason.ORGANISATION_REQUIRED: 403,
    Reason.ORGANISATION_AMBIGUOUS: 400,
    Reason.HEADERS_TOO_LARGE: 431,
    Reason.BODY_TOO_LARGE: 413,
    Reason.CONTENT_LENGTH_INVALID: 400,
    Reason.JSON_TOO_DEEP: 400,
    Reason.JSON_DUPLICATE_KEY: 400,
    Reason.RATE_LIMITED: 429,
    Reason.KEYS_UNAVAILABLE: 503,
}


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request that is not let in. `retry_after_s` where waiting helps."""

    reason: Reason
    detail: str
    retry_after_s: int | None = None

    @property
    def status(self) -> int:
        return STATUS[self.reason]

    @property
    def headers(self) -> dict[str, str]:
        """What belongs to the answer whatever its shape: RFC 6750 §3 (challenge), RFC 9110 §10.2.3 (Retry-After)."""
        found: dict[str, str] = {}
        if self.status == 401:
            found["WWW-Authenticate"] = _challenge(self)
        if self.status in (413, 431):
            found["Connection"] = "close"  # the rest of what is being sent is not read
        if self.retry_after_s is not None:
            found["Retry-After"] = str(self.retry_after_s)
        return found


class AccessError(StepwellError):
    """Carries a refusal up from the check that made it."""

    def __init__(self, reason: Reason, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason=reason, detail=detail, retry_after_s=retry_after_s)


def _challenge(refusal: Refusal) -> str:
    """Without a credential nothing is said about errors (RFC 6750 §3.1)."""
    if refusal.reason is Reason.MISSING_CREDENTIAL:
        return "Bearer"
    text = "".join(sign for sign in refusal.detail if " " <= sign <= "~" and sign not in '"\\')
    return f'Bearer error="invalid_token", error_description="{text}"'
