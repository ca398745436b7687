// What the page is narrowed to: one chip a condition, and a way to add one by picking a dimension and a value that there is.
import { useRef, useState } from "preact/hooks";
import { address } from "../api";
import { asked, useAnswer } from "../answers";
import { count, labelled } from "../format";
import { place, set } from "../place";
import type { Series, Vocabulary } from "../types";
import { useClickBeside } from "./popover";

/** The conditions of the address with `name` narrowed to `value`; taken out where it already is. */
export function narrowed(name: string, value: string | null): string[] {
  const others = place.value.query.getAll("where").filter((each) => !each.startsWith(`${name}=`));
  return [...others, `${name}=${value === null ? "null" : value}`];
}

export function narrow(name: string, value: string | null): void {
  set({ where: narrowed(name, value) });
}

export function Filters() {
  const conditions = place.value.query.getAll("where");
  const [adding, setAdding] = useState(false);
  return (
    <div class="filters" role="group" aria-label="Filters">
      {conditions.map((condition) => (
        <Chip key={condition} condition={condition} />
      ))}
      <button type="button" class="chip add" aria-expanded={adding} onClick={() => setAdding(!adding)}>
        + Filter
      </button>
      {adding && <Adding close={() => setAdding(false)} />}
    </div>
  );
}

function Chip({ condition }: { condition: string }) {
  const place_ = condition.indexOf("=");
  const [name, value] = [condition.slice(0, place_), condition.slice(place_ + 1)];
  const shown = labelled(value === "null" ? null : value.replaceAll(",", " or "));
  return (
    <span class="chip">
      {name} <b>{shown}</b>
      <button
        type="button"
        class="plain"
        aria-label={`Remove the filter ${name} ${shown}`}
        onClick={() => set({ where: place.value.query.getAll("where").filter((each) => each !== condition) })}
      >
        ×
      </button>
    </span>
  );
}

function Adding({ close }: { close: () => void }) {
  const vocabulary = useAnswer<Vocabulary>(address("vocabulary"));
  const [name, setName] = useState("model");
  const values = useAnswer<Series>(address("ask", asked({ measure: ["calls"], by: [name], limit: 50 })));
  const box = useRef<HTMLDivElement>(null);
  useClickBeside(box, close, true, "select");
  return (
    <div class="popover" ref={box} onKeyDown={(event) => event.key === "Escape" && close()}>
      <label class="select">
        <span>Dimension</span>
        <select value={name} onChange={(event) => setName(event.currentTarget.value)}>
          {(vocabulary.data?.dimensions ?? [{ name, meaning: "", section: "" }]).map((dimension) => (
            <option key={dimension.name} value={dimension.name} title={dimension.meaning}>
              {dimension.name}
            </option>
          ))}
        </select>
      </label>
      <ul class="values" aria-label={`Values of ${name}`}>
        {values.failure && <li class="muted">{values.failure.message}</li>}
        {!values.stale && values.data?.rows.length === 0 && <li class="muted">none in this range</li>}
        {values.stale || !values.data
          ? <li class="muted">looking…</li>
          : values.data.rows.map((row) => {
              const value = (row[name] as string | null | undefined) ?? null;
              return (
                <li key={String(value)}>
                  <button
                    type="button"
                    class="plain"
                    onClick={() => {
                      narrow(name, value);
                      close();
                    }}
                  >
                    <span>{labelled(value)}</span> <span class="muted">{count(row["calls"] as number)}</span>
                  </button>
                </li>
              );
            })}
      </ul>
    </div>
  );
}
