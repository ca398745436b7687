// The bar over every page that looks at a range of time: which range, which zone, whether it refreshes, which filters.
import { useRef, useState } from "preact/hooks";
import { refreshing } from "../answers";
import { pulse } from "../api";
import { choice, place, set } from "../place";
import { RANGES, RANGE_OTHERWISE, choose, current, utc, zoneName } from "../range";
import { Filters } from "./Filters";
import { usePopover } from "./popover";

export function Bar({ title, filtered = true }: { title: string; filtered?: boolean }) {
  const range = current();
  return (
    <div class="bar-over">
      <div class="bar-row">
        <h1>{title}</h1>
        <div class="tabs" role="group" aria-label="Time range">
          {RANGES.map((each) => (
            <button type="button" key={each} aria-pressed={range.live && choice("range", RANGE_OTHERWISE) === each} onClick={() => choose(each)}>
              {each}
            </button>
          ))}
          <Custom />
        </div>
        <button type="button" class="ghost" title="Time zone of what is shown" onClick={() => set({ zone: utc() ? null : "utc" }, true)}>
          {zoneName()}
        </button>
        <Refresh live={range.live} />
      </div>
      {filtered && <Filters />}
    </div>
  );
}

function Refresh({ live }: { live: boolean }) {
  const on = live && refreshing();
  const words = !live ? "Fixed range" : !on ? "Paused" : pulse.value.connected ? "Live" : "Reconnecting";
  return (
    <button
      type="button"
      class={`ghost live ${on && pulse.value.connected ? "on" : ""}`}
      aria-pressed={on}
      disabled={!live}
      title={on ? "New calls are shown as they come: click to pause" : "Click to follow new calls"}
      onClick={() => set({ refresh: on ? "off" : null }, true)}
    >
      <i aria-hidden="true" /> {words}
    </button>
  );
}

function Custom() {
  const [open, setOpen] = useState(false);
  const fixed = place.value.query.has("since");
  const range = current();
  return (
    <span class="custom">
      <button type="button" aria-pressed={fixed} aria-expanded={open} onClick={() => setOpen(!open)}>
        {fixed ? range.title : "Custom"}
      </button>
      {open && <Moments close={() => setOpen(false)} />}
    </span>
  );
}

/** What an input of type datetime-local takes, in the chosen zone. */
function local(ms: number): string {
  const shift = utc() ? 0 : new Date(ms).getTimezoneOffset() * 60_000;
  return new Date(ms - shift).toISOString().slice(0, 16);
}

function Moments({ close }: { close: () => void }) {
  const range = current();
  const box = useRef<HTMLFormElement>(null);
  usePopover(box, close, true, "input");
  const end = range.live ? Date.now() : Date.parse(range.until);
  const [since, setSince] = useState(local(end - range.seconds * 1000));
  const [until, setUntil] = useState(local(end));
  const parsed = (text: string) => new Date(utc() ? `${text}Z` : text);
  const fits = parsed(since).getTime() < parsed(until).getTime();
  const apply = (event: Event) => {
    event.preventDefault();
    if (!fits) return;
    const written = (text: string) => parsed(text).toISOString().replace(".000Z", "Z");
    set({ range: null, since: written(since), until: written(until) });
    close();
  };
  return (
    <form class="popover" ref={box} onSubmit={apply}>
      <label>
        From <input type="datetime-local" value={since} onInput={(event) => setSince(event.currentTarget.value)} />
      </label>
      <label>
        To <input type="datetime-local" value={until} onInput={(event) => setUntil(event.currentTarget.value)} />
      </label>
      {!fits && <p class="bad">From must be before To.</p>}
      <button type="submit" disabled={!fits}>
        Show
      </button>
    </form>
  );
}
