"""All settings, where each value comes from, and what is refused.

Later wins: the default, `stepwell.toml`, a `STEPWELL_<NAME>` environment variable, the command line. A name that no
setting has is refused wherever it stands, so that a misspelt one is noticed. Nothing is read at import.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from stepwell.core.errors import StepwellError

FILE: Final = "stepwell.toml"
PREFIX: Final = "STEPWELL_"
NOT_SETTINGS: Final = ("CONFIG", "SECRET", "URL", "KEY", "TRACEBACK", "SOAK", "BENCH", "TEST", "FAIL")
"""First words of our environment variables that are no settings: of the command line, secrets of flows, of tests."""
MASK: Final = "***"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Texts = tuple[str, ...]
"""A list in the file, text with commas in an environment variable."""
_SECRET: Final = {"secret": True}
"""Of a setting whose value is shown nowhere."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default. Times in seconds."""

    db: Annotated[
        str, Meta(description="database: sqlite:///relative.db, sqlite:////absolute.db, postgresql://user@host/name")
    ] = "sqlite:///stepwell.db"
    host: Annotated[str, Meta(description="address the server listens on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port the server listens on; 0 takes a free one")] = 8082
    app: Annotated[str, Meta(description="the program's stepwell.App as module:attribute")] = ""
    flows: Annotated[str, Meta(description="flow document, or folder of them, to load at start")] = ""
    connections: Annotated[str, Meta(description="file of brokers and data sources, YAML or JSON")] = ""
    idle_s: Annotated[NotNegative, Meta(description="how long a run that only waits stays in memory")] = 5.0
    files_dir: Annotated[
        str,
        Meta(
            description="folder of the files that runs are given; not set: with the database (its name with .files)"
        ),
    ] = ""
    execute_wait_s: Annotated[
        NotNegative, Meta(description="how long a blocking execution waits for its run, at most")
    ] = 300.0
    execute_keep_alive_s: Annotated[
        NotNegative,
        Meta(
            description="send the head of a blocking execution's answer at once, then a newline this often; 0: do not"
        ),
    ] = 0.0
    keep_ended_s: Annotated[
        NotNegative | None, Meta(description="delete runs that ended longer ago; not set: keep all")
    ] = None
    max_executions_per_run: Annotated[
        int, Meta(ge=1, description="executions that one run of a pipeline may have")
    ] = 10_000_000
    broker_retry_s: Annotated[
        NotNegative, Meta(description="how long a message is sent again that a broker cannot take")
    ] = 60.0
    max_active: Annotated[int, Meta(ge=1, description="runs in memory at once; others wait their turn")] = 10_000
    dead_after_s: Annotated[
        float, Meta(ge=0.5, description="with PostgreSQL: silence after which a node's runs are taken over by others")
    ] = 2.0
    watchdog_s: Annotated[
        NotNegative,
        Meta(description="with PostgreSQL: how long the event loop may hang until the node ends; 0: ever"),
    ] = 30.0
    more_dbs: Annotated[
        Texts, Meta(description="more PostgreSQL databases, over which runs are spread; db is the first of them")
    ] = ()
    workflow_limits: Annotated[
        tuple[Annotated[str, Meta(pattern="^.+=[1-9][0-9]*(/[smhd])?$")], ...],
        Meta(
            description="workflow=2: how many of its runs are driven at once; workflow=100/m: how many begin in a "
            "second (s), minute, hour or day; by all nodes together, a number in each database"
        ),
    ] = ()
    max_depth: Annotated[
        int, Meta(ge=0, description="workflows that may lead to a run: its parents, or those whose events started it")
    ] = 10
    shutdown_grace_s: Annotated[NotNegative, Meta(description="time that steps in flight get to end at shutdown")] = (
        10.0
    )
    public_url: Annotated[
        str, Meta(description="how the server is reached from outside, for callback addresses; default host and port")
    ] = ""
    console: Annotated[
        bool | None, Meta(description="serve the web console; not set: when its library is installed")
    ] = None
    allow_processes: Annotated[bool, Meta(description="let documents run shell commands and scripts")] = False
    log_level: Annotated[LogLevel, Meta(description="least level that is logged")] = "info"
    log_format: Annotated[LogFormat, Meta(description="text or json, one line each, on stderr")] = "text"
    otel_endpoint: Annotated[
        str,
        Meta(description="where traces go by OTLP/HTTP, like http://127.0.0.1:4318/v1/traces; not set: none"),
    ] = ""

    # who is let in (docs/security.md)
    jwt_issuer: Annotated[str, Meta(description="issuer of tokens, exactly as their claim iss has it")] = ""
    jwt_audience: Annotated[Texts, Meta(description="audiences, one of which a token is meant for (aud)")] = ()
    jwt_jwks: Annotated[str, Meta(description="the issuer's public keys (JWKS): https:// URL, or a file")] = ""
    jwt_secret: Annotated[
        str, Meta(description="secret shared with the issuer (HS256), 32 bytes or more", extra=_SECRET)
    ] = ""
    jwt_algorithms: Annotated[Texts, Meta(description="algorithms allowed for public keys")] = (
        "RS256",
        "ES256",
        "EdDSA",
    )
    jwt_leeway_s: Annotated[float, Meta(ge=0, le=60, description="how far clocks may differ")] = 30.0
    jwt_roles_claims: Annotated[Texts, Meta(description="claims that hold roles; paths have dots")] = (
        "realm_access.roles",
        "roles",
    )
    jwt_organisations_claims: Annotated[Texts, Meta(description="claims that hold organisations")] = (
        "organizations",
        "organization",
        "org_id",
    )
    jwt_display_claims: Annotated[Texts, Meta(description="claims of a person's name; the first there is")] = (
        "preferred_username",
        "name",
        "email",
    )
    jwt_scopes_claim: Annotated[
        str, Meta(description="claim with read, write, admin; not set: a token may read and write")
    ] = ""
    jwt_admin_role: Annotated[str, Meta(description="role that sees and steers the runs of all owners")] = ""
    auth_cookie: Annotated[str, Meta(description="cookie that may hold a token, at the runs API")] = "token"
    auth_query_tokens: Annotated[bool, Meta(description="take ?token= on GET streams of the runs API")] = False
    auth_failures_per_minute: Annotated[
        Count, Meta(description="wrong credentials per address and minute, then 429; 0: not bounded")
    ] = 10
    trusted_networks: Annotated[
        Texts, Meta(description="networks whose callers act for the organisation they name, at the runs API")
    ] = ()
    cors_origins: Annotated[Texts, Meta(description="origins of web pages that may use the server")] = ()

    # what may be sent, and how much of it
    rate_limit: Annotated[Count, Meta(description="requests per principal and minute; 0: no limit")] = 0
    max_streams: Annotated[int, Meta(ge=1, description="streams open at once per principal")] = 20
    max_header_bytes: Annotated[
        int, Meta(ge=1024, le=65536, description="names, values and target of a request together")
    ] = 32 * 1024
    max_body_bytes: Annotated[int, Meta(ge=1024, description="a request's body")] = 1024 * 1024
    max_upload_bytes: Annotated[int, Meta(ge=1024, description="a multipart body, with its files")] = 64 * 1024 * 1024
    max_json_depth: Annotated[int, Meta(ge=1, le=256, description="levels of JSON in a body")] = 64

    # which addresses are called for documents and URLs that came through an API
    egress_allow: Annotated[
        Texts, Meta(description="hosts, host:port or networks called although they are not public")
    ] = ()
    egress_deny: Annotated[Texts, Meta(description="networks never called")] = ()
    egress_http: Annotated[bool, Meta(description="call http:// too, not only https://")] = False
    egress_ports: Annotated[tuple[Port, ...], Meta(description="ports that are called")] = (80, 443)

    # proof of what happened
    audit_chain: Annotated[bool, Meta(description="keep with each event a hash that covers those before it")] = False
    audit_key: Annotated[
        str, Meta(description="key of these hashes: without it nobody can make ones that fit", extra=_SECRET)
    ] = ""

    # the language model that agent steps ask
    agent_base_url: Annotated[
        str, Meta(description="endpoint with OpenAI's chat protocol, up to /v1; not set: there are no agents")
    ] = ""
    agent_model: Annotated[str, Meta(description="model of agent steps that name none")] = ""
    agent_api_key: Annotated[
        str, Meta(description="key for agent_base_url; not set: the secret agent_api_key", extra=_SECRET)
    ] = ""
    agent_silence_s: Annotated[float, Meta(gt=0, description="how long a model's answer may pause")] = 120.0


FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings)}


class SettingsError(StepwellError):
    """A setting that does not exist, or has a value it cannot have."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as `stepwell settings` shows it; `value` is masked where it is secret."""

    name: str
    value: Any
    origin: str
    meaning: str = ""


class LoadedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force, and the origin of each that is not at its default."""

    settings: Settings
    origins: dict[str, str] = {}

    def or_else(self, origin: str, **values: Any) -> "LoadedSettings":
        """The same with other values for those of `values` that nobody has set."""
        free = {name: value for name, value in values.items() if name not in self.origins and value is not None}
        return LoadedSettings(
            settings=msgspec.structs.replace(self.settings, **free),
            origins={**self.origins, **dict.fromkeys(free, origin)},
        )

    def listed(self) -> list[Setting]:
        """Every setting, in the order of the struct."""
        return [
            Setting(
                name=name,
                value=shown(name, getattr(self.settings, name)),
                origin=self.origins.get(name, "default"),
                meaning=_meaning(field.type),
            )
            for name, field in FIELDS.items()
        ]


def load_settings(
    *, config: str | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> LoadedSettings:
    """The settings from all their places. `config` must exist when it is given; flags of None are not given.

    Raises `SettingsError`.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, tuple[Any, str]] = {}
    for name, value in _read_file(config or environ.get(f"{PREFIX}CONFIG") or None).items():
        found[name] = _checked(name, value, origin=config or FILE), config or FILE
    for variable, text in _our_variables(environ).items():
        name = variable.removeprefix(PREFIX).lower()
        found[name] = _checked(name, text, origin=variable, strict=False), variable
    for name, value in (flags or {}).items():
        if value is not None:
            flag = "--" + name.replace("_", "-")
            found[name] = _checked(name, value, origin=flag), flag
    return LoadedSettings(
        settings=Settings(**{name: value for name, (value, _) in found.items()}),
        origins={name: origin for name, (_, origin) in found.items()},
    )


