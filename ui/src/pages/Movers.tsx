// What a change of the cost is made of: by each dimension, whose cost moved most since the period before. The parts of
// one dimension add up to the whole change.
import { useSeries } from "../answers";
import { money, share } from "../format";
import { Select } from "../parts/Choice";
import { narrow } from "../parts/Filters";
import { Answered, Panel } from "../parts/Panel";
import { Table } from "../parts/Table";
import { choice } from "../place";
import { before, current } from "../range";
import { choices, inline } from "../words";
import { type Mover, moved } from "./Moves";

const DIMENSIONS = ["team", "model", "response_model", "provider", "service", "feature", "customer", "project", "environment", "operation", "user_id", "prompt_name", "prompt_version"];
const OTHERWISE = "team";
const ROWS = 500;

export function Movers() {
  const range = current();
  const by = choice("movers", OTHERWISE);
  const question = { measure: ["cost_usd"], by: [by], limit: ROWS };
  const is = useSeries(question);
  const was = useSeries({ ...question, range: before(range) });
  const options = choices(DIMENSIONS);
  return (
    <Panel title="What changed" note={`cost against ${before(range).title}`} actions={<Select name="movers" label="by" options={options} otherwise={OTHERWISE} />}>
      <Answered answer={is} height={250} empty={(series) => series.rows.length === 0}>
        {(series) => (was.data && !was.stale ? <Sum movers={moved(series, was.data, by)} by={by} /> : <div style={{ minHeight: "250px" }} />)}
      </Answered>
    </Panel>
  );
}

function Sum({ movers, by }: { movers: Mover[]; by: string }) {
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
        caption={`Change of cost by ${inline(by)}`}
        rows={movers}
        rowsMax={6}
        rowKey={(mover) => String(mover.value)}
        columns={[
          { key: "name", title: inline(by), cell: (mover) => <button type="button" class="cellgo" title="Narrow the page to it" onClick={() => narrow(by, mover.value)}>{mover.name}</button> },
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
