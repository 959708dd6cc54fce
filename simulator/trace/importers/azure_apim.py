"""Azure API Management's log of language model calls, the table `ApiManagementGatewayLlmLog`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.trace.importers.context import Format
from simulator.trace.importers.log_analytics import PORTAL_TIME, unpack_azure
from simulator.trace.importers.table import Table
from simulator.trace.importers.wanted import plain

if TYPE_CHECKING:
    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records


def _sequence(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return None if value in (None, "", 0, "0") else "a further part of a call that was counted"


def _category(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    known = value in (None, "") or str(value).lower() in ("gatewayllmlogs", "apimanagementgatewayllmlog")
    return None if known else "a record of another category of the export"


def _prepare(records: Records, context: Context) -> None:  # noqa: ARG001 - as `Table` calls it
    """Streamed calls with no counts at all were served; what they used is not in the log."""
    columns = records.columns
    counts = zip(columns["prompt_tokens"], columns["output_tokens"], columns["stream"], strict=True)
    columns["unused"] = [
        plain(stream) in ("true", "1") and all(plain(one) in ("", "0") for one in (prompt, output))
        for prompt, output, stream in counts
    ]


def _unused(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "a streamed call whose tokens the log does not count" if value else None


# The time is that at which the request came. Messages, addresses and subscriptions are not among them.
_TABLE = Table(
    fields={
        "time": ("TimeGenerated", "TimeGenerated [UTC]", "time"),
        "prompt_tokens": ("PromptTokens", "properties.promptTokens", "properties.PromptTokens"),
        "output_tokens": ("CompletionTokens", "properties.completionTokens", "properties.CompletionTokens"),
        "identity": ("CorrelationId", "correlationId"),
        "sequence": ("SequenceNumber", "properties.sequenceNumber", "properties.SequenceNumber"),
        "category": ("category", "Category", "Type"),
        "stream": ("IsStreamCompletion", "properties.isStreamCompletion", "properties.IsStreamCompletion"),
        "model": ("ModelName", "properties.modelName", "properties.ModelName"),
        "deployment": ("DeploymentName", "properties.deploymentName", "properties.DeploymentName"),
    },
    labels=("model", "deployment"),
    leave_out={"category": _category, "sequence": _sequence, "unused": _unused},
    prepare=_prepare,
    unpack=unpack_azure,
    time_form=PORTAL_TIME,
)

FORMATS = (Format(name="azure-apim", read=_TABLE.read, source="Azure API Management language model log"),)
