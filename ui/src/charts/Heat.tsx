// A heat map: how many calls took how long, over time. The cells are one small picture that the canvas stretches, so
// that 30,000 of them do not stutter; the crosshair lies over it and draws nothing anew.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { exact, milliseconds } from "../format";
import { clock, moment, utc, zoom } from "../range";
import { scheme } from "../theme";
import type { Heat as HeatAnswer } from "../types";
import { variable } from "./colours";
import type { Mark } from "./lines";

interface Properties {
  heat: HeatAnswer;
  title: string;
  marks?: Mark[];
}

/** The cells that are drawn: columns of time, rows of duration from the lowest up. */
interface Grid {
  /** seconds since 1970 of the first column, and of the end of the range */
  first: number;
  until: number;
  since: number;
  step: number;
  columns: number;
  buckets: HeatAnswer["buckets"];
  counts: Float64Array;
  least: number;
  most: number;
}

interface Cell {
  column: number;
  row: number;
}

const HEIGHT = 300;
const LEFT = 62;
const RIGHT = 8;
const TOP = 6;
const BOTTOM = 24;
// More columns than a screen has pixels show nothing more.
const COLUMNS_MAX = 2000;
const DRAG_PIXELS_MIN = 6;
const FONT = "11px system-ui, sans-serif";
const PALEST = 0.12;
const MINUTE_S = 60;
const DAY_S = 86_400;
const TICKS_S = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000];
const TICKS_MS = [1, 10, 100, 1000, 10_000, 60_000, 600_000, 5, 50, 500, 5000, 30_000, 300_000, 2, 20, 200, 2000, 20_000, 120_000, 3_600_000, 0.1, 0.5];

export function Heat({ heat, title, marks = [] }: Properties) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [at, setAt] = useState<Cell | null>(null);
  const [drag, setDrag] = useState<[number, number] | null>(null);
  const [width, setWidth] = useState(0);
  const grid = useMemo(() => gridOf(heat), [heat]);
  const noun = heat.of === "itl_ms" ? "gap" : "call";

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setWidth(element.clientWidth);
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(element);
    return () => resized.disconnect();
  }, []);
  useEffect(() => {
    if (canvas.current && width > 0) draw(canvas.current, grid, marks, width);
  }, [grid, marks, width, scheme.value, utc()]);

  const inside = Math.max(1, width - LEFT - RIGHT);
  const point = (event: PointerEvent) => {
    const place = box.current?.getBoundingClientRect();
    const x = event.clientX - (place?.left ?? 0) - LEFT;
    return { x: Math.max(0, Math.min(inside, x)), y: event.clientY - (place?.top ?? 0) - TOP, off: x < 0 || x > inside };
  };
  const moved = (event: PointerEvent) => {
    const { x, y, off } = point(event);
    setAt(off ? null : cellAt(grid, x / inside, y / (HEIGHT - TOP - BOTTOM)));
    if (drag) setDrag([drag[0], x]);
  };
  const pressed = (event: PointerEvent) => {
    const { x, off } = point(event);
    if (event.button !== 0 || off || event.pointerType === "touch") return;
    box.current?.setPointerCapture(event.pointerId);
    setDrag([x, x]);
  };
  const released = () => {
    if (drag && Math.abs(drag[1] - drag[0]) >= DRAG_PIXELS_MIN) {
      const [low, high] = [Math.min(...drag), Math.max(...drag)].map((x) => secondAt(grid, x / inside)) as [number, number];
      zoom(Math.max(low, grid.since) * 1000, Math.min(high, grid.until) * 1000);
    }
    setDrag(null);
  };
  return (
    <figure class="chart">
      <div
        class="heat"
        ref={box}
        style={{ height: `${HEIGHT}px` }}
        onPointerMove={moved}
        onPointerDown={pressed}
        onPointerUp={released}
        onPointerCancel={() => setDrag(null)}
        onPointerLeave={() => setAt(null)}
      >
        <canvas ref={canvas} role="img" aria-label={`${title} over time. ${said(grid, noun)}`} />
        {at && <Cross grid={grid} at={at} inside={inside} />}
        {drag && <i class="chosen" style={{ left: `${LEFT + Math.min(...drag)}px`, width: `${Math.abs(drag[1] - drag[0])}px`, top: `${TOP}px`, bottom: `${BOTTOM}px` }} />}
      </div>
      <figcaption class="legend">
        {steps(grid).map((calls) => (
          <span class="legend-entry heat-step" key={calls}>
            <i class="swatch" style={{ background: `rgba(var(--heat), ${strength(calls, grid.most)})` }} />
            {counted(calls, noun)}
          </span>
        ))}
        <span class="legend-time">{at ? words(grid, at, noun) : "Drag to zoom"}</span>
      </figcaption>
    </figure>
  );
}

