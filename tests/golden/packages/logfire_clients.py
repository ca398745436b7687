"""Records Logfire's instrumentation of the `openai` or the `anthropic` library, sent to an endpoint of one's own."""

from __future__ import annotations

import os
import sys


def main(name: str) -> None:
    recorder = os.environ["GOLDEN_RECORDER"]
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = recorder
    import drive
    import logfire

    logfire.configure(send_to_logfire=False, service_name="golden", console=False, inspect_arguments=False)
    if name == "logfire-openai":
        logfire.instrument_openai()
        cases = drive.openai_cases()
    else:
        logfire.instrument_anthropic()
        cases = drive.anthropic_cases()
    name_of_stream, run = next(case for case in cases if case[0].endswith("_stream_cached"))

    def inside() -> None:
        with logfire.span("answer"):
            run()

    drive.record([*cases, (name_of_stream + "_inside", inside)], logfire.force_flush)


if __name__ == "__main__":
    main(sys.argv[1])
