// What the page is narrowed to: one chip a condition, and a way to add one by picking a dimension and a value that there is.
import { useRef, useState } from "preact/hooks";
import { address } from "../api";
import { asked, filters, useAnswer } from "../answers";
import { type Label, instead, shown } from "../conditions";
import { count, labelled } from "../format";
import { set } from "../place";
import type { Series, Vocabulary } from "../types";
import { inline, title } from "../words";
import { usePopover } from "./popover";

export function narrow(name: string, value: Label): void {
  set({ where: instead(filters(), name, value) });
}

export function Filters() {
  const conditions = filters();
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
  const [name, values] = shown(condition);
  return (
    <span class="chip">
      {title(name)} <b>{values}</b>
      <button
        type="button"
        class="plain"
        aria-label={`Remove the filter ${title(name)} ${values}`}
        onClick={() => set({ where: filters().filter((each) => each !== condition) })}
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
  usePopover(box, close, true, "select");
  return (
    <div class="popover" ref={box}>
      <label class="select">
        <span>Dimension</span>
        <select value={name} onChange={(event) => setName(event.currentTarget.value)}>
          {(vocabulary.data?.dimensions ?? [{ name, meaning: "", section: "" }]).map((dimension) => (
            <option key={dimension.name} value={dimension.name} title={dimension.meaning}>
              {title(dimension.name)}
            </option>
          ))}
        </select>
      </label>
      <ul class="values" aria-label={`Values of ${inline(name)}`}>
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
