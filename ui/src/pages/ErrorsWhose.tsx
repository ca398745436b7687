// Whose fault: errors by fault domain with what each means, and by provider and model with their rates.
import { type Answer, useSeries } from "../answers";
import { count, exact, share } from "../format";
import { Tabs } from "../parts/Choice";
import { Answered, Panel } from "../parts/Panel";
import { type Column, Table } from "../parts/Table";
import { choice } from "../place";
import { before, current } from "../range";
import type { Series } from "../types";
import { choices, inline } from "../words";
import { type Failing, failing, points } from "./ErrorsCounts";
import { Filtering } from "./ErrorsFiltering";
import { GOOD } from "./ErrorsOverTime";
import { fault } from "./ErrorsWords";

/** is, was: errors by error type now and in the period before; calls: all calls now. */
export function Kinds({ is, was, calls }: { is: Answer<Series>; was: Answer<Series>; calls: Answer<Series> }) {
  const all = Number(calls.data?.rows[0]?.["calls"] ?? 0);
  const columns: Column<Failing>[] = [
    {
      key: "value",
      title: inline("error_type"),
      value: (row) => fault(row.value).title,
      cell: (row) => (
        <>
          <Filtering name="error_type" value={row.value} shown={fault(row.value).title} />
          <small class="muted">{fault(row.value).meaning}</small>
        </>
      ),
    },
    { key: "at", title: "to mend at", value: (row) => fault(row.value).at, cell: (row) => <span class="nowrap">{fault(row.value).at}</span> },
    { key: "errors", title: inline("errors"), number: true, value: (row) => row.errors, cell: (row) => <b>{exact(row.errors)}</b> },
    { key: "share", title: "of all errors", number: true, value: (row) => row.share, bar: (row) => row.share, cell: (row) => <span>{share(row.share)}</span> },
    { key: "of_calls", title: "of calls", number: true, value: (row) => row.errors, cell: (row) => share(all ? row.errors / all : null) },
    { key: "before", title: "before", number: true, meaning: before(current()).title, value: (row) => row.errorsBefore, cell: (row) => <Before row={row} known={was.data !== null && !was.stale} /> },
  ];
  return (
    <Panel title="Whose fault" wide>
      <Answered answer={is} height={200} empty={(series) => series.rows.length === 0} nothing={GOOD}>
        {(series) => <Table caption="Errors by kind" rows={failing(series, known(was.data, was.stale), "error_type")} rowKey={(row) => String(row.value)} order="kinds" orderOtherwise="-errors" columns={columns} />}
      </Answered>
    </Panel>
  );
}

function known(series: Series | null, stale: boolean): Series | null {
  return stale ? null : series;
}

function Before({ row, known: is }: { row: Failing; known: boolean }) {
  if (!is) return <span class="muted">…</span>;
  const worse = row.errors > row.errorsBefore * 1.5 && row.errors - row.errorsBefore >= 5;
  return <span class={worse ? "bad" : "muted"}>{exact(row.errorsBefore)}</span>;
}

const PLACES = ["provider", "model", "response_model", "api_key_id"];

/** Errors and error rate by a dimension that successes have too. */
export function Rates({ by, title, name, options, otherwise }: { by: string; title: string; name: string; options: string[]; otherwise: string }) {
  const question = { measure: ["errors", "calls", "error_rate"], by: [by], limit: 500, order: "-errors" };
  const is = useSeries(question);
  const was = useSeries({ ...question, range: before(current()) }, true);
  const fits = is.data?.by[0] === by;
  const earlier = was.data?.by[0] === by ? known(was.data, was.stale) : null;
  const rows = is.data && fits ? failing(is.data, earlier, by) : [];
  const most = rows.reduce((size, row) => Math.max(size, row.rate ?? 0), 0);
  const columns: Column<Failing>[] = [
    {
      key: "value",
      title: inline(by),
      value: (row) => row.value,
      cell: (row) => <Filtering name={by} value={row.value} />,
    },
    { key: "errors", title: inline("errors"), number: true, value: (row) => row.errors, cell: (row) => <b>{exact(row.errors)}</b> },
    { key: "calls", title: inline("calls"), number: true, value: (row) => row.calls, cell: (row) => count(row.calls) },
    { key: "rate", title: inline("error_rate"), number: true, value: (row) => row.rate, bar: (row) => (most ? (row.rate ?? 0) / most : 0), cell: (row) => <span>{share(row.rate)}</span> },
    { key: "moved", title: "change", number: true, meaning: `of the rate, against ${before(current()).title}`, value: (row) => (row.rate ?? 0) - (row.rateBefore ?? 0), cell: (row) => <Moved row={row} /> },
  ];
  return (
    <Panel title={title} actions={<Tabs name={name} label={title} options={choices(options)} otherwise={otherwise} />}>
      <Answered answer={is} height={200} empty={(series) => fits && failing(series, null, by).length === 0} nothing={GOOD}>
        {() => <Table caption={`${title}: errors by ${inline(by)}`} rows={rows} rowKey={(row) => String(row.value)} rowsMax={8} order={`${name}_order`} orderOtherwise="-errors" columns={columns} />}
      </Answered>
    </Panel>
  );
}

const POINT = 0.01;

function Moved({ row }: { row: Failing }) {
  const moved = row.rate === null || row.rateBefore === null ? 0 : row.rate - row.rateBefore;
  return <span class={moved > POINT ? "bad" : moved < -POINT ? "good" : "muted"}>{points(row.rate, row.rateBefore)}</span>;
}

export function Places() {
  return <Rates by={choice("at", "provider")} name="at" title="Where it fails" options={PLACES} otherwise="provider" />;
}
