// Who else saw the same call, and which of them counts; and the other attempts of the same request.
import { Panel } from "../parts/Panel";
import { exact, milliseconds, money } from "../format";
import { href } from "../place";
import { clock } from "../range";
import type { Call } from "../types";
import type { FullCall } from "./CallFields";
import { together } from "./CallWays";

const VANTAGES: Record<string, string> = {
  client: "in the application",
  gateway: "at the gateway",
  framework: "in a framework",
  server: "at the engine",
};

export function CallSeen({ call, others }: { call: FullCall; others: Call[] }) {
  if (!others.length && call.same_as === null) return null;
  const all = [call, ...others].sort((a, b) => Number(a.same_as !== null) - Number(b.same_as !== null));
  return (
    <Panel title="Seen by several" note="one call: it is counted once" wide>
      {call.same_as !== null && (
        <p class="note">
          This is another sighting. What counts is{" "}
          <a href={href(`/calls/${call.same_as}`)}>
            <code>{call.same_as}</code>
          </a>
          .
        </p>
      )}
      <div class="table" role="region" aria-label="Sightings" tabIndex={0}>
        <table>
          <caption class="sr">Who saw this call</caption>
          <thead>
            <tr>
              <th scope="col">counts</th>
              <th scope="col">seen</th>
              <th scope="col">recorded by</th>
              <th scope="col">read as</th>
              <th scope="col" class="number">
                duration
              </th>
              <th scope="col" class="number">
                tokens in
              </th>
              <th scope="col" class="number">
                out
              </th>
              <th scope="col" class="number">
                cost
              </th>
              <th scope="col">call</th>
            </tr>
          </thead>
          <tbody>
            {all.map((each) => (
              <Sighting key={each.call_id} call={each} here={each.call_id === call.call_id} />
            ))}
          </tbody>
        </table>
      </div>
      <p class="muted note">The one that knows most counts: tokens first, then a price, then who asked.</p>
    </Panel>
  );
}

function Sighting({ call, here }: { call: Call; here: boolean }) {
  const vantage = String(call["vantage"]);
  return (
    <tr class={call.same_as === null ? undefined : "muted"}>
      <td>{call.same_as === null ? <span class="tag good">counts</span> : <span class="tag">linked</span>}</td>
      <td>{VANTAGES[vantage] ?? vantage}</td>
      <td>{String(call["source"] || "(not told)")}</td>
      <td>{call.api}</td>
      <td class="number">{milliseconds(call.duration_ms)}</td>
      <td class="number">{exact(call.input_tokens)}</td>
      <td class="number">{exact(call.output_tokens)}</td>
      <td class="number">{money(call.cost_usd === null ? null : Number(call.cost_usd))}</td>
      <td>{here ? "this one" : <a href={href(`/calls/${call.call_id}`)}>{clock(call.started_at)}</a>}</td>
    </tr>
  );
}

/** A request that was tried again is several calls. */
export function CallAttempts({ call }: { call: FullCall }) {
  if (call.operation_id === null && call.attempt === 0) return null;
  return (
    <Panel title="Attempts" note={`this is attempt ${call.attempt + 1}`}>
      {call.operation_id === null ? (
        <p>It was tried before; nothing names the request that the attempts share.</p>
      ) : (
        <p>
          <a href={href("/calls", together("operation_id", call))}>All attempts of this request</a>
        </p>
      )}
    </Panel>
  );
}
