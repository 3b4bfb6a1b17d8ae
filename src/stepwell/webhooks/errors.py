"""What callers of webhooks can do something about."""

from stepwell.core.errors import InvalidInputError, RefusedError


class InvalidFieldError(InvalidInputError):
    """A field of an endpoint, or the callback address of a run, that cannot be like this."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class EndpointNotFoundError(RefusedError):
    """No endpoint has this id, or it is another owner's."""

    def __init__(self, id: str) -> None:
        super().__init__("not_found", f"there is no webhook endpoint {id}")
