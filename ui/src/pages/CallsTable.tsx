// The list of calls: rows of one height, of which only those in sight are drawn. One stop of the tab key; inside, arrows
// move from cell to cell, and Enter opens the call or narrows the page to what the cell says.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { narrow } from "../parts/Filters";
import { href } from "../place";
import type { Call } from "../types";
import type { CallColumn } from "./CallsColumns";
import { type Span, drawn, scaleMs } from "./CallsList";

export const ROW_PX = 32;
const HEAD_PX = 32;
// A row that moves away between aiming and clicking is the wrong row.
const AIMING_MS = 700;
const PAGE_ROWS = 15;

interface Properties {
  calls: Call[];
  columns: CallColumn[];
  fresh: ReadonlySet<string>;
  /** told which way to ask whether the reader reads */
  reading: { current: () => boolean };
  /** told which way to go back to the newest */
  top: { current: () => void };
}

interface Active {
  row: number;
  column: number;
}

export function CallsTable({ calls, columns, fresh, reading, top }: Properties) {
  const box = useRef<HTMLDivElement>(null);
  const aimed = useRef(0);
  const moving = useRef(false);
  const [span, setSpan] = useState<Span>(drawn(calls.length, 0, 600, ROW_PX));
  const [active, setActive] = useState<Active>({ row: 0, column: 0 });

  const look = () => {
    const element = box.current;
    if (!element) return;
    const next = drawn(calls.length, element.scrollTop, element.clientHeight, ROW_PX);
    setSpan((before) => (before.from === next.from && before.to === next.to ? before : next));
  };
  useLayoutEffect(look, [calls.length]);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const resized = new ResizeObserver(look);
    resized.observe(element);
    return () => resized.disconnect();
  }, [calls.length]);

  reading.current = () => busy(box.current, aimed.current);
  top.current = () => {
    setActive({ row: 0, column: 0 });
    box.current?.scrollTo({ top: 0 });
    box.current?.focus({ preventScroll: true });
  };

  // A cell that the keys went to is focused once it is drawn.
  useLayoutEffect(() => {
    if (!moving.current) return;
    moving.current = false;
    box.current?.querySelector<HTMLElement>(`[data-cell="${active.row}:${active.column}"]`)?.focus({ preventScroll: true });
  });
  const move = (to: Active) => {
    const element = box.current;
    if (!element) return;
    const [above, below] = [to.row * ROW_PX, (to.row + 1) * ROW_PX + HEAD_PX - element.clientHeight];
    if (element.scrollTop > above) element.scrollTop = above;
    else if (element.scrollTop < below) element.scrollTop = below;
    moving.current = true;
    look();
    setActive({ ...to });
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key === "Escape") return top.current();
    const from = (event.target as HTMLElement).closest<HTMLElement>("[data-cell]")?.dataset["cell"]?.split(":").map(Number);
    const to = from ? went(event.key, { row: from[0] ?? 0, column: from[1] ?? 0 }, calls.length, columns.length) : null;
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(to);
  };

  const scale = scaleMs(calls);
  const shown = calls.slice(span.from, span.to);
  const entry = Math.min(Math.max(active.row, span.from), Math.max(span.from, span.to - 1));
  const wide = columns.reduce((sum, column) => sum + column.width, 0);
  return (
    <div class="calls-box" ref={box} role="region" aria-label="Calls, newest first" tabIndex={-1} onScroll={look} onKeyDown={pressed} onPointerMove={() => (aimed.current = Date.now())}>
      <table class="calls-table" role="grid" aria-rowcount={calls.length + 1} aria-colcount={columns.length} style={{ minWidth: `${wide}px` }}>
        <caption class="sr">Calls, newest first. Arrow keys move between cells, Enter opens a call or narrows the page.</caption>
        <colgroup>
          {columns.map((column) => (
            <col key={column.key} style={{ width: `${(column.width / wide) * 100}%` }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <th key={column.key} scope="col" class={column.number ? "number" : undefined} title={column.meaning}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Space rows={span.from} />
          {shown.map((call, index) => (
            <Row key={call.call_id} call={call} place={span.from + index} columns={columns} scale={scale} fresh={fresh.has(call.call_id)} entry={entry === span.from + index ? Math.min(active.column, columns.length - 1) : -1} />
          ))}
          <Space rows={calls.length - span.to} />
        </tbody>
      </table>
    </div>
  );
}

/** Scrolled down, marking text, in a cell by the keyboard, or about to click: what is read must not move. */
function busy(box: HTMLElement | null, aimed: number): boolean {
  if (!box) return false;
  if (box.scrollTop > ROW_PX || Date.now() - aimed < AIMING_MS) return true;
  const selection = window.getSelection();
  if (selection && !selection.isCollapsed && box.contains(selection.anchorNode)) return true;
  const focused = document.activeElement;
  return focused !== box && box.contains(focused) && focused !== null && focused.matches(":focus-visible");
}

function went(key: string, from: Active, rows: number, columns: number): Active | null {
  const row = (to: number) => ({ ...from, row: Math.max(0, Math.min(rows - 1, to)) });
  const column = (to: number) => ({ ...from, column: Math.max(0, Math.min(columns - 1, to)) });
  switch (key) {
    case "ArrowDown":
      return row(from.row + 1);
    case "ArrowUp":
      return row(from.row - 1);
    case "PageDown":
      return row(from.row + PAGE_ROWS);
    case "PageUp":
      return row(from.row - PAGE_ROWS);
    case "ArrowRight":
      return column(from.column + 1);
    case "ArrowLeft":
      return column(from.column - 1);
    case "Home":
      return column(0);
    case "End":
      return column(columns - 1);
    default:
      return null;
  }
}

/** The room of rows that are not drawn. */
function Space({ rows }: { rows: number }) {
  return rows > 0 ? <tr aria-hidden="true" style={{ height: `${rows * ROW_PX}px` }} /> : null;
}

interface RowProperties {
  call: Call;
  place: number;
  columns: CallColumn[];
  scale: number;
  fresh: boolean;
  /** the cell that the tab key stops at; -1: none of this row */
  entry: number;
}

function Row({ call, place, columns, scale, fresh, entry }: RowProperties) {
  const style = [fresh ? "fresh" : "", call.same_as !== null ? "dimmed" : "", call.outcome === "error" ? "failed-row" : ""].filter(Boolean).join(" ");
  return (
    <tr class={style || undefined} aria-rowindex={place + 2}>
      {columns.map((column, index) => {
        const narrows = column.narrows?.(call);
        const common = { "data-cell": `${place}:${index}`, tabIndex: index === entry ? 0 : -1 };
        return (
          <td key={column.key} class={column.number ? "number" : undefined}>
            {column.key === "time" ? (
              <a {...common} href={href(`/calls/${call.call_id}`)} title="Open this call">
                {column.cell(call, scale)}
              </a>
            ) : narrows ? (
              <button type="button" {...common} class="calls-cell" title={`Narrow to ${narrows[0]} ${narrows[1] ?? "(unknown)"}`} onClick={() => narrow(...narrows)}>
                {column.cell(call, scale)}
              </button>
            ) : (
              <span {...common} class="calls-cell">
                {column.cell(call, scale)}
              </span>
            )}
          </td>
        );
      })}
    </tr>
  );
}
