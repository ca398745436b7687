// The filters that are wanted most, one click each, and the box that an id is pasted into.
import { useEffect, useRef, useState } from "preact/hooks";
import { asked, filters } from "../answers";
import { address, request } from "../api";
import { instead, valuesOf, without } from "../conditions";
import { Tabs } from "../parts/Choice";
import { go, href, set } from "../place";
import type { Series, Value } from "../types";
import { identity } from "./CallsList";

interface Quick {
  title: string;
  meaning: string;
  condition: string;
}

const QUICK: Quick[] = [
  { title: "Errors", meaning: "the asker got no answer", condition: "outcome=error" },
  { title: "Streamed", meaning: "the answer came in pieces", condition: "streamed=true" },
  { title: "Unpriced", meaning: "the cost is not known", condition: "price_status=unpriced_model,unknown_usage" },
  { title: "Estimated", meaning: "the provider told no usage: it was counted from the stream", condition: "usage_source=estimated" },
];

export function QuickFilters() {
  const conditions = filters();
  const toggle = (condition: string) => {
    const name = condition.slice(0, condition.indexOf("=") + 1);
    const others = conditions.filter((each) => !each.startsWith(name));
    set({ where: conditions.includes(condition) ? others : [...others, condition] });
  };
  return (
    <div class="quick" role="group" aria-label="Quick filters">
      {QUICK.map(({ title, meaning, condition }) => (
        <button type="button" key={condition} class="chip-toggle" title={meaning} aria-pressed={conditions.includes(condition)} onClick={() => toggle(condition)}>
          {title}
        </button>
      ))}
      <Slow />
    </div>
  );
}

const LONGER = "duration_ms>";

/** As long as the slowest 5 of 100 calls of this range. The limit stays while one looks at them: a list must not change
 * its question by itself. */
function Slow() {
  const [wrong, setWrong] = useState("");
  const slow = valuesOf(filters(), LONGER) !== null;
  const find = async () => {
    const found = await request<Series>(address("ask", asked({ measure: ["duration_p95_ms"] }))).catch((failure: Error) => failure);
    if (found instanceof Error) return setWrong(found.message);
    const limit = (found.rows[0]?.["duration_p95_ms"] as Value | undefined) ?? null;
    setWrong(limit === null ? "No call of this range says how long it took." : "");
    if (limit !== null) set({ where: instead(filters(), LONGER, String(Math.round(limit))) });
  };
  return (
    <>
      <button type="button" class="chip-toggle" title="as long as the slowest 5 of 100 calls of this range" aria-pressed={slow} onClick={() => (slow ? set({ where: without(filters(), LONGER) }) : void find())}>
        Slow
      </button>
      {wrong && (
        <span class="bad" role="alert">
          {wrong}
        </span>
      )}
    </>
  );
}

export function Sightings() {
  const options = [
    { value: "dimmed", title: "Dimmed" },
    { value: "hidden", title: "Hidden" },
  ];
  return (
    <span class="sightings-choice">
      <span class="muted" title="Some calls are seen by several: an SDK, a gateway, an engine. Each is counted once.">
        Repeated sightings
      </span>
      <Tabs name="sightings" label="Repeated sightings" options={options} otherwise="dimmed" />
    </span>
  );
}

/** Opens the call of an id; an id that is no call's is looked for as the id of a trace. */
export function Search() {
  const [wrong, setWrong] = useState("");
  const [looking, setLooking] = useState(false);
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const slash = (event: KeyboardEvent) => {
      const inside = (event.target as HTMLElement).closest("input, textarea, select");
      if (event.key !== "/" || inside || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      box.current?.focus();
    };
    document.addEventListener("keydown", slash);
    return () => document.removeEventListener("keydown", slash);
  }, []);
  const look = async (text: string) => {
    const id = identity(text);
    if (id === null) return setWrong("An id has 32 hex digits.");
    setWrong("");
    setLooking(true);
    const is = await request(address(`calls/${id}`)).then(() => true, () => false);
    setLooking(false);
    if (is) return go(href(`/calls/${id}`));
    set({ where: instead(filters(), "trace_id", id) });
  };
  return (
    <form
      class="calls-search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        void look(box.current?.value ?? "");
      }}
    >
      <input
        type="search"
        ref={box}
        aria-label="Call id, trace id or traceparent"
        aria-invalid={wrong !== ""}
        placeholder="Call id or trace id"
        title="Paste an id: / comes here"
        onInput={(event) => {
          setWrong("");
          // what was pasted whole need not be sent
          if ((event as InputEvent).inputType === "insertFromPaste" && identity(event.currentTarget.value)) void look(event.currentTarget.value);
        }}
      />
      <button type="submit" disabled={looking}>
        {looking ? "Looking…" : "Open"}
      </button>
      {wrong && (
        <span class="bad" role="alert">
          {wrong}
        </span>
      )}
    </form>
  );
}
