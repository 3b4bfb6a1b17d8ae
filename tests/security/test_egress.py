"""The egress guard against real servers on loopback: what must not be called sees no connection."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from stepwell.programs.http import HttpError, HttpRequest, HttpxClient
from stepwell.security.egress import (
    EgressReason,
    EgressRefusedError,
    EgressRules,
    check_url,
    parse_exceptions,
)
from stepwell.security.egress.addresses import Address, kind_of
from stepwell.security.egress.rules import EgressSettingsError, parse_networks
from stepwell.security.egress.transport import GuardedTransport

from .servers import Served


class Names:
    """A resolver with answers of its own: for each name one after the other, the last one again and again."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): [given.split() for given in list_] for name, list_ in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        found = self.answers.get(host)
        if not found:
            raise OSError(f"{host}:{port} is unknown")
        return [ipaddress.ip_address(text) for text in (found.pop(0) if len(found) > 1 else found[0])]


class Target:
    """Servers on one port of 127.0.0.1, ::1 and (as a stranger whom we may call) 127.0.0.2."""

    def __init__(self, own: Served, own6: Served | None, stranger: Served) -> None:
        self.own = own
        self.own6 = own6
        self.stranger = stranger
        self.port = own.port

    @property
    def touched(self) -> int:
        return self.own.connections + (self.own6.connections if self.own6 else 0)


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    own = await Served().open("127.0.0.1")
    stranger = await Served().open("127.0.0.2", own.port)
    try:
        own6: Served | None = await Served().open("::1", own.port)
    except OSError:  # a machine without IPv6
        own6 = None
    for server in (own, stranger, own6):
        if server is not None:
            server.answers["/"] = (200, {}, b"secret" if server is not stranger else b"hello")
    yield Target(own, own6, stranger)
    for server in (own, stranger, own6):
        if server is not None:
            await server.close()


def rules(port: int, *allow: str, deny: Sequence[str] = ()) -> EgressRules:
    """As lax as they can be: http, and the port that the servers listen on."""
    return EgressRules(
        schemes=("http", "https"),
        ports=(80, 443, port),
        allowed=parse_exceptions(allow),
        denied=parse_networks(deny),
    )


async def get(url: str, rules: EgressRules, names: Names | None = None, *, follow: bool = False) -> httpx.Response:
    transport = GuardedTransport(rules, resolver=names)
    async with httpx.AsyncClient(transport=transport, follow_redirects=follow, timeout=5) as client:
        return await client.get(url)


# --- the vectors ----------------------------------------------------------------------------------------------------

ADDRESS, ODD = EgressReason.ADDRESS_NOT_ALLOWED, EgressReason.ODD_ADDRESS
INVALID, SCHEME = EgressReason.URL_INVALID, EgressReason.SCHEME_NOT_ALLOWED
CREDENTIALS, PORT = EgressReason.CREDENTIALS_IN_URL, EgressReason.PORT_NOT_ALLOWED

