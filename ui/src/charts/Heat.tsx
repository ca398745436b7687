// How many calls took how long, over time: a canvas of cells, darker where there are more. Dragging zooms.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, exact, milliseconds } from "../format";
import { moment, utc, zoom } from "../range";
import { scheme } from "../theme";
import type { Heat as HeatAnswer } from "../types";
import { variable } from "./colours";
import { type Cells, cells, cellAt, shade, summed } from "./heatmap";
import type { Mark } from "./lines";

const HEIGHT = 300;
const LEFT = 62;
const BOTTOM = 26;
const DRAG_PIXELS_MIN = 6;

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
  const [at, setAt] = useState<{ x: number; y: number } | null>(null);
  const [drag, setDrag] = useState<Drag | null>(null);
  const found = useMemo(() => cells(heat), [heat]);
  const what = heat.of === "itl_ms" ? "gaps" : "calls";

  useEffect(() => {
    const element = canvas.current?.parentElement;
    if (!element) return;
    const resized = new ResizeObserver(() => setWide(element.clientWidth));
    resized.observe(element);
    return () => resized.disconnect();
  }, []);

  useEffect(() => {
    if (canvas.current && wide > LEFT) draw(canvas.current, found, wide, marks);
  }, [heat, wide, scheme.value, marks, utc()]);

  const place = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    return { x: (event.clientX - box.left - LEFT) / (wide - LEFT), y: 1 - (event.clientY - box.top) / (HEIGHT - BOTTOM) };
  };
  const moved = (event: PointerEvent) => {
    const next = place(event);
    setAt(next.x >= 0 && next.y >= 0 ? next : null);
    if (drag) setDrag({ ...drag, to: next.x });
  };
  const released = () => {
    if (drag && Math.abs(drag.to - drag.from) * (wide - LEFT) >= DRAG_PIXELS_MIN) {
      const time = (x: number) => (found.since + Math.max(0, Math.min(1, x)) * (found.until - found.since)) * 1000;
      zoom(time(Math.min(drag.from, drag.to)), time(Math.max(drag.from, drag.to)));
    }
    setDrag(null);
  };
  const cell = at ? cellAt(found, at.x, at.y) : null;
  return (
    <figure class="chart heat">
      <div class="heat-plot" onPointerMove={moved} onPointerLeave={() => setAt(null)} onPointerDown={(event) => setDrag({ from: place(event).x, to: place(event).x })} onPointerUp={released}>
        <canvas ref={canvas} role="img" aria-label={`${title}. ${summed(found, what)}`} />
        {drag && <i class="heat-drag" style={{ left: `${LEFT + Math.min(drag.from, drag.to) * (wide - LEFT)}px`, width: `${Math.abs(drag.to - drag.from) * (wide - LEFT)}px` }} />}
      </div>
      <figcaption class="legend">
        <span>1</span>
        <i class="heat-scale" aria-hidden="true" />
        <span>
          {count(found.most)} {what}
        </span>
        <span class="legend-time">
          {cell && (
            <>
              {moment(cell.time * 1000, heat.step_seconds < 60)}, {milliseconds(cell.low)} to {milliseconds(cell.high)}: <b>{exact(cell.calls)}</b> {what}
            </>
          )}
        </span>
      </figcaption>
    </figure>
  );
}

function draw(canvas: HTMLCanvasElement, found: Cells, wide: number, marks: Mark[]): void {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = wide * ratio;
  canvas.height = HEIGHT * ratio;
  canvas.style.width = `${wide}px`;
  canvas.style.height = `${HEIGHT}px`;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.scale(ratio, ratio);
  context.clearRect(0, 0, wide, HEIGHT);
  const [width, height] = [(wide - LEFT) / found.columns, (HEIGHT - BOTTOM) / found.bands.length];
  const colour = variable("--heat");
  for (const [column, band, calls] of found.cells) {
    context.fillStyle = `rgba(${colour}, ${shade(calls, found.most)})`;
    context.fillRect(LEFT + column * width, HEIGHT - BOTTOM - (band + 1) * height, Math.max(1, width - 0.5), Math.max(1, height - 0.5));
  }
  axes(context, found, wide);
  context.strokeStyle = variable("--note");
  context.setLineDash([4, 3]);
  for (const mark of marks) {
    if (mark.at < found.since || mark.at > found.until) continue;
    const x = LEFT + ((mark.at - found.since) / (found.until - found.since)) * (wide - LEFT);
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, HEIGHT - BOTTOM);
    context.stroke();
  }
}

function axes(context: CanvasRenderingContext2D, found: Cells, wide: number): void {
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = variable("--muted");
  context.textAlign = "right";
  const height = (HEIGHT - BOTTOM) / found.bands.length;
  const each = Math.max(1, Math.ceil(22 / height));
  found.bands.forEach((band, index) => {
    if (index % each === 0) context.fillText(milliseconds(band.low), LEFT - 6, HEIGHT - BOTTOM - index * height + 3);
  });
  context.textAlign = "center";
  const labels = Math.max(2, Math.floor((wide - LEFT) / 130));
  for (let index = 0; index < labels; index += 1) {
    const time = found.since + ((index + 0.5) / labels) * (found.until - found.since);
    context.fillText(moment(time * 1000), LEFT + ((index + 0.5) / labels) * (wide - LEFT), HEIGHT - 8);
  }
}
