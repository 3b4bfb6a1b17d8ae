# ruff: noqa: E501  a document of one line is easier to read whole
"""Authentication and secrets of calls: what is sent, what fails, and that nothing of it is kept."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from memory_run import Ending, MemoryRun, ending_of

from stepwell.programs.flow import FlowPrograms
from stepwell.programs.flow.nodes import digest
from stepwell.programs.http import HttpError, HttpRequest, HttpResponse
from stepwell.programs.secrets import ServerSecrets, variable_of

HEAD = "document: {dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0'}\n"
JSON = {"content-type": "application/json"}
PASSWORD = "open-sesame-42"

Answer = Callable[[HttpRequest], HttpResponse]


class Server:
    """Answers by a function, and keeps what it was asked."""

    def __init__(
        self, answer: Answer = lambda _request: HttpResponse(status=200, headers=JSON, content=b"{}")
    ) -> None:
        self.answer = answer
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return self.answer(request)


async def call(
    authentication: str,
    server: Server,
    *,
    secrets: dict[str, Any] | None = None,
    value: Any = None,
    use: str = "",
    more: str = "",
) -> tuple[Ending, MemoryRun]:
    text = (
        f"{HEAD}use: {{secrets: [s], {use}}}\ndo: [{{call: {{call: http, with: {{method: get, "
        f"endpoint: {{uri: 'http://x/a', authentication: {authentication}}}{more}}}}}}}]"
    )
    program = FlowPrograms(http=server, secrets=ServerSecrets(secrets, environment={})).compile(text).program
    memory = MemoryRun()
    return await ending_of(memory, program, value), memory


def kept(ending: Ending, memory: MemoryRun) -> str:
    """All that is on record, and what the run came to."""
    return repr(memory.record) + msgspec.json.encode(ending).decode()


BASIC = "Basic " + b64encode(f"ann:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize(
    ("authentication", "header"),
    [
        ("{basic: {username: ann, password: open-sesame-42}}", BASIC),
        ("{basic: {username: '${ .user }', password: '${ .password }'}}", BASIC),
        ("{basic: {username: ann, password: '${ $secrets.s.password }'}}", BASIC),
        ("{basic: {use: s}}", BASIC),
        ("{use: shared}", BASIC),
        ("{bearer: {token: open-sesame-42}}", f"Bearer {PASSWORD}"),
        ("{bearer: {token: '${ $secrets.s.password }'}}", f"Bearer {PASSWORD}"),
    ],
)
async def test_credentials_are_sent_and_never_kept(authentication: str, header: str) -> None:
    def refuse(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=403, content=f"not you, {request.headers['Authorization']}, {PASSWORD}".encode())

    secrets = {"s": {"username": "ann", "password": PASSWORD}}
    for server in (Server(), Server(refuse)):
        found = await call(
            authentication,
            server,
            secrets=secrets,
            value={"user": "ann", "password": PASSWORD},
            use="authentications: {shared: {basic: {use: s}}}",
        )
        assert server.requests[0].headers["Authorization"] == header
        assert PASSWORD not in kept(*found)
        assert header.split()[1] not in kept(*found)


async def test_an_answer_that_repeats_the_credentials_is_kept_without_them() -> None:
    server = Server(
        lambda request: HttpResponse(status=200, headers=JSON, content=msgspec.json.encode(dict(request.headers)))
    )
    ending, memory = await call("{bearer: {token: open-sesame-42}}", server, more=", output: response")
    assert ending.output["content"]["Authorization"] == "Bearer ***"
    assert ending.output["request"]["headers"] == {"Authorization": "***"}
    assert PASSWORD not in kept(ending, memory)


async def test_an_unreachable_server_gives_no_credentials_away() -> None:
    def fail(_request: HttpRequest) -> HttpResponse:
        raise HttpError(f"cannot send {PASSWORD}")

    ending, memory = await call("{bearer: {token: open-sesame-42}}", Server(fail))
    assert ending.failure is not None
    assert PASSWORD not in kept(ending, memory)


@pytest.mark.parametrize(
    ("authentication", "secrets", "kind", "words"),
    [
        ("{basic: {use: s}}", {}, "authorization", "expected the secret 's', found none"),
        ("{bearer: {token: '${ $secrets.s }'}}", {}, "authorization", "expected the secret 's', found none"),
        (
            "{basic: {use: s}}",
            {"s": "just text"},
            "configuration",
            "expected a username (text) in the secret 's', found nothing",
        ),
        (
            "{bearer: {use: s}}",
            {"s": {"tokn": 1}},
            "configuration",
            "expected a token (text) in the secret 's', found nothing",
        ),
        ("{bearer: {token: '${ .none }'}}", {}, "configuration", "expected a token (text), found nothing"),
        ('{bearer: {token: "a\\nb"}}', {}, "configuration", "can stand in a header"),
        ("{bearer: {token: '${ $secrets.s.a.b }'}}", {"s": {"a": PASSWORD}}, "expression", "Cannot index string"),
    ],
)
async def test_what_is_missing_or_wrong_is_said(authentication: str, secrets: Any, kind: str, words: str) -> None:
    ending, _ = await call(authentication, Server(), secrets=secrets)
    assert ending.failure is not None
    assert ending.failure.type.endswith(f"/{kind}")
    assert words in ending.failure.detail
    assert ending.failure.instance.startswith("/do/0/call")
    assert PASSWORD not in ending.failure.detail


def test_digest_answers_as_the_standard_has_it() -> None:
    """RFC 7616 §3.9.1."""
    header = (
        'Basic realm="b", Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", '
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    challenge = digest.challenge_in(header)
    assert challenge is not None
    assert challenge["algorithm"] == "SHA-256"
    found = digest.answer(
        challenge,
        method="get",
        url="http://www.example.org/dir/index.html",
        username="Mufasa",
        password="Circle of Life",
        client_nonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in found
    old = digest.answer(
        {**challenge, "algorithm": "MD5"},
        method="get",
        url="http://www.example.org/dir/index.html",
        username="Mufasa",
        password="Circle of Life",
        client_nonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert 'response="8ca523f5e9506fed4657c9700eebdbec"' in old


@pytest.mark.parametrize(
    "header", ["", "Basic realm=x", "Digest realm=x", "Digest nonce=n, algorithm=ODD", "Digest nonce=n, qop=odd"]
)
def test_a_challenge_that_cannot_be_answered_is_none(header: str) -> None:
    assert digest.challenge_in(header) is None


async def test_digest_is_proven_when_the_server_asks() -> None:
    def answer(request: HttpRequest) -> HttpResponse:
        if request.headers.get("Authorization", "").startswith('Digest username="ann"'):
            return HttpResponse(status=200, headers=JSON, content=b'{"in": true}')
        return HttpResponse(status=401, headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})

    server = Server(answer)
    ending, memory = await call("{digest: {username: ann, password: open-sesame-42}}", server)
    assert ending.output == {"in": True}
    assert len(server.requests) == 2
    assert PASSWORD not in kept(ending, memory)


class Authority:
    """An OAuth server and what it guards: each token is good once, the first ends at once."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self.good = ""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.url == "http://auth/.well-known/openid-configuration":
            return HttpResponse(status=200, headers=JSON, content=b'{"token_endpoint": "http://auth/t"}')
        if request.url.startswith("http://auth/"):
            self.asked.append(request)
            self.good = f"token-number-{len(self.asked)}"
            return HttpResponse(
                status=200, headers=JSON, content=msgspec.json.encode({"access_token": self.good, "expires_in": 300})
            )
        if request.headers.get("Authorization") == f"Bearer {self.good}":
            return HttpResponse(status=200, headers=JSON, content=b'{"in": true}')
        return HttpResponse(status=401)