# None: refused by whichever reader of the URL comes first.
VECTORS: list[tuple[str, EgressReason | None]] = [
    # loopback and its names
    ("http://127.0.0.1:{port}/", ADDRESS),
    ("http://127.0.0.1.:{port}/", ADDRESS),
    ("http://127.1.2.3:{port}/", ADDRESS),
    ("http://127.255.255.255:{port}/", ADDRESS),
    ("http://localhost:{port}/", ADDRESS),
    ("http://LOCALHOST:{port}/", ADDRESS),
    ("http://localhost.:{port}/", ADDRESS),
    ("http://[::1]:{port}/", ADDRESS),
    ("http://[0:0:0:0:0:0:0:1]:{port}/", ADDRESS),
    ("https://127.0.0.1:{port}/", ADDRESS),
    # unspecified: Linux connects to itself
    ("http://0.0.0.0:{port}/", ADDRESS),
    ("http://0.1.2.3:{port}/", ADDRESS),
    ("http://[::]:{port}/", ADDRESS),
    # odd spellings of IPv4
    ("http://0:{port}/", ODD),
    ("http://127.1:{port}/", ODD),
    ("http://127.0.1:{port}/", ODD),
    ("http://2130706433:{port}/", ODD),
    ("http://0x7f000001:{port}/", ODD),
    ("http://0x7f.0.0.1:{port}/", ODD),
    ("http://0x7f.1:{port}/", ODD),
    ("http://0X7F.0X0.0X0.0X1:{port}/", ODD),
    ("http://017700000001:{port}/", ODD),
    ("http://0177.0.0.1:{port}/", ODD),
    ("http://0177.0.0.01:{port}/", ODD),
    ("http://127.000.000.001:{port}/", ODD),
    ("http://127.0.0.0x1:{port}/", ODD),
    ("http://0x7f.0.0.01:{port}/", ODD),
    ("http://4294967297:{port}/", ODD),
    ("http://127.0.0.1.1:{port}/", ODD),
    ("http://127.0.0.257:{port}/", ODD),
    ("http://0x:{port}/", ODD),
    ("http://%31%32%37.0.0.1:{port}/", None),
    ("http://127%2e0%2e0%2e1:{port}/", None),
    ("http://①②⑦.⓪.⓪.①:{port}/", None),
    ("http://127。0。0。1:{port}/", None),
    ("http://１２７.0.0.1:{port}/", None),
    ("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/", None),
    # IPv6 that stands for IPv4
    ("http://[::ffff:127.0.0.1]:{port}/", ADDRESS),
    ("http://[::ffff:7f00:1]:{port}/", ADDRESS),
    ("http://[0:0:0:0:0:ffff:7f00:0001]:{port}/", ADDRESS),
    ("http://[::127.0.0.1]:{port}/", ADDRESS),
    ("http://[::7f00:1]:{port}/", ADDRESS),
    ("http://[64:ff9b::127.0.0.1]:{port}/", ADDRESS),
    ("http://[64:ff9b::7f00:1]:{port}/", ADDRESS),
    ("http://[64:ff9b::a9fe:a9fe]:{port}/", ADDRESS),
    ("http://[64:ff9b:1::7f00:1]:{port}/", ADDRESS),
    ("http://[2002:7f00:1::]:{port}/", ADDRESS),
    ("http://[2002:c0a8:1::1]:{port}/", ADDRESS),
    ("http://[2001:0:7f00:1::]:{port}/", ADDRESS),
    ("http://[2001:0000:4136:e378:8000:63bf:80ff:fffe]:{port}/", ADDRESS),
    ("http://[2606:4700::5efe:7f00:1]:{port}/", ADDRESS),
    # private, link-local, shared, reserved, multicast
    ("http://10.0.0.1:{port}/", ADDRESS),
    ("http://172.16.0.1:{port}/", ADDRESS),
    ("http://172.31.255.255:{port}/", ADDRESS),
    ("http://192.168.1.1:{port}/", ADDRESS),
    ("http://169.254.169.254/latest/meta-data/", ADDRESS),
    ("http://169.254.170.2/", ADDRESS),
    ("http://100.64.0.1/", ADDRESS),
    ("http://100.100.100.200/", ADDRESS),
    ("http://168.63.129.16/", ADDRESS),
    ("http://192.0.0.192/", ADDRESS),
    ("http://192.0.2.1/", ADDRESS),
    ("http://198.18.0.1/", ADDRESS),
    ("http://198.51.100.1/", ADDRESS),
    ("http://203.0.113.1/", ADDRESS),
    ("http://192.88.99.1/", ADDRESS),
    ("http://224.0.0.1/", ADDRESS),
    ("http://239.255.255.250/", ADDRESS),
    ("http://240.0.0.1/", ADDRESS),
    ("http://255.255.255.255/", ADDRESS),
    ("http://[fe80::1]/", ADDRESS),
    ("http://[fe80::1%25lo]:{port}/", None),
    ("http://[::1%25lo]:{port}/", None),
    ("http://[fc00::1]/", ADDRESS),
    ("http://[fd00:ec2::254]/", ADDRESS),
    ("http://[fec0::1]/", ADDRESS),
    ("http://[ff02::1]/", ADDRESS),
    ("http://[2001:db8::1]/", ADDRESS),
    ("http://[100::1]/", ADDRESS),
    ("http://[4000::1]/", ADDRESS),
    # credentials, schemes, ports
    ("http://user@127.0.0.1:{port}/", CREDENTIALS),
    ("http://user:password@example.com:{port}/", CREDENTIALS),
    ("http://example.com@127.0.0.1:{port}/", CREDENTIALS),
    ("http://example.com:80@127.0.0.1:{port}/", CREDENTIALS),
    ("http://:@127.0.0.1:{port}/", None),
    ("file:///etc/passwd", None),
    ("gopher://127.0.0.1:{port}/_", SCHEME),
    ("ftp://127.0.0.1:{port}/", SCHEME),
    ("ws://127.0.0.1:{port}/", SCHEME),
    ("http+unix://%2Fvar%2Frun%2Fdocker.sock/", None),
    ("dict://127.0.0.1:{port}/", SCHEME),
    ("data:text/plain,a", None),
    ("//127.0.0.1:{port}/", None),
    ("127.0.0.1:{port}/", None),
    ("http:///", None),
    ("http://127.0.0.1:22/", PORT),
    ("http://127.0.0.1:6379/", PORT),
    ("http://127.0.0.1:99999/", None),
    ("http://127.0.0.1:{port}0000/", None),
    # texts that two readers read differently
    ("http://127.0.0.1:{port}\\@example.com/", None),
    ("http://127.0.0.1:{port}#@example.com/", ADDRESS),
    ("http://127.0.0.1:{port}?@example.com/", ADDRESS),
    ("http://example.com\\@127.0.0.1:{port}/", None),
    ("http://127.0.0.1 :{port}/", None),
    ("http://127.0.0.1\t:{port}/", None),
    ("http://127.0.0.1%00.example.com:{port}/", None),
    ("http://127.0.0.1:{port}/\r\nHost: example.com", None),
    ("http://[127.0.0.1]:{port}/", None),
    ("http://[::1:{port}/", None),
    ("http://exa_mple..com:{port}/", None),
    ("http://-:{port}/", None),
]


