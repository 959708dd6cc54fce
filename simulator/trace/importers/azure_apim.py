"""Azure API Management's log of language model calls, the table `ApiManagementGatewayLlmLog`."""

from __future__ import annotations

from typing import Any

from simulator.trace.importers.context import Format
from simulator.trace.importers.log_analytics import PORTAL_TIME, unpack_azure
from simulator.trace.importers.table import Table


def _sequence(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return None if value in (None, "", 0, "0") else "a further part of a call that was counted"


# The time is that at which the request came. Messages, addresses and subscriptions are not among them.
_TABLE = Table(
    fields={
        "time": ("TimeGenerated", "TimeGenerated [UTC]", "time"),
        "prompt_tokens": ("PromptTokens", "properties.promptTokens", "properties.PromptTokens"),
        "output_tokens": ("CompletionTokens", "properties.completionTokens", "properties.CompletionTokens"),
        "identity": ("CorrelationId", "correlationId"),
        "sequence": ("SequenceNumber", "properties.sequenceNumber", "properties.SequenceNumber"),
        "model": ("ModelName", "properties.modelName", "properties.ModelName"),
        "deployment": ("DeploymentName", "properties.deploymentName", "properties.DeploymentName"),
    },
    labels=("model", "deployment"),
    leave_out={"sequence": _sequence},
    unpack=unpack_azure,
    time_form=PORTAL_TIME,
)

FORMATS = (Format(name="azure-apim", read=_TABLE.read, source="Azure API Management language model log"),)
