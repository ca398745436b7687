// Every version that answered in the range: what was asked for, what answered, since when, how much.
import type { Answer } from "../answers";
import { count, exact, labelled, money, share } from "../format";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { type Column, Table } from "../parts/Table";
import { set } from "../place";
import { ago, moment } from "../range";
import type { Models, ModelVersion } from "../types";
import { inline } from "../words";

export function Versions({ models }: { models: Answer<Models> }) {
  const found = models.data?.models ?? [];
  const note = models.data && found.length ? said(found) : "";
  return (
    <Panel title="Versions" note={note} wide>
      <Answered answer={models} height={260} empty={(data) => data.models.length === 0}>
        {(data) => <Table caption="Every version that answered" order="versions" orderOtherwise="-calls" rows={data.models} rowKey={keyOf} rowsMax={25} columns={columns(data.models)} />}
      </Answered>
    </Panel>
  );
}

export function keyOf(row: ModelVersion): string {
  return JSON.stringify([row.provider, row.request_model, row.response_model, row.model]);
}

function said(rows: ModelVersion[]): string {
  const distinct = (of: (row: ModelVersion) => string | null) => new Set(rows.map(of).filter((name) => name !== null)).size;
  const [versions, asked, providers] = [distinct((row) => row.response_model ?? row.request_model), distinct((row) => row.request_model), distinct((row) => row.provider)];
  return `${versions} answered to ${asked} requested names, at ${providers} ${providers === 1 ? "provider" : "providers"}`;
}

/** Show the prices of a model in the panel below. */
export function showPrices(provider: string, model: string): void {
  set({ price: `${provider}/${model}` });
  document.getElementById("prices")?.scrollIntoView({ block: "start" });
}

function Name({ name, value }: { name: string; value: string | null }) {
  return (
    <button type="button" class="cellgo" title="Narrow the page to it" onClick={() => narrow(name, value)}>
      {labelled(value)}
    </button>
  );
}

function Priced({ row }: { row: ModelVersion }) {
  const model = row.model ?? row.response_model ?? row.request_model;
  if (row.priced_calls === 0 && row.fix) {
    return (
      <a class="tag warn" href="#unpriced">
        no price
      </a>
    );
  }
  if (row.price_id && model) {
    return (
      <button type="button" class="cellgo" title={`Priced by ${row.price_id}: show its prices`} onClick={() => showPrices(row.provider, model)}>
        rates
      </button>
    );
  }
  return <span class="muted" title={row.priced_calls === 0 ? "Nothing told how many tokens these calls used" : "The provider told the cost"}>{row.priced_calls === 0 ? "none" : "told"}</span>;
}

function columns(rows: ModelVersion[]): Column<ModelVersion>[] {
  const total = rows.reduce((sum, row) => sum + row.calls, 0);
  const of = (row: ModelVersion) => (total ? row.calls / total : 0);
  return [
    { key: "provider", title: inline("provider"), value: (row) => row.provider, cell: (row) => <Name name="provider" value={row.provider} /> },
    { key: "request_model", title: inline("request_model"), value: (row) => row.request_model, cell: (row) => <Name name="request_model" value={row.request_model} /> },
    {
      key: "response_model",
      title: inline("response_model"),
      meaning: "the version that the answer names",
      value: (row) => row.response_model,
      cell: (row) => (row.response_model === null ? <span class="muted" title="The answer does not name its version">not said</span> : <Name name="response_model" value={row.response_model} />),
    },
    { key: "model", title: inline("model"), meaning: "the canonical name, by which it is priced and grouped", value: (row) => row.model, cell: (row) => <Name name="model" value={row.model} /> },
    { key: "calls", title: inline("calls"), number: true, value: (row) => row.calls, cell: (row) => <span title={exact(row.calls)}>{count(row.calls)}</span> },
    { key: "share", title: "of all calls", number: true, value: of, bar: of, cell: (row) => share(of(row)) },
    {
      key: "cost_usd",
      title: inline("cost_usd"),
      number: true,
      value: (row) => row.cost_usd,
      cell: (row) => <span title={`${exact(row.priced_calls)} of ${exact(row.calls)} calls have a known cost`}>{money(row.cost_usd)}</span>,
    },
    { key: "price", title: "price", cell: (row) => <Priced row={row} /> },
    { key: "first_seen", title: "first seen", number: true, meaning: "in this range", value: (row) => row.first_seen, cell: (row) => moment(row.first_seen) },
    { key: "last_seen", title: "last seen", number: true, value: (row) => row.last_seen, cell: (row) => <span title={moment(row.last_seen, true)}>{ago(row.last_seen)}</span> },
  ];
}
