"""What is hidden in outputs and logs, and what is not."""

import pytest

from stepwell.security.keys import new_key
from stepwell.security.masking import MASK, MASKS, Masks, is_secret_name, mask_event, mask_url

from .tokens import NOW, token


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "password", "DB_PASSWORD",
     "token", "access_token", "refreshToken", "X-API-Key", "apiKey", "client_secret", "secret", "private_key",
     "privateKey", "credentials", "webhook-signature", "jwt", "id_token_hint"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["name", "key", "tokens_used", "max_tokens", "tokenizer", "author", "step_key", "id", "keys"]
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_known_secrets_go_wherever_they_stand() -> None:
    masks = Masks(["hunter2-hunter2", "hunter2-hunter2-longer"])
    assert masks.text("a hunter2-hunter2-longer b hunter2-hunter2") == f"a {MASK} b {MASK}"
    assert masks.data({"a": ["x hunter2-hunter2"], "n": 1}) == {"a": [f"x {MASK}"], "n": 1}


def test_short_values_are_left() -> None:
    assert Masks(["abc", ""]).text("abcabc") == "abcabc"


@pytest.mark.parametrize(
    "secret",
    [new_key("x", now=NOW)[1], token(), "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    ids=["key", "token", "webhook secret"],
)
def test_what_looks_like_a_secret_goes(secret: str) -> None:
    assert MASKS.text(f"sent {secret}, got 401") == f"sent {MASK}, got 401"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("GET /stream?after=3&token=abc&x=1 HTTP", f"GET /stream?after=3&token={MASK}&x=1 HTTP"),
        ("postgresql://ada:pass@db/x", f"postgresql://{MASK}@db/x"),
        ("nothing here: 12 tokens=3", "nothing here: 12 tokens=3"),
    ],
)
def test_credentials_in_texts_go(text: str, shown: str) -> None:
    assert MASKS.text(text) == shown


def test_whole_value_under_a_secrets_name_goes() -> None:
    found = MASKS.data({"headers": {"X-Api-Key": {"deep": ["value"]}, "Accept": "a"}, "password": None, "token": ""})
    assert found == {"headers": {"X-Api-Key": MASK, "Accept": "a"}, "password": None, "token": ""}


def test_depth_without_end_goes() -> None:
    value: object = "x"
    for _ in range(5000):
        value = [value]
    assert MASK in str(MASKS.data(value))


def test_url_shows_where_but_not_with_what() -> None:
    assert mask_url("https://a:b@host:8443/p?x=1&key=2&c#f") == f"https://host:8443/p?x={MASK}&key={MASK}&c={MASK}"
    assert mask_url("http://[bad") == MASK


def test_log_line_is_masked() -> None:
    found = mask_event(
        None, "info", {"event": "sent Bearer abcdef", "api_key": "x", "n": 1, "h": {"Cookie": "token=1"}}
    )
    assert found == {"event": f"sent Bearer {MASK}", "api_key": MASK, "n": 1, "h": {"Cookie": MASK}}