@pytest.mark.parametrize(
    ("scheme", "url", "body"),
    [
        (
            "oauth2: {authority: 'http://auth/', grant: client_credentials, client: {id: me, secret: open-sesame-42}, scopes: [a, b]}",
            "http://auth/oauth2/token",
            b"grant_type=client_credentials&scope=a+b&client_id=me&client_secret=open-sesame-42",
        ),
        (
            "oauth2: {authority: 'http://auth', endpoints: {token: /t}, grant: password, username: ann, password: '${ .p }', request: {encoding: application/json}}",
            "http://auth/t",
            b'{"grant_type":"password","username":"ann","password":"open-sesame-42"}',
        ),
        (
            "oidc: {authority: 'http://auth', grant: client_credentials, client: {id: me, secret: open-sesame-42, authentication: client_secret_basic}}",
            "http://auth/t",
            b"grant_type=client_credentials",
        ),
        (
            "oidc: {use: s}",
            "http://auth/t",
            b"grant_type=client_credentials&client_id=me&client_secret=open-sesame-42",
        ),
    ],
)
async def test_a_token_is_asked_for_in_the_step_and_never_kept(scheme: str, url: str, body: bytes) -> None:
    authority = Authority()
    secrets = {
        "s": {"authority": "http://auth", "grant": "client_credentials", "client": {"id": "me", "secret": PASSWORD}}
    }
    ending, memory = await call(f"{{{scheme}}}", Server(authority), secrets=secrets, value={"p": PASSWORD})
    assert ending.output == {"in": True}
    assert [(request.url, request.content) for request in authority.asked] == [(url, body)]
    assert PASSWORD not in kept(ending, memory)
    assert authority.good not in kept(ending, memory)


