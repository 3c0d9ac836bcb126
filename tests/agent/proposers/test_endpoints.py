"""Which URL, which key - and that a key never goes to another provider."""

import pytest

from agent.proposers.endpoints import endpoint_for
from agent.proposers.errors import BadEndpoint, KeyMissing

ALL_KEYS = {
    "OPENAI_API_KEY": "key-openai",
    "ANTHROPIC_API_KEY": "key-anthropic",
    "GEMINI_API_KEY": "key-gemini",
    "DEEPSEEK_API_KEY": "key-deepseek",
    "OPENROUTER_API_KEY": "key-openrouter",
}


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        (None, "OPENAI_API_KEY"),
        ("https://api.anthropic.com/v1/", "ANTHROPIC_API_KEY"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "GEMINI_API_KEY"),
        ("https://api.deepseek.com", "DEEPSEEK_API_KEY"),
        ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
        ("https://models.example/v1", "OPENAI_API_KEY"),
    ],
)
def test_each_provider_gets_its_own_key_and_no_other(url: str | None, variable: str) -> None:
    endpoint = endpoint_for(url, ALL_KEYS)
    assert (endpoint.key, endpoint.key_variable) == (ALL_KEYS[variable], variable)
    with pytest.raises(KeyMissing, match=f"set .*{variable}.*playbook"):
        endpoint_for(url, {name: key for name, key in ALL_KEYS.items() if name != variable})


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.9.9.9", "localhost:11434", "[::1]:8080", "0.0.0.0:1"])
def test_loopback_needs_no_key_and_takes_one(host: str) -> None:
    assert endpoint_for(f"http://{host}/v1", {}).is_loopback
    assert endpoint_for(f"http://{host}/v1", {}).key == "none"
    assert endpoint_for(f"http://{host}/v1", ALL_KEYS).key == "key-openai"


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example", "127.0.0.1.example"])
def test_other_hosts_are_not_loopback(host: str) -> None:
    with pytest.raises(KeyMissing):
        endpoint_for(f"http://{host}/v1", {})


def test_base_url_of_the_environment_is_used() -> None:
    assert endpoint_for(None, {"OPENAI_BASE_URL": "http://localhost:1/v1"}).url == "http://localhost:1/v1"
    assert endpoint_for("http://localhost:2/v1", {"OPENAI_BASE_URL": "http://localhost:1/v1"}).url.endswith(":2/v1")


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "api.openai.com", "ftp://x/v1", "http://", "http://[::1/v1", "http://x:y/"]
)
def test_malformed_urls_are_refused(url: str) -> None:
    with pytest.raises(BadEndpoint, match=r"like https://api\.openai\.com/v1"):
        endpoint_for(url, ALL_KEYS)


@pytest.mark.parametrize("url", ["https://me:hunter2@x.example/v1", "https://x.example/v1?key=hunter2"])
def test_a_login_inside_the_url_is_refused_unseen(url: str) -> None:
    with pytest.raises(BadEndpoint, match="must not carry a login") as caught:
        endpoint_for(url, ALL_KEYS)
    assert "hunter2" not in str(caught.value)


def test_a_key_is_trimmed_and_an_impossible_one_refused_unseen() -> None:
    assert endpoint_for(None, {"OPENAI_API_KEY": " key-openai\n"}).key == "key-openai"
    for key in ("kéy-hunter2", "key hunter2", "key\x00hunter2"):
        with pytest.raises(KeyMissing, match="OPENAI_API_KEY holds blanks or letters") as caught:
            endpoint_for(None, {"OPENAI_API_KEY": key})
        assert "hunter2" not in str(caught.value)


def test_redaction_takes_out_the_key_and_whatever_looks_like_one() -> None:
    endpoint = endpoint_for(None, {"OPENAI_API_KEY": "plain-secret"})
    assert (
        endpoint.redact("plain-secret sk-abcdefgh1234 Bearer abc.def risk-averse")
        == "[key] [key] Bearer [key] risk-averse"
    )
    assert "plain-secret" not in repr(endpoint)
    assert endpoint_for("http://localhost/v1", {}).redact("none of it") == "none of it"
