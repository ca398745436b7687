// How the cost of one call came about: each product of the sum, the dated price behind it, or why there is none.
import { exact, money } from "../format";
import { Panel } from "../parts/Panel";
import { href } from "../place";
import { part } from "../words";
import type { Explanation, FullCall, Line, Row } from "./CallFields";

const PER: Record<number, string> = { 1: "each", 1000: "per 1,000", 1_000_000: "per million" };
const SOURCES: Record<string, string> = {
  provider: "as the provider states it",
  contract: "by your price file",
  list: "by the price list",
  amortised: "by what the hardware costs",
};

export function CallCost({ call, explanation: facts }: { call: FullCall; explanation: Explanation }) {
  return (
    <Panel title="Cost" note={facts.cost_source ? (SOURCES[facts.cost_source] ?? facts.cost_source) : ""}>
      <Why status={facts.price_status} />
      {facts.lines.length > 0 && <Products facts={facts} />}
      <Stated facts={facts} />
      <Stored call={call} facts={facts} />
      {facts.rows.map((row) => (
        <Price key={row.price_id} row={row} />
      ))}
      {Object.keys(call.price_context).length > 0 && <p class="muted note">What else moves the price: {written(call.price_context)}</p>}
    </Panel>
  );
}

function Why({ status }: { status: string }) {
  if (status === "priced") return null;
  if (status === "free") return <p class="note">It cost nothing.</p>;
  if (status === "unpriced_model") {
    return (
      <p class="note warn">
        No cost: neither the price list nor your price file has a price of this model at that time. <a href={href("/models")}>Models says how to add it</a>
      </p>
    );
  }
  return <p class="note warn">No cost: the tokens of this call are not known{status === "unknown_usage" ? "" : ` (${status})`}.</p>;
}

function Products({ facts }: { facts: Explanation }) {
  const several = new Set(facts.lines.map((line) => line.price_id)).size > 1;
  return (
    <div class="table" role="region" aria-label="The multiplication" tabIndex={0}>
      <table class="products">
        <caption class="sr">How the cost came about</caption>
        <thead>
          <tr>
            <th scope="col">part</th>
            <th scope="col" class="number">
              quantity
            </th>
            <th scope="col" class="number">
              × rate
            </th>
            <th scope="col" class="number">
              = amount
            </th>
          </tr>
        </thead>
        <tbody>
          {facts.lines.map((line, index) => (
            <tr key={index}>
              <td>
                {part(line.part)}
                {several && <span class="muted"> · {line.model}</span>}
              </td>
              <td class="number">
                {exact(Number(line.quantity))} {line.unit === "tokens" ? "" : line.unit}
              </td>
              <td class="number">
                <Rate line={line} />
              </td>
              <td class="number">${line.amount_usd}</td>
            </tr>
          ))}
          <tr class="sum">
            <th scope="row" colSpan={3}>
              {facts.cost_source === "provider" ? "by the price list" : "in all"}
            </th>
            <td class="number">{plain(facts.list_usd)}</td>
          </tr>
        </tbody>
      </table>
    </div>
  );
}

function Rate({ line }: { line: Line }) {
  return (
    <>
      ${line.rate_usd} <span class="muted">{PER[line.per] ?? `per ${exact(line.per)}`}</span>
      {line.rate_of !== line.part && <span class="muted"> (rate of {part(line.rate_of)})</span>}
      {line.multipliers.map(({ name, factor }) => (
        <span key={name}>
          {" "}
          × {factor} <span class="muted">{name}</span>
        </span>
      ))}
    </>
  );
}

/** The provider's own word about the cost counts; what the list says stands beside it. */
function Stated({ facts }: { facts: Explanation }) {
  if (facts.cost_source !== "provider") return null;
  const off = Number(facts.difference_usd);
  return (
    <p class="note">
      The provider states <b>{plain(facts.cost_usd)}</b>: that is what counts.
      {facts.difference_usd !== null && ` It is ${off === 0 ? "what the price list says" : `${money(Math.abs(off))} ${off > 0 ? "more" : "less"} than by the price list`}.`}
    </p>
  );
}

/** Prices are learned later, too: what was booked when the call came may differ from what it would be today. */
function Stored({ call, facts }: { call: FullCall; facts: Explanation }) {
  const [booked, today] = [call.cost_usd, facts.cost_usd];
  if (booked === today || (booked !== null && today !== null && Number(booked) === Number(today))) return null;
  return (
    <p class="note warn">
      Booked when it came: {booked === null ? "no cost" : plain(booked)}. By the prices that are known now: {today === null ? "no cost" : plain(today)}.
    </p>
  );
}

function Price({ row }: { row: Row }) {
  return (
    <p class="muted note">
      Price <code>{row.price_id}</code>: {row.provider} {row.model}, {row.valid_from ? `since ${row.valid_from}` : "since ever"}
      {row.hours_utc && `, ${row.hours_utc} UTC`}
      {Object.keys(row.context).length > 0 && `, ${written(row.context)}`}; {SOURCES[row.source] ?? row.source} ({row.origin}).
    </p>
  );
}

function written(context: Record<string, string>): string {
  return Object.entries(context)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

function plain(amount: string | null): string {
  return amount === null ? "not known" : `$${amount.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")}`;
}
