// What else is recorded of one call: which model, who asked, what the limits leave, what was odd, and its ids.
import type { ComponentChildren } from "preact";
import { condition } from "../conditions";
import { exact, labelled, milliseconds, share } from "../format";
import { Copy } from "../parts/Code";
import { Panel } from "../parts/Panel";
import { href } from "../place";
import { inline, title } from "../words";
import { type FullCall, told } from "./CallFields";
import { sentence } from "./CallFlags";
import { TraceLink } from "./CallTrace";
import { together } from "./CallWays";

function narrowed(name: string, value: string): string {
  return href("/calls", { where: [condition(name, value)] });
}

interface FactsProperties {
  call: FullCall;
  /** field, and whether its value leads to calls with the same */
  fields: [string, boolean][];
}

function Facts({ call, fields }: FactsProperties) {
  const known = fields.filter(([field]) => told(call, field) !== null);
  const unknown = fields.filter(([field]) => told(call, field) === null).map(([field]) => inline(field));
  return (
    <>
      <dl class="facts">
        {known.map(([field, leads]) => (
          <>
            <dt>{title(field)}</dt>
            <dd>{leads ? <a href={narrowed(field, told(call, field) ?? "")}>{told(call, field)}</a> : told(call, field)}</dd>
          </>
        ))}
      </dl>
      {unknown.length > 0 && <p class="muted note">Not told: {unknown.join(", ")}.</p>}
    </>
  );
}

export function CallWho({ call }: { call: FullCall }) {
  const fields: FactsProperties["fields"] = [
    ["team", true],
    ["project", true],
    ["feature", true],
    ["customer", true],
    ["user_id", true],
    ["service", true],
    ["environment", true],
    ["region", true],
    ["conversation_id", true],
    ["api_key_id", true],
    ["prompt_name", true],
    ["prompt_version", true],
    ["prompt_hash", true],
    ["experiment", true],
    ["arm", true],
  ];
  const tags = Object.entries(call.tags);
  return (
    <Panel title="Who asked">
      <Facts call={call} fields={fields} />
      {tags.length > 0 && (
        <dl class="facts note">
          {tags.map(([name, value]) => (
            <>
              <dt>{name}</dt>
              <dd>
                <a href={narrowed(`tags.${name}`, value)}>{labelled(value)}</a>
              </dd>
            </>
          ))}
        </dl>
      )}
    </Panel>
  );
}

export function CallModel({ call }: { call: FullCall }) {
  const fields: FactsProperties["fields"] = [
    ["request_model", true],
    ["response_model", true],
    ["model", true],
    ["provider", true],
    ["vendor", true],
    ["operation", true],
    ["api", true],
    ["service_tier", true],
    ["finish_reason", true],
    ["tool_calls", false],
    ["max_output_tokens", false],
    ["temperature", false],
  ];
  return (
    <Panel title="Model and answer">
      <Facts call={call} fields={fields} />
    </Panel>
  );
}

/** What the provider's headers said is left. */
export function CallLimits({ call }: { call: FullCall }) {
  const number = (name: string) => (call[name] as number | null | undefined) ?? null;
  const kinds = ["requests", "tokens"].map((kind) => ({ kind, limit: number(`ratelimit_limit_${kind}`), left: number(`ratelimit_remaining_${kind}`), reset: number(`ratelimit_reset_${kind}_ms`) }));
  if (kinds.every(({ limit, left, reset }) => limit === null && left === null && reset === null)) return null;
  return (
    <Panel title="Limits left" note="as the headers said after this call">
      {kinds.map(({ kind, limit, left, reset }) => (
        <div key={kind} class="limit">
          <span>
            <b>{exact(left)}</b> of {exact(limit)} {kind}
            {limit !== null && left !== null && limit > 0 && <span class="muted"> · {share(left / limit)}</span>}
            {reset !== null && <span class="muted"> · full again in {milliseconds(reset)}</span>}
          </span>
          {limit !== null && left !== null && limit > 0 && (
            <span class="limit-bar" aria-hidden="true">
              <i class={left / limit < 0.1 ? "low" : ""} style={{ width: `${Math.min(1, left / limit) * 100}%` }} />
            </span>
          )}
        </div>
      ))}
    </Panel>
  );
}

export function CallOdd({ call }: { call: FullCall }) {
  if (!call.flags.length) return null;
  return (
    <Panel title="What was odd" wide>
      <dl class="facts">
        {call.flags.map((flag) => (
          <>
            <dt>
              <code>{flag}</code>
            </dt>
            <dd>{sentence(flag) ?? "No more is known about this mark."}</dd>
          </>
        ))}
      </dl>
    </Panel>
  );
}

export function CallIds({ call }: { call: FullCall }) {
  const ids: [string, string | null, ComponentChildren?][] = [
    ["Call", call.call_id],
    [
      "Trace",
      call.trace_id,
      <>
        {call.trace_id !== null && <a href={href("/calls", together("trace_id", call))}>All calls of the trace</a>}
        <TraceLink call={call} />
      </>,
    ],
    ["Span", call.span_id],
    ["Span above", call.parent_span_id],
    ["Answer (provider's id)", call.response_id],
    ["Request (provider's id)", call.request_id],
    ["Operation", call.operation_id],
    ["Recorded by", call.source || null],
  ];
  const unknown = ids.filter(([, id]) => id === null).map(([title]) => title.toLowerCase());
  return (
    <Panel title="Ids and trace">
      <dl class="facts ids">
        {ids.map(([title, id, beside]) =>
          id === null ? null : (
            <>
              <dt>{title}</dt>
              <dd>
                <code>{id}</code> <Copy text={id} title="Copy" />
                {beside}
              </dd>
            </>
          ),
        )}
      </dl>
      {unknown.length > 0 && <p class="muted note">Not known: {unknown.join(", ")}.</p>}
    </Panel>
  );
}
