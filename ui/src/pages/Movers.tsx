// What a change of the cost is made of: by each dimension, whose cost moved most since the period before. The parts of
// one dimension add up to the whole change.
import { useSeries } from "../answers";
import { money, labelled, share } from "../format";
import { Select } from "../parts/Choice";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { Table } from "../parts/Table";
import { choice } from "../place";
import { before, current } from "../range";
import type { Series, Value } from "../types";

export interface Mover {
  name: string;
  value: string | null;
  is: number;
  was: number;
  moved: number;
}

const DIMENSIONS = ["team", "model", "response_model", "provider", "service", "feature", "customer", "project", "environment", "operation", "user_id", "prompt_name", "prompt_version"];
const OTHERWISE = "team";
const ROWS = 500;

/** Whose cost moved, the largest move first; unknown costs are in neither period. */
export function moved(is: Series, was: Series, by: string): Mover[] {
  const found = new Map<string | null, Mover>();
  const entry = (label: string | null) => {
    let mover = found.get(label);
    if (!mover) found.set(label, (mover = { name: labelled(label), value: label, is: 0, was: 0, moved: 0 }));
    return mover;
  };
  for (const row of is.rows) entry((row[by] as string | null) ?? null).is += (row["cost_usd"] as Value) ?? 0;
  for (const row of was.rows) entry((row[by] as string | null) ?? null).was += (row["cost_usd"] as Value) ?? 0;
  const movers = [...found.values()];
  for (const mover of movers) mover.moved = mover.is - mover.was;
  return movers.sort((a, b) => Math.abs(b.moved) - Math.abs(a.moved));
}

export function Movers() {
  const range = current();
  const by = choice("movers", OTHERWISE);
  const question = { measure: ["cost_usd"], by: [by], limit: ROWS };
  const is = useSeries(question);
  const was = useSeries({ ...question, range: before(range) });
  const options = DIMENSIONS.map((value) => ({ value, title: value }));
  return (
    <Panel title="What changed" note={`cost against ${before(range).title}`} actions={<Select name="movers" label="by" options={options} otherwise={OTHERWISE} />}>
      <Answered answer={is} height={250} empty={(series) => series.rows.length === 0}>
        {(series) => (was.data && !was.stale ? <Moves movers={moved(series, was.data, by)} by={by} /> : <div style={{ minHeight: "250px" }} />)}
      </Answered>
    </Panel>
  );
}

function Moves({ movers, by }: { movers: Mover[]; by: string }) {
  const total = movers.reduce((sum, mover) => sum + mover.moved, 0);
  const most = movers.reduce((size, mover) => Math.max(size, Math.abs(mover.moved)), 0);
  const first = movers[0];
  return (
    <>
      <p class="sentence">
        {said(total)}
        {first && Math.abs(first.moved) > 0 && (
          <>
            {" "}
            Most of it: <b>{first.name}</b> ({plus(first.moved)}
            {Math.abs(total) > 0 && first.moved / total > 0 ? `, ${share(first.moved / total)} of the change` : ""}).
          </>
        )}
      </p>
      <Table
        caption={`Change of cost by ${by}`}
        rows={movers}
        rowsMax={6}
        rowKey={(mover) => String(mover.value)}
        columns={[
          { key: "name", title: by, cell: (mover) => <button type="button" class="cellgo" title="Narrow the page to it" onClick={() => narrow(by, mover.value)}>{mover.name}</button> },
          { key: "was", title: "before", number: true, cell: (mover) => money(mover.was) },
          { key: "is", title: "now", number: true, cell: (mover) => money(mover.is) },
          {
            key: "moved",
            title: "change",
            number: true,
            bar: (mover) => (most ? Math.abs(mover.moved) / most : 0),
            cell: (mover) => <span class={mover.moved > 0 ? "bad" : mover.moved < 0 ? "good" : ""}>{plus(mover.moved)}</span>,
          },
        ]}
      />
    </>
  );
}

function plus(amount: number): string {
  return amount > 0 ? `+${money(amount)}` : money(amount);
}

function said(total: number): string {
  if (total === 0) return "The cost did not change.";
  return `The cost ${total > 0 ? "rose" : "fell"} by ${money(Math.abs(total))}.`;
}
