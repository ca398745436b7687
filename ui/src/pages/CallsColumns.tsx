// What the list of calls can show of a call: each column once, with its width, and what a click on it narrows to.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { UNKNOWN, count, exact, labelled, milliseconds, money } from "../format";
import { usePopover } from "../parts/popover";
import { choice, set } from "../place";
import { clock, day, moment } from "../range";
import type { Call } from "../types";
import { inline } from "../words";
import { sentence } from "./CallFlags";
import { differing } from "./CallsList";

export interface CallColumn {
  key: string;
  title: string;
  meaning?: string;
  width: number;
  number?: boolean;
  /** the dimension that a click narrows to */
  narrows?: (call: Call) => [string, string | null] | null;
  cell: (call: Call, scale: number) => ComponentChildren;
}

const by = (name: string) => (call: Call): [string, string | null] => [name, (call[name] as string | null | undefined) ?? null];

function dimension(key: string, width: number): CallColumn {
  return { key, title: inline(key), width, narrows: by(key), cell: (call) => labelled(call[key] as string | null) };
}

function figure(key: string, width: number, shown: (value: number | null) => string, meaning?: string): CallColumn {
  return { key, title: inline(key), width, number: true, cell: (call) => shown((call[key] as number | null) ?? null), ...(meaning ? { meaning } : {}) };
}

export const COLUMNS: CallColumn[] = [
  { key: "time", title: "time", width: 136, meaning: "when the request was sent", cell: (call) => when(call.started_at) },
  dimension("provider", 90),
  {
    ...{ key: "model", title: inline("model"), width: 240, meaning: "as requested → as answered, where they differ" },
    narrows: (call) => (call.request_model === null ? by("response_model")(call) : by("request_model")(call)),
    cell: models,
  },
  dimension("operation", 84),
  {
    ...{ key: "outcome", title: inline("outcome"), width: 106 },
    narrows: (call) => (call.error_type ? by("error_type")(call) : by("outcome")(call)),
    cell: (call) => (call.outcome === "ok" ? <span class="muted">ok</span> : <span class={`tag ${mood(call.outcome)}`}>{call.error_type ?? call.outcome}</span>),
  },
  { key: "duration", title: inline("duration_ms"), width: 110, number: true, meaning: "to the last byte; in the bar, dark: until the first content", cell: lasting },
  { key: "in", title: inline("input_tokens"), width: 76, number: true, cell: (call) => tokens(call, "input_tokens") },
  { key: "out", title: inline("output_tokens"), width: 82, number: true, cell: (call) => tokens(call, "output_tokens") },
  { key: "cost", title: inline("cost_usd"), width: 90, number: true, cell: cost },
  dimension("team", 84),
  { key: "flags", title: inline("flags"), width: 80, meaning: "what was odd about it", cell: flags },
  figure("ttft_ms", 96, milliseconds, "to the first content of a stream"),
  figure("itl_mean_ms", 150, milliseconds, "mean gap between pieces of content"),
  figure("cache_read", 90, count, "input tokens that came from a cache"),
  figure("output_reasoning", 90, count, "output tokens spent on reasoning"),
  figure("status", 64, (value) => (value === null ? UNKNOWN : String(value)), "status of the answer"),
  { key: "attempt", title: inline("attempt"), width: 72, number: true, meaning: "1 for the first", cell: (call) => call.attempt + 1 },
  dimension("service", 130),
  dimension("environment", 112),
  dimension("project", 116),
  dimension("feature", 116),
  dimension("customer", 126),
  dimension("user_id", 126),
  dimension("api_key_id", 110),
  dimension("vantage", 90),
  dimension("source", 170),
];

const WIDE = ["time", "provider", "model", "operation", "outcome", "duration", "in", "out", "cost", "team", "flags"];
const NARROW = ["time", "model", "duration", "cost", "outcome"];
const NARROW_PX = 700;
// On a narrow screen, what leads to a call and what it was about fit without scrolling sideways.
const NARROW_WIDTHS: Record<string, number> = { time: 84, model: 124, duration: 70, cost: 70 };

function otherwise(wide: number): string[] {
  return wide < NARROW_PX ? NARROW : WIDE;
}

