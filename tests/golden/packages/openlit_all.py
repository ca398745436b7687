"""Records OpenLIT with the `openai` or the `anthropic` library."""

from __future__ import annotations

import os
import sys


def main(name: str) -> None:
    import drive
    import openlit
    from opentelemetry import _logs, metrics, trace

    recorder = os.environ["GOLDEN_RECORDER"]
    openlit.init(otlp_endpoint=recorder, application_name="golden", service_name="golden", environment="test")

    def flush() -> None:
        for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
            getattr(provider, "force_flush", lambda: None)()

    drive.record(drive.openai_cases() if name == "openlit-openai" else drive.anthropic_cases(), flush)


if __name__ == "__main__":
    main(sys.argv[1])
