// A chart over time: lines or stacked areas on a canvas, so that 100,000 points do not stutter. Dragging zooms, the
// crosshair is shared by all charts of the page, annotations are lines with a word each.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { inUnit } from "../format";
import { moment, utc, zoom } from "../range";
import { scheme } from "../theme";
import { colour, variable } from "./colours";
import { AXIS_FONT, drawMarks, tick } from "./drawing";
import type { Lines, Mark } from "./lines";

interface Properties {
  lines: Lines;
  unit: string;
  /** what a screen reader is told the chart shows */
  title: string;
  stacked?: boolean;
  height?: number;
  marks?: Mark[];
  onPick?: (name: string) => void;
}

const SYNC = uPlot.sync("time");

export function TimeChart({ lines, unit, title, stacked = false, height = 220, marks = [], onPick }: Properties) {
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const marked = useRef(marks);
  marked.current = marks;
  const [at, setAt] = useState<number | null>(null);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const shown = useMemo(() => lines.names.map((name) => !hidden.has(name)), [lines.names.join("\n"), hidden]);
  const drawn = useMemo(() => (stacked ? piled(lines, shown) : lines.values), [lines, stacked, shown]);
  const summary = useMemo(() => said(lines, unit), [lines, unit]);
  const shape = `${lines.names.join("\n")}|${unit}|${stacked}|${height}|${scheme.value}|${utc()}|${shown.join()}`;

  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const made = new uPlot(
      options(lines, unit, stacked, shown, element.clientWidth, height, setAt, () => marked.current),
      [lines.times, ...drawn] as uPlot.AlignedData,
      element,
    );
    chart.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [shape]);

  useEffect(() => {
    chart.current?.setData([lines.times, ...drawn] as uPlot.AlignedData);
  }, [lines, drawn, marks]);

  const row = at ?? null;
  return (
    <figure class="chart">
      <div class="plot" ref={holder} role="img" aria-label={`${title}. ${summary}`} style={{ height: `${height}px` }} />
      <figcaption class="legend">
        <span class="legend-time">{row === null ? "" : moment((lines.times[row] ?? 0) * 1000, lines.step < 60)}</span>
        {lines.names.map((name, index) => (
          <button
            type="button"
            key={name}
            class={`legend-entry${hidden.has(name) ? " off" : ""}`}
            aria-pressed={!hidden.has(name)}
            title={onPick ? "Click to show or hide; double click to filter" : "Click to show or hide"}
            onClick={() => setHidden(toggled(hidden, name))}
            onDblClick={() => onPick?.(name)}
          >
            <i class="swatch" style={{ background: colour(index, name) }} />
            {name}
            {row !== null && <b>{inUnit(lines.values[index]?.[row], unit)}</b>}
          </button>
        ))}
      </figcaption>
      {lines.partial && <span class="sr">The last point is not complete yet.</span>}
    </figure>
  );
}

function toggled(hidden: ReadonlySet<string>, name: string): ReadonlySet<string> {
  const next = new Set(hidden);
  if (!next.delete(name)) next.add(name);
  return next;
}

/** Each line on top of those before it; unknown adds nothing. */
function piled(lines: Lines, shown: boolean[]): (number | null)[][] {
  const sums = new Array<number>(lines.times.length).fill(0);
  return lines.values.map((values, index) =>
    shown[index] ? values.map((value, place) => (sums[place] = (sums[place] ?? 0) + (value ?? 0))) : values.map(() => null),
  );
}

function said(lines: Lines, unit: string): string {
  if (!lines.times.length) return "No points.";
  const parts = lines.names.slice(0, 8).map((name, index) => {
    const known = (lines.values[index] ?? []).filter((value): value is number => value !== null);
    const last = known.at(-1);
    if (last === undefined) return `${name}: nothing known`;
    // a spread argument has its limits at 100,000 points
    const most = known.reduce((a, b) => (b > a ? b : a), last);
    return `${name}: last ${inUnit(last, unit)}, most ${inUnit(most, unit)}`;
  });
  return `${lines.times.length} points. ${parts.join("; ")}.`;
}

