// The price rows of one model, with the days on which each began and ended.
import { type Answer, useAnswer } from "../answers";
import { address } from "../api";
import { count, exact } from "../format";
import { Code } from "../parts/Code";
import { Select } from "../parts/Choice";
import { Answered, Panel } from "../parts/Panel";
import { type Column, Table } from "../parts/Table";
import { choice, set } from "../place";
import { day } from "../range";
import type { Models, PriceRow, Prices as Answered_ } from "../types";
import { part } from "../words";
import { PRICE_FILE } from "./ModelsUnpriced";
import { type Named, conditionOf, named, partsOf, priceable, ratesOf, special, stateOf, written } from "./ModelsRates";

export function Prices({ models }: { models: Answer<Models> }) {
  const known = priceable(models.data?.models ?? []);
  const chosen = named(choice("price", "")) ?? known[0] ?? null;
  const options = [...known, ...(chosen && !known.some((each) => written(each) === written(chosen)) ? [chosen] : [])].map((each) => ({ value: written(each), title: `${each.model} · ${each.provider}` }));
  const answer = useAnswer<Answered_>(chosen ? address("prices", { provider: chosen.provider, model: chosen.model }) : null);
  const pick = chosen && <Select name="price" label="Model" options={options} otherwise={written(chosen)} onChoose={(value) => set({ price: value })} />;
  return (
    <div class="anchor" id="prices">
      <Panel title="Prices" note="US dollars per million tokens; a call is priced by the row for it that was in force when it started" wide actions={pick}>
        {chosen ? (
          <Answered answer={answer} height={160} empty={(prices) => prices.rows.length === 0} nothing={<Unknown model={chosen} fix={answer.data?.fix ?? null} />}>
            {(prices) => <Table caption={`Prices of ${chosen.model} at ${chosen.provider}`} rows={prices.rows} rowKey={(row) => row.price_id} columns={columns(prices.rows)} rowClass={(row) => (row.in_force ? "in-force" : undefined)} />}
          </Answered>
        ) : (
          !models.loading && <p class="nothing">No model answered in this range: choose a longer one.</p>
        )}
      </Panel>
    </div>
  );
}

function Unknown({ model, fix }: { model: Named; fix: string | null }) {
  return (
    <div class="unpriced-one">
      <p>
        Nothing says what <b>{model.model}</b> costs at {model.provider}. {fix && PRICE_FILE}
      </p>
      {fix && <Code text={fix} label={`Price of ${model.model} for the price file`} />}
    </div>
  );
}

function columns(rows: PriceRow[]): Column<PriceRow>[] {
  return [
    { key: "state", title: "state", cell: (row) => <State row={row} /> },
    ...(rows.some(special) ? [{ key: "for", title: "for", cell: (row: PriceRow) => conditionOf(row) || <span class="muted">all other calls</span> }] : []),
    { key: "since", title: "from", cell: (row) => days(row.since, "since ever") },
    { key: "until", title: "to", cell: (row) => days(row.until, "open end") },
    ...partsOf(rows).map<Column<PriceRow>>((name) => ({ key: name, title: part(name), number: true, cell: (row) => <Rates row={row} of={name} /> })),
    { key: "source", title: "from where", cell: (row) => <span class="muted">{row.source}</span> },
    { key: "price_id", title: "name of the row", cell: (row) => <code>{row.price_id}</code> },
  ];
}

const STATES: Record<string, string> = {
  "not yet": "It begins later.",
  past: "It has ended.",
  replaced: "Another row goes before it for the same calls: a contract before the list, a provider's own before another's.",
};

function State({ row }: { row: PriceRow }) {
  const state = stateOf(row, Date.now());
  return state === "in force" ? (
    <span class="tag good">in force</span>
  ) : (
    <span class="muted" title={STATES[state]}>
      {state}
    </span>
  );
}

/** A rate, and below it those of larger requests. */
function Rates({ row, of }: { row: PriceRow; of: string }) {
  const steps = ratesOf(row, of);
  if (!steps.length) return <span class="muted">–</span>;
  return (
    <>
      {steps.map(({ above, rate }) => (
        <div key={above} title={above ? `The whole request costs so much where its input is over ${exact(above)} tokens.` : undefined}>
          ${rate}
          {above > 0 && <span class="muted"> over {count(above)} in</span>}
        </div>
      ))}
    </>
  );
}

function days(when: string | null, otherwise: string): string {
  return when === null ? otherwise : day(when);
}
