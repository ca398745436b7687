// A part of a page with a title, and everything that an answer can be before it is one: on its way, slow, failed,
// empty, or old.
import type { ComponentChildren } from "preact";
import type { Answer } from "../answers";
import { filters } from "../answers";
import { href } from "../place";

interface PanelProperties {
  title: string;
  note?: string;
  actions?: ComponentChildren;
  wide?: boolean;
  children: ComponentChildren;
}

export function Panel({ title, note, actions, wide = false, children }: PanelProperties) {
  return (
    <section class={`panel${wide ? " wide" : ""}`} aria-label={title}>
      <header class="panel-head">
        <h2>{title}</h2>
        {note && <span class="muted">{note}</span>}
        {actions && <div class="actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

interface AnsweredProperties<T> {
  answer: Answer<T>;
  /** Is there nothing in it? */
  empty?: (data: T) => boolean;
  /** Shown instead of the usual words where there is nothing. */
  nothing?: ComponentChildren;
  /** Roughly how high the content will be, in pixels, so that nothing jumps. */
  height?: number;
  children: (data: T) => ComponentChildren;
}

export function Answered<T>({ answer, empty, nothing, height = 160, children }: AnsweredProperties<T>) {
  const { data, failure } = answer;
  if (data === null && failure) return <Failed answer={answer} />;
  if (data === null) return <Waiting slow={answer.slow} height={height} />;
  return (
    <div class={answer.stale && !failure ? "stale" : undefined} aria-busy={answer.stale && !failure}>
      {failure && <Old answer={answer} />}
      {empty?.(data) ? (nothing ?? <Nothing />) : children(data)}
    </div>
  );
}

export function Waiting({ slow = false, height = 160 }: { slow?: boolean; height?: number }) {
  return (
    <div class="waiting" style={{ minHeight: `${height}px` }} role="status">
      <span class={slow ? "" : "sr"}>{slow ? "Still counting: a shorter range is faster." : "Loading"}</span>
    </div>
  );
}

function Failed<T>({ answer }: { answer: Answer<T> }) {
  return (
    <div class="failed" role="alert">
      <p>{answer.failure?.message}</p>
      <button type="button" onClick={answer.again}>
        Try again
      </button>
    </div>
  );
}

function Old<T>({ answer }: { answer: Answer<T> }) {
  return (
    <p class="old" role="alert">
      Not up to date: {answer.failure?.message}{" "}
      <button type="button" class="plain" onClick={answer.again}>
        Try again
      </button>
    </p>
  );
}

export function Nothing() {
  return (
    <div class="nothing">
      <p>No calls in this range{filters().length ? " with these filters" : ""}.</p>
      <p class="muted">
        {filters().length ? (
          <a href={href(window.location.pathname, { where: null })}>Remove the filters</a>
        ) : (
          <>
            Choose a longer range, or <a href={href("/connect")}>connect an application</a>.
          </>
        )}
      </p>
    </div>
  );
}
