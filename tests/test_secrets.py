"""The search for secrets finds one of each kind, and none where there is none."""

from __future__ import annotations

import pytest

from tools.find_secrets import KINDS, found

# Put together here, so that this file has none.
PLANTED = {
    "private key": "-----BEGIN RSA PRIVATE" + " KEY-----",
    "AWS key": "AKIA" + "Q" * 16,
    "GitHub token": "ghp_" + "a1" * 18,
    "OpenAI or Anthropic key": "sk-" + "a1" * 20,
    "Hugging Face token": "hf_" + "a1" * 17,
    "Google key": "AIza" + "a" * 35,
    "Slack token": "xoxb-" + "1" * 12,
    "signed token": ".".join(["eyJ" + "a" * 12, "eyJ" + "b" * 12, "c" * 12]),
    "password in an address": "postgres://user:" + "word@host",
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_with_its_line(kind):
    assert found(f"first\nkey = {PLANTED[kind]}\n".encode()) == [(2, kind)]


def test_what_is_none_is_passed_over():
    assert found(b"sha256 " + b"0f" * 32 + b" https://docs.example/a:b@c sk-short {user}:{word}") == []