async def test_a_token_is_kept_in_memory_and_renewed_when_it_is_refused() -> None:
    authority = Authority()
    text = (
        f"{HEAD}use: {{authentications: {{a: {{oauth2: {{authority: 'http://auth', grant: client_credentials}}}}}}}}\n"
        "do: [{a: {call: http, with: {method: get, endpoint: {uri: 'http://x', authentication: {use: a}}}}},"
        " {b: {call: http, with: {method: get, endpoint: {uri: 'http://x', authentication: {use: a}}}}}]"
    )
    program = FlowPrograms(http=Server(authority)).compile(text).program
    assert (await ending_of(MemoryRun(), program, None)).output == {"in": True}
    assert len(authority.asked) == 1
    authority.good = "another one"
    assert (await ending_of(MemoryRun(), program, None)).output == {"in": True}
    assert len(authority.asked) == 2


async def test_a_refusal_of_the_authority_is_an_authentication_error() -> None:
    server = Server(lambda _request: HttpResponse(status=400, content=PASSWORD.encode()))
    ending, memory = await call("{oauth2: {authority: 'http://auth', grant: client_credentials}}", server)
    assert ending.failure is not None
    assert (ending.failure.type.rpartition("/")[2], ending.failure.status) == ("authentication", 401)
    assert PASSWORD not in kept(ending, memory)


async def test_authorization_is_there_for_the_expressions_of_the_task() -> None:
    server = Server()
    text = (
        f"{HEAD}do: [{{call: {{call: http, with: {{method: post, endpoint: {{uri: 'http://x', authentication: "
        "{basic: {username: ann, password: pw}}}, body: '${ $authorization }'}, output: {as: $authorization.scheme}}}]"
    )
    program = FlowPrograms(http=server).compile(text).program
    assert (await ending_of(MemoryRun(), program, None)).output == "Basic"
    assert msgspec.json.decode(server.requests[0].content or b"")["parameter"] == b64encode(b"ann:pw").decode()


async def test_secrets_are_variables_of_every_expression() -> None:
    text = (
        HEAD
        + "use: {secrets: [s, t]}\ndo: [{a: {input: {from: $secrets.s}, set: {x: '${ . }', y: '${ $secrets[\"t\"].u }'}}}]"
    )
    secrets = ServerSecrets({"s": "one"}, environment={"STEPWELL_SECRET_T": '{"u": 2}'})
    ending = await ending_of(MemoryRun(), FlowPrograms(secrets=secrets).compile(text).program, None)
    assert ending.output == {"x": "one", "y": 2}


def test_secret_of_the_environment_is_found_by_its_name() -> None:
    assert variable_of("petStore-key") == "STEPWELL_SECRET_PETSTORE_KEY"
    secrets = ServerSecrets(
        {"a": "given"},
        environment={"STEPWELL_SECRET_A": "x", "STEPWELL_SECRET_B": "{no json", "STEPWELL_SECRET_C": "007"},
    )
    assert [secrets.find(name) for name in ("a", "b", "c", "d")] == ["given", "{no json", "007", None]