function Cross({ grid, at, inside }: { grid: Grid; at: Cell; inside: number }) {
  const wide = inside / grid.columns;
  const high = (HEIGHT - TOP - BOTTOM) / grid.buckets.length;
  const left = LEFT + at.column * wide;
  const top = TOP + (grid.buckets.length - 1 - at.row) * high;
  return (
    <>
      <i class="across" style={{ left: `${LEFT}px`, width: `${inside}px`, top: `${top + high / 2}px` }} />
      <i class="down" style={{ left: `${left + wide / 2}px`, top: `${TOP}px`, bottom: `${BOTTOM}px` }} />
      <i class="cell" style={{ left: `${left - 1}px`, top: `${top - 1}px`, width: `${Math.max(wide, 2) + 2}px`, height: `${high + 2}px` }} />
    </>
  );
}

function gridOf(heat: HeatAnswer): Grid {
  const [since, until] = [Date.parse(heat.since) / 1000, Date.parse(heat.until) / 1000];
  const all = Math.ceil((until - since) / heat.step_seconds) + 1;
  const step = heat.step_seconds * Math.max(1, Math.ceil(all / COLUMNS_MAX));
  const first = Math.floor(since / heat.step_seconds) * heat.step_seconds;
  const columns = Math.max(1, Math.ceil((until - first) / step));
  const last = heat.buckets.length - 1;
  const lowest = heat.rows.reduce((low, row) => Math.min(low, row[1]), last);
  const highest = heat.rows.reduce((high, row) => Math.max(high, row[1]), lowest);
  // one more on either side: what lies at the edge is seen to be the edge
  const base = Math.max(0, lowest - 1);
  const buckets = heat.buckets.slice(base, Math.min(last, highest + 1) + 1);
  const counts = new Float64Array(columns * buckets.length);
  for (const [time, bucket, calls] of heat.rows) {
    const column = Math.floor((time - first) / step);
    const index = (bucket - base) * columns + column;
    if (column >= 0 && column < columns) counts[index] = (counts[index] ?? 0) + calls;
  }
  const some = counts.filter((calls) => calls > 0);
  const least = some.reduce((a, b) => Math.min(a, b), some[0] ?? 0);
  return { first, since, until, step, columns, buckets, counts, least, most: some.reduce((a, b) => Math.max(a, b), 0) };
}

function cellAt(grid: Grid, x: number, y: number): Cell | null {
  const row = grid.buckets.length - 1 - Math.floor(y * grid.buckets.length);
  if (row < 0 || row >= grid.buckets.length) return null;
  return { column: Math.min(grid.columns - 1, Math.floor(x * grid.columns)), row };
}

function secondAt(grid: Grid, x: number): number {
  return grid.first + x * grid.columns * grid.step;
}

/** From pale to full by the logarithm: one call of a tail is seen beside the thousands of the middle. */
function strength(calls: number, most: number): number {
  return calls <= 0 ? 0 : most <= 1 ? 1 : PALEST + (1 - PALEST) * (Math.log(calls) / Math.log(most));
}

/** What the legend shows: the least, the most, and what lies between their colours. */
function steps({ least, most }: Grid): number[] {
  if (most === 0) return [];
  return [...new Set([least, Math.round(Math.sqrt(least * most)), most])];
}

function counted(calls: number, noun: string): string {
  return calls === 0 ? `no ${noun}s` : `${exact(calls)} ${noun}${calls === 1 ? "" : "s"}`;
}

function between(bucket: HeatAnswer["buckets"][number] | undefined): string {
  return bucket ? `${milliseconds(bucket.low_ms)} to ${milliseconds(bucket.high_ms)}` : "";
}

function when(grid: Grid, second: number): string {
  if (grid.until - grid.since > DAY_S) return moment(second * 1000, grid.step < MINUTE_S);
  return grid.step < MINUTE_S ? clock(second * 1000) : clock(second * 1000).slice(0, 5);
}

function words(grid: Grid, { column, row }: Cell, noun: string): string {
  const start = grid.first + column * grid.step;
  const calls = grid.counts[row * grid.columns + column] ?? 0;
  const more = start + grid.step > grid.until ? ", not complete yet" : "";
  return `${when(grid, start)}, ${between(grid.buckets[row])}: ${counted(calls, noun)}${more}`;
}

function said(grid: Grid, noun: string): string {
  const { columns } = grid;
  const sums = grid.buckets.map((_, row) => grid.counts.subarray(row * columns, (row + 1) * columns).reduce((a, b) => a + b, 0));
  const all = sums.reduce((a, b) => a + b, 0);
  if (all === 0) return `No ${noun}s.`;
  const common = sums.indexOf(sums.reduce((a, b) => Math.max(a, b), 0));
  const highest = sums.findLastIndex((sum) => sum > 0);
  const span = `${moment(grid.since * 1000)} to ${moment(grid.until * 1000)}`;
  return `${counted(all, noun)}, ${span}. Most common: ${between(grid.buckets[common])}, ${counted(sums[common] ?? 0, noun)}. Highest: ${between(grid.buckets[highest])}, ${counted(sums[highest] ?? 0, noun)}.`;
}