/** The chosen columns, in their order; the time is always there, since it is what leads to the call. */
export function chosen(wide: number): CallColumn[] {
  const asked = choice("columns", "").split(",").filter(Boolean);
  const names = new Set(["time", ...(asked.length ? asked : otherwise(wide))]);
  const found = COLUMNS.filter((column) => names.has(column.key));
  if (wide >= NARROW_PX) return found;
  const place = (column: CallColumn) => (NARROW.includes(column.key) ? NARROW.indexOf(column.key) : NARROW.length);
  return found.map((column) => ({ ...column, width: NARROW_WIDTHS[column.key] ?? column.width })).sort((a, b) => place(a) - place(b));
}

export function ColumnChoice({ wide }: { wide: number }) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const names = chosen(wide).map((column) => column.key);
  const toggle = (key: string) => {
    const next = COLUMNS.map((column) => column.key).filter((each) => (each === key ? !names.includes(key) : names.includes(each)));
    set({ columns: next.length === otherwise(wide).length && next.every((key) => otherwise(wide).includes(key)) ? null : next.join(",") }, true);
  };
  usePopover(box, () => setOpen(false), open);
  return (
    <span class="custom">
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        Columns
      </button>
      {open && (
        <div class="popover column-choice" ref={box} role="group" aria-label="Columns">
          {COLUMNS.filter((column) => column.key !== "time").map((column) => (
            <label key={column.key} title={column.meaning}>
              <input type="checkbox" checked={names.includes(column.key)} onChange={() => toggle(column.key)} /> {column.title}
            </label>
          ))}
          <button type="button" class="plain" onClick={() => set({ columns: null }, true)}>
            The usual columns
          </button>
        </div>
      )}
    </span>
  );
}

/** The clock alone where the day is today's. */
function when(at: string): string {
  return day(at) === day(Date.now()) ? clock(at) : moment(at, true);
}

export function mood(outcome: string): string {
  if (outcome === "ok") return "good";
  return outcome === "error" ? "bad" : "warn";
}

function models(call: Call): ComponentChildren {
  const { request_model: asked, response_model: answered } = call;
  if (asked === null || answered === null || asked === answered) return labelled(asked ?? answered);
  return (
    <>
      {asked} <span class="muted">→ {differing(asked, answered)}</span>
    </>
  );
}

function lasting(call: Call, scale: number): ComponentChildren {
  const { duration_ms: duration } = call;
  const ttft = call["ttft_ms"] as number | null;
  const share = (ms: number) => `${Math.min(100, (ms / scale) * 100)}%`;
  return (
    <span class="lasting" title={ttft === null ? undefined : `first content after ${milliseconds(ttft)}`}>
      <span class="lasting-bar" aria-hidden="true">
        {duration !== null && <i style={{ width: share(duration) }} class={duration > scale ? "over" : ""} />}
        {ttft !== null && <b style={{ width: share(ttft) }} />}
      </span>
      {milliseconds(duration)}
    </span>
  );
}

function tokens(call: Call, name: "input_tokens" | "output_tokens"): ComponentChildren {
  const known = call[name];
  if (call["usage_source"] !== "estimated" || known === null) return <span title={known === null ? "not told" : exact(known)}>{count(known)}</span>;
  return <span title="estimated from the stream">≈{count(known)}</span>;
}

function cost(call: Call): ComponentChildren {
  if (call.cost_usd !== null) return money(Number(call.cost_usd));
  return (
    <span class="muted" title={call.price_status === "unpriced_model" ? "no price is known for this model" : "its tokens are not known"}>
      {call.price_status === "unpriced_model" ? "no price" : UNKNOWN}
    </span>
  );
}

function flags(call: Call): ComponentChildren {
  const [first, ...others] = call.flags;
  const words = call.flags.map((flag) => sentence(flag) ?? flag).join("\n");
  return (
    <>
      {call.same_as !== null && (
        <span class="tag" title="Another sighting of a call that is counted once">
          sighting
        </span>
      )}{" "}
      {first && (
        <span title={words}>
          {first}
          {others.length > 0 && <span class="muted"> +{others.length}</span>}
        </span>
      )}
    </>
  );
}