def _read_file(config: str | None) -> dict[str, Any]:
    path = Path(config or FILE)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if config is None:
            return {}
        raise SettingsError(f"{path} does not exist: name another file with --config") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingsError(f"{path} cannot be read ({_reason(fault)}): name another file with --config") from None
    except tomllib.TOMLDecodeError as fault:
        raise SettingsError(f"{path} is no TOML: {fault}") from None


def _our_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables of settings. An empty one is not set: that is how one is taken back in a shell."""
    return {
        name: text
        for name, text in environ.items()
        if name.startswith(PREFIX) and text and not name.removeprefix(PREFIX).startswith(NOT_SETTINGS)
    }


def _checked(name: str, value: Any, *, origin: str, strict: bool = True) -> Any:
    field = FIELDS.get(name)
    if field is None:
        raise SettingsError(f"{origin}: there is no setting {name!r}{_hint(name)}")
    try:
        return msgspec.convert(_as_list(value, field.type, strict), field.type, strict=strict)
    except msgspec.ValidationError as fault:
        found = "a value that is not shown" if _is_secret(name) else repr(value)
        raise SettingsError(f"{origin}: {name}: {_expected(field.type, fault)}, found {found}") from None


def _as_list(value: Any, kind: Any, strict: bool) -> Any:
    """Text of the environment is a list by its commas."""
    if strict or not isinstance(value, str) or get_origin(get_args(kind)[0]) is not tuple:
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _expected(kind: Any, fault: msgspec.ValidationError) -> str:
    plain = get_args(kind)[0]
    if get_origin(plain) is Literal:
        return f"expected one of {', '.join(get_args(plain))}"
    what = str(fault).partition(", got")[0].partition(" - at")[0].replace("Expected", "expected").replace("`", "")
    what = what.replace("expected array", "expected a list")
    return f"{what} in the list" if "$[" in str(fault) else what


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, n=1)
    return f"; did you mean {near[0]!r}?" if near else f" (there are: {', '.join(FIELDS)})"


def _meaning(kind: Any) -> str:
    extra = msgspec.inspect.type_info(kind)
    schema = extra.extra_json_schema if isinstance(extra, msgspec.inspect.Metadata) else None
    return str((schema or {}).get("description", ""))


def _is_secret(name: str) -> bool:
    kind = msgspec.inspect.type_info(FIELDS[name].type)
    return isinstance(kind, msgspec.inspect.Metadata) and kind.extra == _SECRET


def shown(name: str, value: Any) -> Any:
    """The value of a setting as it may be shown."""
    return MASK if value and _is_secret(name) else masked(value)


def masked(value: Any) -> Any:
    """A value as it may be shown: the password of a URL is not."""
    if isinstance(value, tuple):
        return tuple(map(masked, value))
    if not isinstance(value, str) or "@" not in value:
        return value
    parts = urlsplit(value)
    if not parts.password:
        return value
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", f":{MASK}@")))


def _reason(fault: OSError | UnicodeDecodeError) -> str:
    return fault.strerror or type(fault).__name__ if isinstance(fault, OSError) else "it is not UTF-8 text"