function draw(canvas: HTMLCanvasElement, grid: Grid, marks: Mark[], width: number): void {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(HEIGHT * ratio);
  const ctx = canvas.getContext("2d");
  const inside = { wide: width - LEFT - RIGHT, high: HEIGHT - TOP - BOTTOM };
  if (!ctx || inside.wide < 1) return;
  ctx.scale(ratio, ratio);
  ctx.font = FONT;
  ctx.lineWidth = 1;
  drawDurations(ctx, grid, inside.wide, inside.high);
  drawTimes(ctx, grid, inside.wide, inside.high);
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(cells(grid), LEFT, TOP, inside.wide, inside.high);
  drawMarks(ctx, grid, marks, inside.wide, inside.high);
}

/** One pixel a cell. */
function cells(grid: Grid): HTMLCanvasElement {
  const picture = document.createElement("canvas");
  const { columns, counts, most } = grid;
  const rows = Math.max(1, grid.buckets.length);
  picture.width = columns;
  picture.height = rows;
  const image = new ImageData(columns, rows);
  const colour = variable("--heat").split(",").map(Number);
  counts.forEach((calls, index) => {
    if (calls === 0) return;
    const row = rows - 1 - Math.floor(index / columns);
    const alpha = Math.round(255 * strength(calls, most));
    image.data.set([colour[0] ?? 0, colour[1] ?? 0, colour[2] ?? 0, alpha], (row * columns + (index % columns)) * 4);
  });
  picture.getContext("2d")?.putImageData(image, 0, 0);
  return picture;
}

function line(ctx: CanvasRenderingContext2D, fromX: number, fromY: number, toX: number, toY: number): void {
  ctx.beginPath();
  ctx.moveTo(fromX, fromY);
  ctx.lineTo(toX, toY);
  ctx.stroke();
}

/** How high a duration lies, in buckets from the lowest edge. null: outside. */
function heightOf(grid: Grid, ms: number): number | null {
  const row = grid.buckets.findIndex((bucket) => bucket.low_ms <= ms && ms < bucket.high_ms);
  const bucket = grid.buckets[row];
  if (!bucket) return null;
  const { low_ms: low, high_ms: high } = bucket;
  return row + (low > 0 ? Math.log(ms / low) / Math.log(high / low) : ms / high);
}

function drawDurations(ctx: CanvasRenderingContext2D, grid: Grid, wide: number, high: number): void {
  const taken: number[] = [];
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const ms of TICKS_MS) {
    const height = heightOf(grid, ms);
    if (height === null) continue;
    const y = TOP + high * (1 - height / grid.buckets.length);
    if (taken.some((other) => Math.abs(other - y) < 22)) continue;
    taken.push(y);
    ctx.strokeStyle = variable("--line");
    line(ctx, LEFT - 4, Math.round(y) + 0.5, LEFT + wide, Math.round(y) + 0.5);
    ctx.fillStyle = variable("--muted");
    ctx.fillText(milliseconds(ms), LEFT - 8, y);
  }
}

function drawTimes(ctx: CanvasRenderingContext2D, grid: Grid, wide: number, high: number): void {
  const span = grid.columns * grid.step;
  const every = TICKS_S.find((each) => (each / span) * wide >= 70) ?? span;
  // whole hours and days of the zone that the reader chose
  const shift = utc() ? 0 : new Date(grid.first * 1000).getTimezoneOffset() * MINUTE_S;
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  for (let at = Math.ceil((grid.first - shift) / every) * every + shift; at <= grid.first + span; at += every) {
    const x = LEFT + ((at - grid.first) / span) * wide;
    ctx.strokeStyle = variable("--line");
    line(ctx, Math.round(x) + 0.5, TOP, Math.round(x) + 0.5, TOP + high + 4);
    const text = tick(at * 1000, every);
    const half = ctx.measureText(text).width / 2;
    ctx.fillStyle = variable("--muted");
    if (x + half <= LEFT + wide + RIGHT) ctx.fillText(text, x, TOP + high + 8);
  }
}

function tick(ms: number, every: number): string {
  const date = moment(ms).replace(/,.*/, "");
  if (every >= DAY_S) return date;
  const time = every < MINUTE_S ? clock(ms) : clock(ms).slice(0, 5);
  return time === "00:00" ? date : time;
}

function drawMarks(ctx: CanvasRenderingContext2D, grid: Grid, marks: Mark[], wide: number, high: number): void {
  let free = -Infinity;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  ctx.setLineDash([4, 3]);
  for (const mark of [...marks].sort((a, b) => a.at - b.at)) {
    const x = LEFT + ((mark.at - grid.first) / (grid.columns * grid.step)) * wide;
    if (x < LEFT || x > LEFT + wide) continue;
    ctx.strokeStyle = ctx.fillStyle = variable(mark.kind === "model" ? "--accent" : "--note");
    line(ctx, x, TOP, x, TOP + high);
    const text = mark.text.length > 26 ? `${mark.text.slice(0, 25)}…` : mark.text;
    const long = ctx.measureText(text).width;
    if (x < free) continue; // names that would lie on one another are told below the chart
    const start = Math.min(x + 4, LEFT + wide - long);
    ctx.fillText(text, start, TOP + 2);
    free = start + long + 6;
  }
}
