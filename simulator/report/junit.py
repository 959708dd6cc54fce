"""What a gate says as JUnit XML, which CI systems show beside their tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

if TYPE_CHECKING:
    from simulator.gate.check import Check

#: Characters that XML 1.0 cannot hold.
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(judged: Check, name: str) -> bytes:
    """One test case for each finding: failures fail, what cannot be told is an error, warnings are output.

    Args:
        judged: The gate's findings.
        name: Of the scenario.
    """
    failed, unknown = judged.having("failed"), judged.having("inconclusive")
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(f"simulator check {name}"),
        tests=str(len(judged.findings)),
        failures=str(len(failed)),
        errors=str(len(unknown)),
    )
    for finding in judged.findings:
        place = ".".join(part for part in (name, finding.pattern, finding.workload) if part)
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(place), name=finding.rule)
        text = _clean(str(finding))
        if finding.outcome in ("failed", "inconclusive"):
            kind = "failure" if finding.outcome == "failed" else "error"
            ElementTree.SubElement(case, kind, message=text, type=finding.outcome).text = text
        else:
            ElementTree.SubElement(case, "system-out").text = text
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
