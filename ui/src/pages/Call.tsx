// One call, whole: how its time went, what it was made of, what it cost and why, who asked, and what is not known.
import { useEffect } from "preact/hooks";
import { address, keyed } from "../api";
import { useAnswer } from "../answers";
import { condition } from "../conditions";
import { curl } from "../export";
import { exact, labelled, milliseconds, money } from "../format";
import { Code, Copy } from "../parts/Code";
import { Answered, Panel } from "../parts/Panel";
import { href, place } from "../place";
import { ago, moment, zoneName } from "../range";
import type { OneCall } from "../types";
import { inline } from "../words";
import { CallCost } from "./CallCost";
import { CallIds, CallLimits, CallModel, CallOdd, CallWho } from "./CallFacts";
import type { Explanation, FullCall } from "./CallFields";
import { CallAttempts, CallSeen } from "./CallSeen";
import { CallTime } from "./CallTime";
import { CallTokens } from "./CallTokens";
import { mood } from "./CallsColumns";
import "../style/calls.css";

export function Call() {
  const id = place.value.path.replace("/calls/", "").replaceAll("-", "");
  const answer = useAnswer<OneCall>(address(`calls/${id}`));
  const gone = answer.failure?.status === 404;
  return (
    <>
      <div class="bar-over">
        <div class="bar-row">
          <h1>
            <a href={href("/calls")}>Calls</a> <span class="muted">/</span> <span class="mono">{id.slice(0, 8)}</span>
          </h1>
        </div>
      </div>
      {gone && !answer.data ? (
        <Missing id={id} again={answer.again} />
      ) : (
        <Answered answer={answer} height={420}>
          {(found) => <Whole found={found} />}
        </Answered>
      )}
    </>
  );
}

function Missing({ id, again }: { id: string; again: () => void }) {
  return (
    <div class="nothing" role="alert">
      <h2>
        There is no call <code>{id}</code>
      </h2>
      <p class="muted">It may not be stored yet, or be older than what is kept. If it is the id of a trace, look for its calls.</p>
      <p class="call-ways">
        <button type="button" onClick={again}>
          Look again
        </button>
        <a class="button" href={href("/calls", { where: [condition("trace_id", id)] })}>
          Calls of this trace
        </a>
      </p>
    </div>
  );
}

function Whole({ found }: { found: OneCall }) {
  const call = found.call as FullCall;
  useEffect(() => {
    document.title = `Call ${call.call_id.slice(0, 8)} · Tachograph`;
  }, [call.call_id]);
  return (
    <>
      <Head call={call} />
      <div class="grid call-grid">
        <CallOdd call={call} />
        <CallTime call={call} />
        <CallTokens call={call} />
        <CallCost call={call} explanation={found.explanation as unknown as Explanation} />
        <CallSeen call={call} others={found.sightings} />
        <CallModel call={call} />
        <CallWho call={call} />
        <CallIds call={call} />
        <Raw found={found} />
        <CallLimits call={call} />
        <CallAttempts call={call} />
      </div>
    </>
  );
}

function Head({ call }: { call: FullCall }) {
  const named = call.request_model ?? call.response_model;
  const figures: [string, string][] = [
    [inline("duration_ms"), milliseconds(call.duration_ms)],
    ...(call.streamed ? ([[inline("ttft_ms"), milliseconds(call.ttft_ms)]] as [string, string][]) : []),
    [inline("input_tokens"), exact(call.input_tokens)],
    [inline("output_tokens"), (call.usage_source === "estimated" ? "≈" : "") + exact(call.output_tokens)],
    [inline("cost_usd"), call.cost_usd === null ? "not known" : money(Number(call.cost_usd))],
  ];
  return (
    <section class="panel wide call-head" aria-label="In short">
      <div>
        <h2>
          {labelled(named)}
          {call.response_model !== null && call.response_model !== named && <span class="muted"> → {call.response_model}</span>}
        </h2>
        <p class="muted">
          {call.provider} · {call.operation}
          {call.streamed ? ", streamed" : ""} · {moment(call.started_at, true)} {zoneName()} ({ago(call.started_at)})
        </p>
        <p class="call-outcome">
          <span class={`tag ${mood(call.outcome)}`}>{call.outcome}</span>
          {call.error_type && <span class="tag bad">{call.error_type}</span>}
          {call.error_code && <span>{call.error_code}</span>}
          {call.status !== null && <span class="muted">HTTP {call.status}</span>}
          {call.same_as !== null && <span class="tag">another sighting: not counted</span>}
        </p>
      </div>
      <dl class="call-figures">
        {figures.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <p class="call-ways">
        <Copy title="Copy as curl" text={curl(address(`calls/${call.call_id}`), keyed())} />
        <Copy title="Copy tachograph explain" text={`tachograph explain ${call.call_id}`} />
        <Copy title="Copy the address" text={window.location.href} />
      </p>
    </section>
  );
}

function Raw({ found }: { found: OneCall }) {
  const usage = found.usage_raw;
  return (
    <Panel title="Raw usage" note="the provider's own object">
      {usage === null ? <p class="muted">None was kept.</p> : <Code label="Usage as the provider told it" text={typeof usage === "string" ? usage : JSON.stringify(usage, null, 2)} />}
      <details class="note">
        <summary>All that is recorded of this call</summary>
        <Code label="The call as JSON" text={JSON.stringify(found.call, null, 2)} />
      </details>
    </Panel>
  );
}
