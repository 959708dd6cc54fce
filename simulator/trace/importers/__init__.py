"""Importers of logs and public traces, one module for each kind; each is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from simulator import extensions
from simulator.errors import TraceError

if TYPE_CHECKING:
    from simulator.trace.importers.context import Format

#: What can be imported: its name, what it is, and the module whose `FORMATS` read it.
TITLES: Final = {
    "azure-llm-2023": ("Azure's public LLM trace of 2023, code or conv (CSV)", "azure_llm"),
    "azure-llm-2024": ("Azure's public LLM trace of 2024, code or conv (CSV)", "azure_llm"),
    "burstgpt": ("BurstGPT, with or without sessions (CSV)", "burstgpt"),
    "mooncake": ("Mooncake's public traces (JSON lines)", "mooncake"),
    "qwen-bailian": ("Qwen-Bailian's public traces (JSON lines)", "mooncake"),
    "servegen": ("ServeGen client files; requests are drawn (CSV, a folder of them)", "servegen"),
    "splitwise": ("a trace of splitwise-sim (CSV)", "splitwise"),
    "csv": ("any table of requests; --column says what its columns hold (CSV, JSON, Parquet)", "csv_columns"),
    "json": (
        "any records of requests; the same, with --records for where they lie (JSON, CSV, Parquet)",
        "csv_columns",
    ),
    "litellm": ("LiteLLM spend logs (CSV, JSON, Parquet)", "litellm"),
    "otel-genai": ("OpenTelemetry spans or events with GenAI conventions (OTLP JSON, SDK JSON)", "otel_genai"),
    "vllm-otel": ("vLLM's OpenTelemetry spans (OTLP JSON)", "vllm_otel"),
    "langfuse": ("Langfuse observations (CSV, JSON, Parquet)", "langfuse"),
    "nginx": ("Nginx access log; tokens estimated from bytes (lines, JSON)", "nginx"),
    "azure-apim": ("Azure API Management language model log (CSV, JSON)", "azure_apim"),
    "azure-diagnostics": ("Azure OpenAI diagnostics; --column as for csv (CSV, JSON)", "csv_columns"),
    "openai-usage": ("OpenAI usage of an organisation; requests are drawn (JSON, CSV)", "openai_usage"),
    "azure-monitor": ("Azure Monitor metrics; requests are drawn (JSON, CSV)", "azure_monitor"),
    "vllm-prometheus": ("vLLM histograms in Prometheus; requests are drawn (JSON)", "vllm_prometheus"),
    "openrouter": ("OpenRouter activity or generations (CSV, JSON)", "gateways"),
    "helicone": ("Helicone requests (CSV, JSON)", "gateways"),
    "envoy-ai-gateway": ("Envoy AI Gateway access log (JSON lines)", "gateways"),
    "kong": ("Kong AI Gateway log (JSON lines)", "gateways"),
    "portkey": ("Portkey log export (CSV, JSON)", "gateways"),
    "cloudflare": ("Cloudflare AI Gateway log (JSON, CSV)", "gateways"),
    "datadog-llm": ("Datadog LLM Observability spans (JSON)", "observability"),
    "langsmith": ("LangSmith runs, listed or exported in bulk (JSON, CSV, Parquet)", "observability"),
    "weave": ("Weave calls (JSON lines)", "observability"),
    "ollama": ("answers of Ollama (JSON lines)", "servers"),
    "llama-cpp": ("answers of llama.cpp's server, with their timings (JSON lines)", "servers"),
    "anthropic": ("answers of Anthropic's interface, with their usage (JSON lines)", "responses"),
    "openai": ("answers of OpenAI's interface or one like it, with their usage (JSON lines)", "responses"),
    "vertex": ("answers of Vertex AI or Gemini, with their usage (JSON lines, BigQuery's CSV)", "responses"),
    "guidellm": ("guidellm's benchmarks.json", "load_tests"),
    "aiperf": ("AIPerf's profile_export.jsonl", "load_tests"),
    "vllm-bench": ("result of vllm bench serve --save-detailed (JSON)", "load_tests"),
    "vllm-metrics": ("vLLM's /metrics as text; requests are drawn", "vllm_metrics"),
    "bedrock": ("Amazon Bedrock model invocation log (JSON lines)", "bedrock"),
}


def find_format(name: str) -> Format:
    """The format of this name.

    Raises:
        TraceError: There is none.
    """
    if name not in TITLES:
        if name in extensions.known("log_formats"):
            own: Format = extensions.find("log_formats", name)
            return own
        raise TraceError(f"`kind`: expected one of {', '.join(TITLES)}")
    formats: tuple[Format, ...] = import_module(f"simulator.trace.importers.{TITLES[name][1]}").FORMATS
    return next(known for known in formats if known.name == name)