@pytest.mark.parametrize(("url", "reason"), VECTORS)
async def test_url_is_refused_and_nothing_is_connected(url: str, reason: EgressReason | None, target: Target) -> None:
    url = url.format(port=target.port)
    with pytest.raises((EgressRefusedError, httpx.InvalidURL, httpx.UnsupportedProtocol)) as refused:
        await get(url, rules(target.port))
    if isinstance(refused.value, EgressRefusedError):  # else httpx could not even read it
        assert reason in (None, refused.value.reason)
    await asyncio.sleep(0)
    assert target.touched == 0


@pytest.mark.parametrize(("url", "reason"), VECTORS)
def test_url_is_refused_when_it_is_saved(url: str, reason: EgressReason | None) -> None:
    """The same without a request; a name is not resolved then."""
    if "localhost" in url.lower():
        assert check_url(url.format(port=8000), rules(8000)).host == "localhost"
        return
    with pytest.raises(EgressRefusedError) as refused:
        check_url(url.format(port=8000), rules(8000))
    assert reason is None or refused.value.reason is reason


def test_there_are_enough_of_them() -> None:
    assert len(VECTORS) >= 60


async def test_the_vectors_bite(target: Target) -> None:
    """Without the guard these reach our own server, so it is the guard that keeps them away."""
    bad = ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "0", "localhost", "0.0.0.0"]
    async with httpx.AsyncClient(trust_env=False) as client:
        for host in bad:
            assert (await client.get(f"http://{host}:{target.port}/")).text == "secret"
    assert target.touched == len(bad)


# --- names ----------------------------------------------------------------------------------------------------------

BAD_ANSWERS = [
    "127.0.0.1",
    "::1",
    "10.1.2.3",
    "169.254.169.254",
    "0.0.0.0",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fe80::1",
    "127.0.0.2 127.0.0.1",  # one good address among them does not help
    "127.0.0.1 127.0.0.2",
    "8.8.8.8 10.0.0.1",
    "2606:4700::1111 ::1",
]


@pytest.mark.parametrize("answer", BAD_ANSWERS)
async def test_name_of_a_bad_address_is_refused(answer: str, target: Target) -> None:
    names = Names(evil_example=[answer])
    with pytest.raises(EgressRefusedError) as refused:
        await get(f"http://evil.example:{target.port}/", rules(target.port, "127.0.0.2"), names)
    assert refused.value.reason is ADDRESS
    assert refused.value.address
    assert refused.value.address not in str(refused.value)  # our network is nobody's business
    assert (target.touched, target.stranger.connections) == (0, 0)


