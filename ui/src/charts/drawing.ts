// What all charts draw alike: moments on an axis, and lines across it with a word each.
import { clock, moment } from "../range";
import { variable } from "./colours";
import type { Mark } from "./lines";

export const AXIS_FONT = "11px system-ui, sans-serif";
const TEXT_MAX = 26;

export interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A moment in seconds since 1970, as an axis with so many seconds between two ticks says it. */
export function tick(at: number, step: number): string {
  const ms = at * 1000;
  if (step >= 86_400) return moment(ms).replace(/,.*/, "");
  const time = step < 60 ? clock(ms) : clock(ms).slice(0, 5);
  return time.startsWith("00:00") && step >= 60 ? moment(ms).replace(/,.*/, "") : time;
}

/** placed: where a moment lies from left to right. ratio: pixels of the canvas to one of the page. */
export function drawMarks(ctx: CanvasRenderingContext2D, marks: Mark[], placed: (at: number) => number, { left, top, width, height }: Area, ratio = 1): void {
  let free = -Infinity;
  ctx.save();
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.setLineDash([4 * ratio, 3 * ratio]);
  for (const mark of [...marks].sort((a, b) => a.at - b.at)) {
    const x = placed(mark.at);
    if (x < left || x > left + width) continue;
    ctx.strokeStyle = ctx.fillStyle = variable(mark.kind === "model" ? "--accent" : "--note");
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    const text = mark.text.length > TEXT_MAX ? `${mark.text.slice(0, TEXT_MAX - 1)}…` : mark.text;
    const wide = ctx.measureText(text).width;
    if (x < free) continue; // names that would lie on one another stay in the list below
    const start = Math.max(left, Math.min(x + 4 * ratio, left + width - wide));
    ctx.fillText(text, start, top + 11 * ratio);
    free = start + wide + 6 * ratio;
  }
  ctx.restore();
}
