// The traffic by provider, requested model and version, each against the period before.
import { useSeries } from "../answers";
import { change, count, labelled, milliseconds, money, share, signed } from "../format";
import { Tabs } from "../parts/Choice";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { type Column, Table } from "../parts/Table";
import { choice } from "../place";
import { before, current } from "../range";
import type { SeriesRow, Value } from "../types";
import { choices, inline } from "../words";

const GROUPS = choices(["provider", "request_model", "response_model"]);
const MEASURES = ["cost_usd", "calls", "total_tokens", "error_rate", "duration_p50_ms", "duration_p95_ms", "ttft_p95_ms", "cache_hit_rate"];

export function Versions() {
  const by = choice("group", "response_model");
  const labels = by === "provider" ? [by] : ["provider", by];
  const question = { measure: MEASURES, by: labels, limit: 200 };
  const is = useSeries(question);
  const was = useSeries({ ...question, range: before(current()) }, true);
  const key = (row: SeriesRow) => labels.map((label) => String(row[label])).join("\n");
  const earlier = new Map((was.data?.rows ?? []).map((row) => [key(row), row]));
  return (
    <Panel title="By provider and model" wide actions={<Tabs name="group" label="Group by" options={GROUPS} otherwise="response_model" />}>
      <Answered answer={is} height={200} empty={(series) => series.rows.length === 0}>
        {(series) => <Table caption="Traffic by provider and model" order="order" orderOtherwise="-cost_usd" rows={series.rows} rowKey={key} rowsMax={12} columns={columns(labels, series.rows, (row) => earlier.get(key(row)))} />}
      </Answered>
    </Panel>
  );
}

function columns(labels: string[], rows: SeriesRow[], before_: (row: SeriesRow) => SeriesRow | undefined): Column<SeriesRow>[] {
  const of = (row: SeriesRow | undefined, name: string) => (row?.[name] as Value | undefined) ?? null;
  const most = rows.reduce((size, row) => Math.max(size, of(row, "cost_usd") ?? 0), 0);
  const figure = (key: string, shown: (value: Value) => string): Column<SeriesRow> => ({ key, title: inline(key), number: true, value: (row) => of(row, key), cell: (row) => shown(of(row, key)) });
  return [
    ...labels.map<Column<SeriesRow>>((label) => ({
      key: label,
      title: inline(label),
      value: (row) => row[label] as string | null,
      cell: (row) => (
        <button type="button" class="cellgo" title="Narrow the page to it" onClick={() => narrow(label, (row[label] as string | null) ?? null)}>
          {labelled(row[label] as string | null)}
        </button>
      ),
    })),
    { ...figure("cost_usd", money), bar: (row) => (most ? (of(row, "cost_usd") ?? 0) / most : 0) },
    {
      key: "moved",
      title: "change",
      number: true,
      meaning: "of the cost, against the period before",
      value: (row) => change(of(row, "cost_usd"), of(before_(row), "cost_usd")),
      cell: (row) => <span class="muted">{before_(row) ? signed(change(of(row, "cost_usd"), of(before_(row), "cost_usd"))) : "new"}</span>,
    },
    figure("calls", count),
    figure("total_tokens", count),
    figure("error_rate", share),
    figure("duration_p50_ms", milliseconds),
    figure("duration_p95_ms", milliseconds),
    figure("ttft_p95_ms", milliseconds),
    figure("cache_hit_rate", share),
  ];
}