async def test_rebinding_has_nothing_to_swap(target: Target) -> None:
    """The name is resolved once; what was checked is what is connected to, whatever it says afterwards."""
    names = Names(evil_example=["127.0.0.2", "127.0.0.1"])
    found = await get(f"http://evil.example:{target.port}/", rules(target.port, "127.0.0.2"), names)
    assert (found.text, names.asked) == ("hello", ["evil.example"])
    assert (target.touched, target.stranger.connections) == (0, 1)


async def test_each_new_connection_is_checked_anew(target: Target) -> None:
    names = Names(evil_example=["127.0.0.2", "127.0.0.1"])
    transport = GuardedTransport(rules(target.port, "127.0.0.2"), resolver=names)
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get(f"http://evil.example:{target.port}/")).text == "hello"
        with pytest.raises(EgressRefusedError):  # the server closed the first connection
            await client.get(f"http://evil.example:{target.port}/")
    assert (target.touched, len(names.asked)) == (0, 2)


async def test_host_and_path_reach_the_server_as_they_were_asked(target: Target) -> None:
    names = Names(good_example=["127.0.0.2"])
    await get(f"http://good.example:{target.port}/a%20b?c=d", rules(target.port, "127.0.0.2"), names)
    (head,) = target.stranger.heads
    assert head.startswith("GET /a%20b?c=d HTTP/1.1\r\n")
    assert f"Host: good.example:{target.port}\r\n" in head


async def test_next_address_is_tried_when_one_does_not_answer(target: Target) -> None:
    names = Names(good_example=["127.0.0.3 127.0.0.2"])
    found = await get(f"http://good.example:{target.port}/", rules(target.port, "127.0.0.2/31"), names)
    assert found.text == "hello"


async def test_unknown_name_is_a_passing_fault() -> None:
    with pytest.raises(httpx.ConnectError):
        await get("https://unknown.example/", EgressRules(), Names())


async def test_slow_resolver_is_a_time_out() -> None:
    class Slow:
        async def resolve(self, _host: str, _port: int) -> list[Address]:
            await asyncio.Event().wait()
            return []

    async with httpx.AsyncClient(transport=GuardedTransport(EgressRules(), resolver=Slow()), timeout=0.01) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("https://slow.example/")


async def test_host_header_must_be_the_urls(target: Target) -> None:
    transport = GuardedTransport(rules(target.port, "127.0.0.2"))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(EgressRefusedError) as refused:
            await client.get(f"http://127.0.0.2:{target.port}/", headers={"Host": "intranet"})
    assert refused.value.reason is EgressReason.HOST_HEADER
    assert target.stranger.connections == 0


@pytest.mark.parametrize(
    "headers", [{"Transfer-Encoding": "chunked"}, {"tRANSFER-eNCODING": "x"}, {"Upgrade": "h2c"}]
)
async def test_end_of_a_request_is_not_for_its_author_to_say(headers: dict[str, str], target: Target) -> None:
    transport = GuardedTransport(rules(target.port, "127.0.0.2"))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(EgressRefusedError) as refused:
            await client.post(f"http://127.0.0.2:{target.port}/", headers=headers, content=b"0\r\n\r\nGET /")
    assert refused.value.reason is EgressReason.FRAMING_HEADER
    assert target.stranger.connections == 0


# --- redirects ------------------------------------------------------------------------------------------------------

REDIRECTS = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://[::1]:{port}/",
    "http://0x7f.1:{port}/",
    "//127.0.0.1:{port}/",
    "http://user:password@127.0.0.1:{port}/",
    "http://inside.example:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.2:22/",
]


@pytest.mark.parametrize("place", REDIRECTS)
async def test_each_hop_of_a_redirect_is_checked(place: str, target: Target) -> None:
    names = Names(good_example=["127.0.0.2"], inside_example=["127.0.0.1"], localhost=["127.0.0.1"])
    target.stranger.answers["/"] = (302, {"Location": place.format(port=target.port)}, b"")
    with pytest.raises(EgressRefusedError):
        await get(f"http://good.example:{target.port}/", rules(target.port, "good.example"), names, follow=True)
    assert (target.touched, target.stranger.connections) == (0, 1)


async def test_redirect_to_a_good_place_is_followed_when_asked(target: Target) -> None:
    names = Names(good_example=["127.0.0.2"])
    target.stranger.answers["/a"] = (302, {"Location": "/"}, b"")
    url = f"http://good.example:{target.port}/a"
    assert (await get(url, rules(target.port, "127.0.0.2"), names, follow=True)).text == "hello"
    assert (await get(url, rules(target.port, "127.0.0.2"), names)).status_code == 302


