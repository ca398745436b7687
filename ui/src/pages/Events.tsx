// What happened in the range: versions that changed by themselves, deployments and notes that somebody told. The same
// are drawn across every chart; here they can be read, added and taken back.
import { useState } from "preact/hooks";
import { Failure, annotated, send, session } from "../api";
import type { Happening } from "../charts/marks";
import { Panel } from "../parts/Panel";
import { href } from "../place";
import { ago, moment } from "../range";

export function Events({ events }: { events: Happening[] }) {
  const may = session.value?.role === "editor" || session.value?.role === "admin";
  const [adding, setAdding] = useState(false);
  const sorted = [...events].sort((a, b) => b.at - a.at);
  const action = may && (
    <button type="button" aria-expanded={adding} onClick={() => setAdding(!adding)}>
      Add a deployment
    </button>
  );
  return (
    <Panel title="Events" note="drawn across the charts" wide actions={action}>
      {adding && <Add close={() => setAdding(false)} />}
      {sorted.length === 0 ? (
        <p class="muted">
          No version changed, and nobody told of a deployment. A pipeline tells one with <code>tachograph annotate "search 1.4 deployed"</code>.
        </p>
      ) : (
        <ul class="events">
          {sorted.slice(0, 40).map((event) => (
            <li key={`${event.at}${event.text}`}>
              <time dateTime={new Date(event.at * 1000).toISOString()} title={ago(new Date(event.at * 1000).toISOString())}>
                {moment(event.at * 1000)}
              </time>
              <span class={`tag kind-${event.kind}`}>{event.kind === "model" ? "version" : event.kind}</span>
              <span>{event.kind === "model" ? <a href={href("/models")}>{event.text}</a> : event.text}</span>
              {may && event.id && <Remove id={event.id} text={event.text} />}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function Remove({ id, text }: { id: string; text: string }) {
  const remove = async () => {
    await send("DELETE", `annotations/${id}`);
    annotated.value += 1;
  };
  return (
    <button type="button" class="plain muted" aria-label={`Take back: ${text}`} onClick={remove}>
      ×
    </button>
  );
}

function Add({ close }: { close: () => void }) {
  const [text, setText] = useState("");
  const [kind, setKind] = useState("deployment");
  const [failure, setFailure] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await send("POST", "annotations", { text, kind });
      annotated.value += 1;
      close();
    } catch (wrong) {
      setFailure(wrong instanceof Failure ? wrong.message : String(wrong));
    }
  };
  return (
    <form class="adding" onSubmit={submit}>
      <label class="select">
        <span>Kind</span>
        <select value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
          <option value="deployment">deployment</option>
          <option value="note">note</option>
        </select>
      </label>
      <input aria-label="What happened" placeholder="search 1.4 deployed" required maxLength={500} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      <button type="submit" class="primary">
        Add at this moment
      </button>
      {failure && (
        <p class="bad" role="alert">
          {failure}
        </p>
      )}
    </form>
  );
}
