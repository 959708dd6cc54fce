"""Where the repository is, and what some tests need that not every machine has.

    python -m tests.parts              # the table, and what is not here
    python -m tests.parts Chromium     # ends non-zero if it is not

A test says `@pytest.mark.needs("kernel tables")`. Where that part is missing it is skipped with the reason, or fails if
`pytest --expect "kernel tables"` says that it ought to be there.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCENARIOS = ROOT / "scenarios"
#: Public traces and measurements, of others and too large for the repository, are looked for beside it.
TRACES = ROOT.parent / "shared" / "traces"
MEASUREMENTS = ROOT.parent / "shared" / "validation" / "vllm_measurements.csv"
START_UPS = MEASUREMENTS.with_name("kv_reports.csv")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

LIBREOFFICE = shutil.which("soffice") or shutil.which("libreoffice")


def no_modules(*names: str) -> str | None:
    """Which of these modules cannot be imported."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def no_commands(*names: str) -> str | None:
    """Which of these commands are not on the path."""
    missing = [name for name in names if shutil.which(name) is None]
    return f"not on the path: {', '.join(missing)}" if missing else None


def no_path(path: Path) -> str | None:
    """Say so if it is not there."""
    return None if path.exists() else f"{path.relative_to(ROOT.parent)} is not beside the repository"


def no_chromium() -> str | None:
    """A browser of the system's, and what drives it and judges its pages."""
    return no_modules("playwright", "axe_playwright_python") or (None if CHROMIUM else "no Chromium on the path")


def no_litellm() -> str | None:
    """The price table, at the version that the book was generated from."""
    from simulator.cost.prices import load_price_book

    wanted = load_price_book("2026-11").generated_from.version
    try:
        found = metadata.version("litellm")
    except metadata.PackageNotFoundError:
        return f"not installed: litellm {wanted}"
    return None if found == wanted else f"litellm is {found}, the book's {wanted}"


def no_compiler() -> str | None:
    """Whether numba compiles the engine."""
    import numba

    return "NUMBA_DISABLE_JIT is set" if numba.config.DISABLE_JIT else None


#: Name of a part to what says why it is missing, or None.
PARTS: dict[str, Callable[[], str | None]] = {
    "public traces": lambda: no_path(TRACES),
    "measurements": lambda: no_path(MEASUREMENTS),
    "kernel tables": lambda: no_modules("aiconfigurator_core"),
    "litellm": no_litellm,
    "Chromium": no_chromium,
    "LibreOffice": lambda: None if LIBREOFFICE else "no soffice on the path",
    "Prometheus": lambda: no_commands("prometheus", "promtool"),
    "site generator": lambda: no_modules("mkdocs", "material", "mkdocstrings", "mike"),
    "Ray": lambda: no_modules("ray"),
    "vLLM": lambda: no_modules("vllm"),
    "compiled engine": no_compiler,
    "/proc": lambda: None if Path("/proc/self/status").exists() else "no /proc/self/status",
    "signals": lambda: None if os.name == "posix" else "no POSIX signals",
}


def main(names: list[str]) -> int:
    """Print what is here and what is not; 1 if something is missing that was asked for."""
    missing = {name: PARTS[name]() for name in names or PARTS}
    for name, reason in missing.items():
        print(f"{name}: {reason or 'here'}")
    return int(any(missing.values()) and bool(names))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