# --- exceptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "host", "called"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.1:{port}", "127.0.0.1", True),
        ("127.0.0.0/8:{port}", "127.0.0.1", True),
        ("localhost:{port}", "localhost", True),
        ("LocalHost", "localhost.", True),
        ("own.example", "own.example", True),
        ("127.0.0.1:1", "127.0.0.1", False),
        ("localhost:1", "localhost", False),
        ("127.0.0.2", "127.0.0.1", False),
        ("localhost", "127.0.0.1", False),  # a name is not its address
        ("example", "own.example", False),
        ("127.0.0.1", "0x7f.1", False),
        ("127.0.0.1", "[::ffff:127.0.0.1]", False),
    ],
)
async def test_operator_allows_a_host_a_network_or_one_port_of_it(
    allow: str, host: str, called: bool, target: Target
) -> None:
    """By default: https and the usual ports only, so an exception opens these too."""
    guard = EgressRules(allowed=parse_exceptions([allow.format(port=target.port)]))
    names = Names(own_example=["127.0.0.1"], localhost=["127.0.0.1"])
    if called:
        assert (await get(f"http://{host}:{target.port}/", guard, names)).text == "secret"
    else:
        with pytest.raises(EgressRefusedError):
            await get(f"http://{host}:{target.port}/", guard, names)
    assert target.touched == called


async def test_name_that_leads_into_an_allowed_network_is_called(target: Target) -> None:
    found = await get(
        f"http://own.example:{target.port}/", rules(target.port, "127.0.0.1/32"), Names(own_example=["127.0.0.1"])
    )
    assert found.text == "secret"


async def test_what_is_denied_is_denied_whatever_is_allowed(target: Target) -> None:
    guard = rules(target.port, "127.0.0.1", "own.example", deny=["127.0.0.1/32"])
    for host in ("127.0.0.1", "own.example"):
        with pytest.raises(EgressRefusedError):
            await get(f"http://{host}:{target.port}/", guard, Names(own_example=["127.0.0.1"]))
    assert target.touched == 0


@pytest.mark.parametrize("text", ["", "http://a", "a/b", "a b", "10.0.0.1/8", "127.1", "a:99999", "*", "*.a", "a:b"])
def test_exception_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(EgressSettingsError):
        parse_exceptions([text])


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://example.com/", SCHEME), ("https://example.com:8443/", PORT), ("https://example.com:22/", PORT)],
)
def test_only_https_on_the_usual_ports_by_default(url: str, reason: EgressReason) -> None:
    with pytest.raises(EgressRefusedError) as refused:
        check_url(url, EgressRules())
    assert refused.value.reason is reason
    assert check_url("https://EXAMPLE.com./a?b", EgressRules()).host == "example.com"


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "11.0.0.1",
     "192.167.1.1", "192.0.1.1", "223.255.255.255", "169.253.1.1", "2606:4700:4700::1111", "2001:4860:4860::8888",
     "2a00:1450::1", "64:ff9b::808:808"],
)  # fmt: skip
def test_public_addresses_may_be_called(text: str) -> None:
    assert kind_of(ipaddress.ip_address(text)) is None


# --- as the client of flows and webhooks ----------------------------------------------------------------------------


async def test_client_of_flows_is_guarded_and_does_not_try_again(target: Target) -> None:
    async with HttpxClient(transport=GuardedTransport(rules(target.port))) as client:
        with pytest.raises(HttpError) as refused:
            await client.send(HttpRequest(method="get", url=f"http://127.0.0.1:{target.port}/"))
    assert (refused.value.retryable, target.touched) == (False, 0)


async def test_client_of_flows_can_be_closed_and_used_again(target: Target) -> None:
    client = HttpxClient(transport=GuardedTransport(rules(target.port, "127.0.0.2")))
    for _ in range(2):
        found = await client.send(HttpRequest(method="post", url=f"http://127.0.0.2:{target.port}/", content=b"x"))
        assert found.content == b"hello"
        await client.aclose()


async def test_environments_proxy_is_not_used(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{target.port}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{target.port}")
    found = await get(f"http://127.0.0.2:{target.port}/", rules(target.port, "127.0.0.2"))
    assert (found.text, target.touched) == ("hello", 0)
