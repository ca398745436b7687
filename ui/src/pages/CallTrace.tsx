// The way from a call to its trace in another tool. Where that is, only the reader knows: it is kept in the browser.
import { useState } from "preact/hooks";
import { Copy } from "../parts/Code";
import type { FullCall } from "./CallFields";
import { traceAddress } from "./CallWays";

const KEY = "tachograph-trace-link";

function kept(): string {
  try {
    return window.localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

function keep(template: string): void {
  try {
    window.localStorage.setItem(KEY, template);
  } catch {
    // a browser that keeps nothing forgets it, no more
  }
}

export function TraceLink({ call }: { call: FullCall }) {
  const [template, setTemplate] = useState(kept());
  const [editing, setEditing] = useState(false);
  if (call.trace_id === null) return null;
  const to = traceAddress(template, call.trace_id, call.span_id);
  return (
    <span class="trace">
      {to !== null && (
        <a href={to} target="_blank" rel="noreferrer">
          Open the trace
        </a>
      )}
      {call.span_id !== null && <Copy text={`00-${call.trace_id}-${call.span_id}-01`} title="Copy traceparent" />}
      <button type="button" class="plain" aria-expanded={editing} onClick={() => setEditing(!editing)}>
        {to === null ? "Set up a link to the trace" : "Change the link"}
      </button>
      {editing && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            keep(template);
            setEditing(false);
          }}
        >
          <label>
            Address of a trace in your tool; {"{trace_id}"} and {"{span_id}"} are filled in
            <input type="text" value={template} placeholder="https://jaeger.example/trace/{trace_id}" onInput={(event) => setTemplate(event.currentTarget.value.trim())} />
          </label>
          {template !== "" && to === null && <span class="bad">It must begin with http:// or https:// and hold {"{trace_id}"}.</span>}
          <button type="submit" disabled={template !== "" && to === null}>
            Keep in this browser
          </button>
        </form>
      )}
    </span>
  );
}
