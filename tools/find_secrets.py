"""Look for keys and passwords in every file of the repository; exit 1 where there is one. No network, a second or two.

Usage: python tools/find_secrets.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

KINDS = {
    "private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY",
    "AWS key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": rb"\b(?:gh[opsur]_[0-9A-Za-z]{36}|github_pat_\w{50,})",
    "OpenAI or Anthropic key": rb"\bsk-(?:ant-|proj-)?[0-9A-Za-z_-]{32,}",
    "Hugging Face token": rb"\bhf_[0-9A-Za-z]{30,}",
    "Google key": rb"\bAIza[0-9A-Za-z_-]{35}",
    "Slack token": rb"\bxox[abprs]-[0-9A-Za-z-]{10,}",
    "signed token": rb"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}",
    "password in an address": rb"\b[a-z]+://[^\s/:@'\"]+:[^\s/:@'\"{$]+@[\w.]",
}


def found(content: bytes) -> list[tuple[int, str]]:
    """Line and kind of everything in there that looks like a secret."""
    return [
        (content.count(b"\n", 0, hit.start()) + 1, kind)
        for kind, pattern in KINDS.items()
        for hit in re.finditer(pattern, content)
    ]


def main() -> int:
    """Look at what git knows of."""
    root = Path(__file__).parent.parent
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True).stdout
    hits = [
        f"{name}:{line}: {kind}"
        for name in listed.decode().split("\0")
        if name and (root / name).is_file()
        for line, kind in found((root / name).read_bytes())
    ]
    print("\n".join(hits) if hits else "no secrets")
    return bool(hits)


if __name__ == "__main__":
    sys.exit(main())
