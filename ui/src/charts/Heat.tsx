// How many calls took how long, over time: a canvas of cells, darker where there are more. Dragging zooms; the crosshair
// lies over the canvas and draws nothing anew.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { exact, milliseconds } from "../format";
import { moment, utc, zoom } from "../range";
import { scheme } from "../theme";
import type { Heat as HeatAnswer } from "../types";
import { variable } from "./colours";
import { AXIS_FONT, type Area, drawMarks, tick } from "./drawing";
import { type Cell, type Cells, cellAt, cells, durationTicks, shade, steps, summed, timeTicks } from "./heatmap";
import type { Mark } from "./lines";

const HEIGHT = 300;
const LEFT = 62;
const RIGHT = 8;
const TOP = 6;
const BOTTOM = 26;
const DRAG_PIXELS_MIN = 6;
const TICK_PIXELS = { along: 70, up: 22 };

interface Properties {
  heat: HeatAnswer;
  title: string;
  marks?: Mark[];
}

interface Drag {
  from: number;
  to: number;
}

export function Heat({ heat, title, marks = [] }: Properties) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [wide, setWide] = useState(0);
  const [cell, setCell] = useState<Cell | null>(null);
  const [drag, setDrag] = useState<Drag | null>(null);
  const found = useMemo(() => cells(heat), [heat]);
  const what = heat.of === "itl_ms" ? "gap" : "call";
  const area = { left: LEFT, top: TOP, width: Math.max(1, wide - LEFT - RIGHT), height: HEIGHT - TOP - BOTTOM };

  useEffect(() => {
    const element = canvas.current?.parentElement;
    if (!element) return;
    const resized = new ResizeObserver(() => setWide(element.clientWidth));
    resized.observe(element);
    return () => resized.disconnect();
  }, []);

  useEffect(() => {
    if (canvas.current && wide > LEFT + RIGHT) draw(canvas.current, found, wide, area, marks);
  }, [heat, wide, scheme.value, marks, utc()]);

  const place = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    return { x: (event.clientX - box.left - LEFT) / area.width, y: 1 - (event.clientY - box.top - TOP) / area.height };
  };
  const moved = (event: PointerEvent) => {
    const { x, y } = place(event);
    setCell(cellAt(found, x, y));
    if (drag) setDrag({ ...drag, to: Math.max(0, Math.min(1, x)) });
  };
  const pressed = (event: PointerEvent) => {
    const { x } = place(event);
    // a finger scrolls the page
    if (event.button !== 0 || x < 0 || x > 1 || event.pointerType === "touch") return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    setDrag({ from: x, to: x });
  };
  const released = () => {
    if (drag && Math.abs(drag.to - drag.from) * area.width >= DRAG_PIXELS_MIN) {
      const time = (x: number) => (found.since + x * (found.until - found.since)) * 1000;
      zoom(time(Math.min(drag.from, drag.to)), time(Math.max(drag.from, drag.to)));
    }
    setDrag(null);
  };
  return (
    <figure class="chart heat">
      <div class="heat-plot" onPointerMove={moved} onPointerLeave={() => setCell(null)} onPointerDown={pressed} onPointerUp={released} onPointerCancel={() => setDrag(null)}>
        <canvas ref={canvas} role="img" aria-label={`${title}. ${summed(found, `${what}s`)}`} />
        {cell && <Cross found={found} cell={cell} area={area} />}
        {drag && <i class="heat-drag" style={box({ ...area, left: LEFT + Math.min(drag.from, drag.to) * area.width, width: Math.abs(drag.to - drag.from) * area.width })} />}
      </div>
      <figcaption class="legend">
        {steps(found).map((calls) => (
          <span class="legend-entry" key={calls}>
            <i class="swatch" style={{ background: `rgba(var(--heat), ${shade(calls, found.most)})` }} />
            {counted(calls, what)}
          </span>
        ))}
        <span class="legend-time">
          {cell ? `${moment(cell.time * 1000, heat.step_seconds < 60)}, ${milliseconds(cell.low)} to ${milliseconds(cell.high)}: ${counted(cell.calls, what)}` : "Drag to zoom"}
        </span>
      </figcaption>
    </figure>
  );
}

function counted(calls: number, what: string): string {
  return `${calls === 0 ? "no" : exact(calls)} ${what}${calls === 1 ? "" : "s"}`;
}

function box({ left, top, width, height }: Area) {
  return { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` };
}

/** The cell under the pointer, and lines from it to both axes. */
function Cross({ found, cell, area }: { found: Cells; cell: Cell; area: Area }) {
  const [width, height] = [area.width / found.columns, area.height / found.bands.length];
  const left = area.left + cell.column * width;
  const top = area.top + area.height - (cell.band + 1) * height;
  return (
    <>
      <i class="heat-line" style={box({ ...area, top: top + height / 2, height: 1 })} />
      <i class="heat-line" style={box({ ...area, left: left + width / 2, width: 1 })} />
      <i class="heat-cell" style={box({ left: left - 1, top: top - 1, width: Math.max(width, 2) + 2, height: height + 2 })} />
    </>
  );
}

function draw(canvas: HTMLCanvasElement, found: Cells, wide: number, area: Area, marks: Mark[]): void {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = wide * ratio;
  canvas.height = HEIGHT * ratio;
  canvas.style.width = `${wide}px`;
  canvas.style.height = `${HEIGHT}px`;
  const ctx = canvas.getContext("2d");
  if (!ctx) return;
  ctx.scale(ratio, ratio);
  axes(ctx, found, area);
  const [width, height] = [area.width / found.columns, area.height / found.bands.length];
  const colour = variable("--heat");
  for (const [column, band, calls] of found.cells) {
    ctx.fillStyle = `rgba(${colour}, ${shade(calls, found.most)})`;
    ctx.fillRect(area.left + column * width, area.top + area.height - (band + 1) * height, Math.max(1, width - 0.5), Math.max(1, height - 0.5));
  }
  drawMarks(ctx, marks, (at) => area.left + ((at - found.since) / (found.until - found.since)) * area.width, area);
}

function axes(ctx: CanvasRenderingContext2D, found: Cells, { left, top, width, height }: Area): void {
  ctx.font = AXIS_FONT;
  ctx.strokeStyle = variable("--line");
  ctx.fillStyle = variable("--muted");
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const { value, place } of durationTicks(found, TICK_PIXELS.up / height)) {
    const y = top + height * (1 - place);
    line(ctx, left - 4, y, left + width, y);
    ctx.fillText(milliseconds(value), left - 8, y);
  }
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  const behind = utc() ? 0 : new Date(found.since * 1000).getTimezoneOffset() * 60;
  const { every, ticks } = timeTicks(found, TICK_PIXELS.along / width, behind);
  for (const { value, place } of ticks) {
    const x = left + place * width;
    line(ctx, x, top, x, top + height + 4);
    const text = tick(value, every);
    if (x + ctx.measureText(text).width / 2 <= left + width + RIGHT) ctx.fillText(text, x, top + height + 8);
  }
}

function line(ctx: CanvasRenderingContext2D, fromX: number, fromY: number, toX: number, toY: number): void {
  ctx.beginPath();
  ctx.moveTo(Math.round(fromX) + 0.5, Math.round(fromY) + 0.5);
  ctx.lineTo(Math.round(toX) + 0.5, Math.round(toY) + 0.5);
  ctx.stroke();
}
