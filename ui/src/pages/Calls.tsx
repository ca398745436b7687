// Every call, newest first, and new ones as they are stored: to look at single ones, and to find the one that matters.
import { useEffect, useRef, useState } from "preact/hooks";
import { filters } from "../answers";
import { instead } from "../conditions";
import { count, exact } from "../format";
import { Bar } from "../parts/Bar";
import { Nothing, Waiting } from "../parts/Panel";
import { choice, href, set } from "../place";
import { moment } from "../range";
import { ColumnChoice, chosen } from "./CallsColumns";
import { type Feed, useFeed } from "./CallsFeed";
import { CALLS_MAX, placed } from "./CallsList";
import { QuickFilters, Search, Sightings } from "./CallsQuick";
import { CallsTable } from "./CallsTable";
import "../style/calls.css";

export function Calls() {
  const after = choice("after", "");
  const where = choice("sightings", "dimmed") === "hidden" ? instead(filters(), "same_as", null) : filters();
  const reading = useRef(() => false);
  const top = useRef(() => {});
  const feed = useFeed(where, after, () => reading.current());
  const { box, wide } = useWidth();
  return (
    <div class="calls-page">
      <Bar title="Calls" />
      <div class="calls-tools">
        <QuickFilters />
        <Sightings />
        <ColumnChoice wide={wide} />
        <Search />
      </div>
      <section class="panel calls-panel" aria-label="Calls" ref={box}>
        <Status feed={feed} after={after} />
        {feed.waiting > 0 && !feed.stale && (
          <button
            type="button"
            class="primary calls-new"
            onClick={() => {
              top.current();
              feed.bring();
            }}
          >
            ↑ {exact(feed.waiting)} new {feed.waiting === 1 ? "call" : "calls"}
          </button>
        )}
        <List feed={feed} wide={wide} reading={reading} top={top} />
        <Foot feed={feed} />
      </section>
    </div>
  );
}

/** How wide the element is, so that a narrow screen begins with fewer columns. */
function useWidth() {
  const box = useRef<HTMLElement>(null);
  const [wide, setWide] = useState(window.innerWidth);
  useEffect(() => {
    if (!box.current) return;
    const resized = new ResizeObserver((seen) => setWide(Math.round(seen[0]?.contentRect.width ?? window.innerWidth)));
    resized.observe(box.current);
    return () => resized.disconnect();
  }, []);
  return { box, wide };
}

interface ListProperties {
  feed: Feed;
  wide: number;
  reading: { current: () => boolean };
  top: { current: () => void };
}

function List({ feed, wide, reading, top }: ListProperties) {
  if (!feed.asked && feed.failure) return <Failed feed={feed} />;
  if (!feed.asked) return <Waiting slow={feed.slow} height={360} />;
  return (
    <>
      {feed.failure && (
        <p class="old" role="alert">
          {feed.stale ? "These calls answer the question before: " : "Not all is here: "}
          {feed.failure.message}{" "}
          <button type="button" class="plain" onClick={feed.reload}>
            Try again
          </button>
        </p>
      )}
      <div class={`calls-list${feed.stale && !feed.failure ? " stale" : ""}`} aria-busy={feed.busy}>
        {feed.calls.length ? <CallsTable calls={feed.calls} columns={chosen(wide)} fresh={feed.fresh} reading={reading} top={top} /> : <Nothing />}
      </div>
    </>
  );
}

function Failed({ feed }: { feed: Feed }) {
  return (
    <div class="failed" role="alert">
      <p>{feed.failure?.message}</p>
      <button type="button" onClick={feed.reload}>
        Try again
      </button>
      {filters().length > 0 && <a href={href("/calls", { where: null })}>Remove the filters</a>}
    </div>
  );
}

/** What is happening, in one line; and what was left out. */
function Status({ feed, after }: { feed: Feed; after: string }) {
  return (
    <div class="calls-status">
      <p class="muted">
        {after !== "" ? (
          <>
            From {moment(after.split(",")[0] ?? "", true)} back. <a href={href("/calls", { after: null })}>To the newest</a>
          </>
        ) : (
          said(feed)
        )}
      </p>
      {feed.stale && <p class="muted">{feed.slow ? "Still looking…" : "Looking…"}</p>}
      {feed.dropped > 0 && (
        <p class="warn" role="status">
          {exact(feed.dropped)} calls came faster than they can be shown and are not on this list. They are stored.{" "}
          <button type="button" class="plain" onClick={feed.reload}>
            Load the list again
          </button>
        </p>
      )}
    </div>
  );
}

function said(feed: Feed): string {
  if (feed.failure && !feed.asked) return "";
  if (feed.stream === "off") return "New calls are not followed.";
  if (feed.stream === "opening") return "Connecting to follow new calls…";
  return feed.perSecond > 0 ? `New calls appear as they are stored: ${count(Math.max(0.2, feed.perSecond))} a second.` : "New calls appear as they are stored.";
}

function Foot({ feed }: { feed: Feed }) {
  if (!feed.asked || !feed.calls.length) return feed.next !== null && feed.asked ? <More feed={feed} /> : null;
  const last = feed.calls.at(-1);
  return (
    <div class="calls-foot">
      <span class="muted">
        {exact(feed.calls.length)} {feed.calls.length === 1 ? "call" : "calls"}
        {last && `, back to ${moment(last.started_at, true)}`}
      </span>
      {feed.next === null ? (
        <span class="muted">That is all of this range.</span>
      ) : feed.calls.length >= CALLS_MAX && last ? (
        <button type="button" onClick={() => set({ after: placed(last) })}>
          Go on from here
        </button>
      ) : (
        <More feed={feed} />
      )}
    </div>
  );
}

function More({ feed }: { feed: Feed }) {
  return (
    <button type="button" disabled={feed.busy} onClick={feed.more}>
      {feed.busy ? (feed.slow ? "Still looking…" : "Loading…") : "Load more"}
    </button>
  );
}
