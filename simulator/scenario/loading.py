"""From a scenario file to a `Scenario`.

Precedence: `--set` > `--override` > file > `extends` > default.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from simulator.errors import ScenarioError
from simulator.scenario.faults import faults_of
from simulator.scenario.merging import apply_overrides, apply_settings, read_with_bases
from simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from simulator.scenario.yaml_source import Document


def load_scenario(
    path: str | PathLike[str],
    *,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Scenario:
    """Read, merge and validate a scenario file.

    Args:
        path: YAML file.
        overrides: Names of blocks under its `overrides:` to apply.
        settings: Values by dotted key path, such as `{"experiment.seed": 7}`.

    Raises:
        ScenarioError: Everything that is wrong, each with file, line and key.
    """
    document = read_with_bases(Path(path))
    apply_overrides(document, overrides)
    apply_settings(document, settings or {})
    return validate_document(document)


def validate_document(document: Document) -> Scenario:
    """A scenario from merged data.

    Raises:
        ScenarioError: Everything that is wrong.
    """
    try:
        scenario = Scenario.model_validate(document.data)
    except ValidationError as error:
        raise ScenarioError(faults_of(error, document, Scenario)) from None
    scenario._document = document
    return scenario
