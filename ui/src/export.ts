// What a reader takes along: a table as CSV, a chart as a picture. In: an answer, or the element that holds the chart.
// Out: text, a Blob, a file that the browser saves.
import { variable } from "./charts/colours";
import type { Label, Series, SeriesRow, Value } from "./types";

// A spreadsheet takes a cell that begins so for a formula, and a label may have been written by anybody.
const FORMULA = /^[=+\-@\t\r]/;
const QUOTED = /[",\r\n]/;

/** RFC 4180: time if there is one, then the dimensions, then the measures. What is not known is empty. */
export function csv(series: Series): string {
  const labels = [...(series.step_seconds === null ? [] : ["time"]), ...series.by];
  const measures = Object.keys(series.measures);
  const line = (row: SeriesRow) => [
    ...labels.map((name) => label((row[name] as Label | undefined) ?? null)),
    ...measures.map((name) => number((row[name] as Value | undefined) ?? null)),
  ];
  const lines = [[...labels, ...measures].map(label), ...series.rows.map(line)];
  return lines.map((cells) => `${cells.join(",")}\r\n`).join("");
}

function label(text: Label): string {
  if (text === null) return "";
  // An empty label is known to be empty, and told from an unknown one by its quotes.
  if (text === "") return '""';
  const harmless = FORMULA.test(text) ? `'${text}` : text;
  return QUOTED.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

function number(value: Value): string {
  return value === null ? "" : String(value);
}

/** Save under a name, as a download of the browser. */
export function download(name: string, text: string | Blob, type: string): void {
  const address = URL.createObjectURL(text instanceof Blob ? text : new Blob([text], { type }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name;
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  // A browser may begin to read only after the click has returned.
  window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** What asks the API for the same in a shell; keyed: with the key that the shell knows. */
export function curl(path: string, keyed: boolean, origin = window.location.origin): string {
  const key = keyed ? ' -H "Authorization: Bearer $TACHOGRAPH_TOKEN"' : "";
  return `curl -s${key} '${origin}${path}'`;
}

const FONT = "system-ui, sans-serif";
const EDGE = 20;
const TITLE_HEIGHT = 52;
const ENTRY_HEIGHT = 20;
const ENTRY_GAP = 16;
const SWATCH = 9;

interface Entry {
  text: string;
  colour: string;
}

export interface Placed {
  x: number;
  row: number;
}

/** Where entries of these widths stand: from left to right, and on a new row where one would not fit. */
export function placed(widths: number[], wide: number): Placed[] {
  let x = 0;
  let row = 0;
  return widths.map((width) => {
    if (x > 0 && x + width > wide) {
      x = 0;
      row += 1;
    }
    const place = { x, row };
    x += width + ENTRY_GAP;
    return place;
  });
}

/** The charts inside an element as they are now, with a title, words below it, and what the colours mean. */
export async function png(element: HTMLElement, title: string, words: string): Promise<Blob> {
  const charts = [...element.querySelectorAll("canvas")].filter((each) => each.width > 0 && each.clientWidth > 0);
  const box = element.getBoundingClientRect();
  const bottom = Math.max(0, ...charts.map((each) => each.getBoundingClientRect().bottom - box.top));
  const first = charts[0];
  const ratio = first ? first.width / first.clientWidth : window.devicePixelRatio || 1;
  const picture = document.createElement("canvas");
  const ctx = picture.getContext("2d");
  if (!ctx) throw new Error("this browser draws no pictures");
  ctx.font = `12px ${FONT}`;
  const entries = legend(element);
  const places = placed(entries.map((entry) => SWATCH + 6 + ctx.measureText(entry.text).width), box.width);
  const rows = entries.length ? (places.at(-1)?.row ?? 0) + 1 : 0;
  const wide = box.width + 2 * EDGE;
  const high = TITLE_HEIGHT + bottom + rows * ENTRY_HEIGHT + 2 * EDGE;
  picture.width = Math.round(wide * ratio);
  picture.height = Math.round(high * ratio);
  ctx.scale(ratio, ratio);
  ctx.fillStyle = variable("--ground");
  ctx.fillRect(0, 0, wide, high);
  heading(ctx, title, words, box.width);
  ctx.translate(EDGE, EDGE + TITLE_HEIGHT);
  for (const chart of charts) {
    const at = chart.getBoundingClientRect();
    ctx.drawImage(chart, at.left - box.left, at.top - box.top, at.width, at.height);
  }
  ctx.translate(0, bottom + 4);
  entries.forEach((entry, index) => written(ctx, entry, places[index] ?? { x: 0, row: 0 }));
  return blob(picture);
}

/** The legend as the page shows it, without what the reader has hidden. */
function legend(element: HTMLElement): Entry[] {
  return [...element.querySelectorAll<HTMLElement>(".legend-entry:not(.off)")].map((entry) => {
    const swatch = entry.querySelector(".swatch");
    const own = [...entry.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    return {
      text: own.map((node) => node.textContent).join("").trim(),
      colour: swatch ? getComputedStyle(swatch).backgroundColor : "transparent",
    };
  });
}

function heading(ctx: CanvasRenderingContext2D, title: string, words: string, wide: number): void {
  ctx.textBaseline = "top";
  ctx.fillStyle = variable("--text");
  ctx.font = `600 16px ${FONT}`;
  ctx.fillText(title, EDGE, EDGE, wide);
  ctx.fillStyle = variable("--muted");
  ctx.font = `12px ${FONT}`;
  ctx.fillText(words, EDGE, EDGE + 24, wide);
}

function written(ctx: CanvasRenderingContext2D, entry: Entry, { x, row }: Placed): void {
  const y = row * ENTRY_HEIGHT;
  ctx.fillStyle = entry.colour;
  ctx.fillRect(x, y + 3, SWATCH, SWATCH);
  ctx.fillStyle = variable("--muted");
  ctx.font = `12px ${FONT}`;
  ctx.textBaseline = "top";
  ctx.fillText(entry.text, x + SWATCH + 6, y + 1);
}

function blob(picture: HTMLCanvasElement): Promise<Blob> {
  return new Promise((done, failed) => {
    picture.toBlob((made) => (made ? done(made) : failed(new Error("the picture could not be made"))), "image/png");
  });
}