function options(
  lines: Lines,
  unit: string,
  stacked: boolean,
  shown: boolean[],
  wide: number,
  height: number,
  onCursor: (place: number | null) => void,
  marks: () => Mark[],
): uPlot.Options {
  const grid = { stroke: variable("--line"), width: 1 };
  const axis = { stroke: variable("--muted"), grid, ticks: { ...grid, size: 4 }, font: AXIS_FONT };
  const series: uPlot.Series[] = lines.names.map((name, index) => {
    const stroke = colour(index, name);
    return {
      label: name,
      stroke,
      width: stacked ? 1 : 1.75,
      show: shown[index] ?? true,
      ...(stacked ? { fill: `color-mix(in srgb, ${stroke} 55%, transparent)` } : {}),
      points: { show: !stacked && (lines.values[index]?.filter((value) => value !== null).length ?? 0) < 3, size: 5, fill: stroke },
      spanGaps: false,
    };
  });
  return {
    width: Math.max(wide, 100),
    height,
    // The cursor of one chart moves those of all others.
    cursor: {
      // Where the pointer is concerns all charts, a drag only the one it is on: one zoom is one step back.
      sync: { key: SYNC.key, setSeries: false, filters: { pub: follows, sub: follows } },
      drag: { x: true, y: false, setScale: false },
      points: { size: 6 },
      focus: { prox: -1 },
    },
    legend: { show: false },
    ...(utc() ? { tzDate: (at: number) => uPlot.tzDate(new Date(at * 1000), "UTC") } : {}),
    scales: { x: { time: true }, y: { range: (_, low, high) => spread(low, high) } },
    axes: [
      { ...axis, space: 70, size: 30, values: (_, splits, _axis, _space, step) => splits.map((at) => tick(at, step)) },
      { ...axis, size: 62, space: 34, values: (_, splits) => splits.map((value) => inUnit(value, unit)) },
    ],
    // Filled from the top of the pile down, so that each band keeps its colour.
    series: [{}, ...series],
    ...(stacked ? { bands: bands(shown) } : {}),
    hooks: {
      setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)],
      setSelect: [
        (plot) => {
          if (plot.select.width < 6) return;
          const since = plot.posToVal(plot.select.left, "x");
          const until = plot.posToVal(plot.select.left + plot.select.width, "x");
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          zoom(since * 1000, until * 1000);
        },
      ],
      draw: [(plot) => drawMarks(plot.ctx, marks(), (at) => plot.valToPos(at, "x", true), plot.bbox, window.devicePixelRatio || 1), (plot) => drawPartial(plot, lines)],
    },
  };
}

function follows(event: string): boolean {
  return event === "mousemove" || event === "mouseleave";
}

function spread(low: number | null, high: number | null): [number, number] {
  const top = high === null || high <= 0 ? 1 : high * 1.08;
  return [low !== null && low < 0 ? low * 1.08 : 0, top];
}

function bands(shown: boolean[]): uPlot.Band[] {
  const places = shown.flatMap((is, index) => (is ? [index + 1] : []));
  return places.slice(1).map((upper, index) => ({ series: [upper, places[index] ?? 0] as [number, number] }));
}

/** What is not complete yet is hatched: a last point that looks like a fall is none. */
function drawPartial(plot: uPlot, lines: Lines): void {
  const last = lines.times.at(-1);
  if (!lines.partial || last === undefined || lines.times.length < 2) return;
  const { ctx } = plot;
  const from = plot.valToPos(lines.times.at(-2) ?? last, "x", true);
  const to = plot.valToPos(last, "x", true);
  ctx.save();
  ctx.globalAlpha = 0.55;
  ctx.fillStyle = variable("--panel");
  ctx.fillRect(from, plot.bbox.top, Math.max(to - from, 2), plot.bbox.height);
  ctx.restore();
}
