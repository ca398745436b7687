"""Files of one record a line: our own, and traces with a mapping. A bad line is named and the rest goes in."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tachograph.call import Call, to_json
from tachograph.capture.lines import load_mapping, read_calls, read_trace, shipped
from tachograph.flow import Refused

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109"
)


def test_calls_come_back_and_bad_lines_are_numbered(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    good = Call(started_at=datetime(2026, 1, 1, tzinfo=UTC), provider="openai")
    with_file = json.dumps({"file": "x.json", **json.loads(to_json(good))})
    file.write_text("\n".join([to_json(good), "{broken", "", '{"provider": 5}', with_file, "[1]"]))
    lines = list(read_calls(file))
    assert [line.number for line in lines] == [1, 2, 4, 5, 6]
    assert [line.call for line in lines if line.call] == [good, good]
    errors = [line.error for line in lines if line.call is None]
    assert errors[0].startswith(f"{file}:2: not JSON: ")
    assert errors[1:] == [f"{file}:4: provider: '5' is not text", f"{file}:6: not a JSON object"]


def test_azure_traces(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv.gz"
    file.write_bytes(gzip.compress(AZURE.encode()))
    first, second = [line.call for line in read_trace(file, load_mapping("azure-llm"))]
    assert first is not None and second is not None
    assert first.started_at == datetime(2023, 11, 16, 18, 15, 46, 680590, UTC)
    assert (first.input_uncached, first.output_visible, first.total_tokens) == (374, 44, 418)
    assert (second.provider, second.usage_source, second.cache_read) == ("azure.ai.openai", "reported", None)


def test_mooncake_traces(tmp_path: Path) -> None:
    file = tmp_path / "conversation_trace.jsonl"
    file.write_text('{"timestamp": 1500, "input_length": 6758, "output_length": 500, "hash_ids": [1]}\n')
    (call,) = [line.call for line in read_trace(file, load_mapping("mooncake"))]
    assert call is not None
    assert call.started_at == datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=1.5)
    assert call.input_tokens == 6758


def test_llmperf_rows_keep_their_units(tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    file.write_text(
        "provider,model_size,error_code,error_msg,ttft_s,inter_token_latency_s,end_to_end_latency_s,"
        "request_output_throughput_token_per_s,number_input_tokens,number_output_tokens\n"
        'anyscale,13b,,,0.5575,0.0096,1.5281,34.0,550,151\nlepton,70b,429,"too, many",,,0.2,,550,\n'
    )
    first, failed = [line.call for line in read_trace(file, load_mapping("llmperf"))]
    assert first is not None and failed is not None
    assert (first.ttft_ms, first.itl_mean_ms, first.duration_ms, first.streamed) == (557.5, 9.6, 1528.1, True)
    assert (failed.outcome, failed.error_code, failed.output_tokens) == ("error", "429", None)


def test_bad_rows_are_numbered_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(AZURE + "\n2023-11-16 18:15:51,many,1\nnever,1,1\n2023-11-16 18:15:52,1\n2023-11-16 18:15:53,7,8\n")
    lines = list(read_trace(file, load_mapping("azure-llm")))
    assert [line.error.removeprefix(f"{file}:") for line in lines if line.call is None] == [
        "4: column 'ContextTokens': 'many' is not a number",
        "5: Invalid isoformat string: 'never'",
        "6: 2 columns, the heading has 3",
    ]
    assert lines[-1].number == 7
    assert lines[-1].call is not None


def mapping(folder: Path, text: str) -> str:
    file = folder / "mapping.toml"
    file.write_text(text)
    return str(file)


TIME = '[started_at]\ncolumn = "t"\nformat = "unix_s"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fields]", 'no [started_at] with `column = "..."`'),
        ('[started_at]\ncolumn = "t"\nformat = "hours"', "format 'hours' is unknown: use one of iso, unix_s"),
        ('[started_at]\ncolumn = "t"\nformat = "offset_ms"', "offsets need `epoch`"),
        (TIME + '[fields]\nduration_ms = "d"', "field duration_ms: give its unit: one of ns, us, ms, s, min"),
        (TIME + '[fields]\nduration_ms = {column = "d", unit = "sec"}', "unit 'sec' is unknown: use one of ns, us, ms"),
        (TIME + '[fields]\ninput_uncached = {column = "d", unit = "s"}', "field input_uncached takes no unit"),
        (TIME + '[fields]\nimput_uncached = "d"', "unknown field 'imput_uncached': did you mean 'input_uncached'?"),
        (TIME + '[constant]\nprovider = "x"', "unknown key 'constant': did you mean 'constants'?"),
        (TIME + "[constants]\nprovider = 5", "provider: '5' is not text"),
        ("= 3", "not TOML"),
    ],
)
def test_a_wrong_mapping_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Refused) as error:
        load_mapping(mapping(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mapping_for_another_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(Refused, match=r"no column 'ContextTokens' \(there are: a, b\): change the mapping"):
        list(read_trace(file, load_mapping("azure-llm")))


@pytest.mark.parametrize("name", shipped())
def test_shipped_mappings_can_be_used(name: str) -> None:
    assert load_mapping(name).fields


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file or directory"):
        list(read_calls(tmp_path / "none.jsonl"))
    damaged = tmp_path / "calls.jsonl.gz"
    damaged.write_bytes(gzip.compress(b'{"provider": "x"}\n' * 1000)[:40])
    with pytest.raises(Refused, match="damaged gzip file"):
        list(read_calls(damaged))
    plain = tmp_path / "plain.jsonl.gz"
    plain.write_text("{}")
    with pytest.raises(Refused, match="Not a gzipped file"):
        list(read_calls(plain))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(Refused, match="empty file: a CSV trace begins with a heading"):
        list(read_trace(tmp_path / "empty.csv", load_mapping("azure-llm")))
    with pytest.raises(Refused, match="no such mapping file, and none of the shipped ones"):
        load_mapping("nowhere")
