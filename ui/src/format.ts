// Figures as people read them. What is not known is a dash, never a zero.
import type { Value } from "./types";

export const UNKNOWN = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function short(value: number, digits = 3): string {
  const size = Math.abs(value);
  const scale: [number, string][] = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "k"]];
  for (const [limit, letter] of scale) {
    if (size >= limit) return significant(value / (letter === "k" ? 1e3 : limit), digits) + letter;
  }
  return size >= 1000 ? whole.format(value) : significant(value, digits);
}

function significant(value: number, digits: number): string {
  if (value === 0) return "0";
  const decimals = Math.max(0, Math.min(8, digits - 1 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(decimals).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

export function count(value: Value | undefined): string {
  return value === null || value === undefined ? UNKNOWN : short(value);
}

export function exact(value: Value | undefined): string {
  return value === null || value === undefined ? UNKNOWN : whole.format(value);
}

/** US dollars: to the cent, and two digits that mean something below ten cents. */
export function money(value: Value | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  const size = Math.abs(value);
  const sign = value < 0 ? "-" : "";
  if (size >= 1e5) return `${sign}$${short(size)}`;
  if (size >= 0.095) return `${sign}$${size.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  return size === 0 ? "$0" : `${sign}$${significant(size, 2)}`;
}

export function milliseconds(value: Value | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 10) return `${significant(value, 2)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60_000) return `${significant(value / 1000, 3)} s`;
  return `${significant(value / 60_000, 3)} min`;
}

export function share(value: Value | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  const percent = value * 100;
  if (percent !== 0 && Math.abs(percent) < 0.1) return "<0.1 %";
  return `${Math.abs(percent) < 10 ? significant(percent, 2) : Math.round(percent)} %`;
}

export function bytes(value: Value | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${significant(size, 3)} ${units[unit] ?? ""}`;
}

/** By the unit that the API states. */
export function inUnit(value: Value | undefined, unit: string): string {
  if (value === null || value === undefined) return UNKNOWN;
  switch (unit) {
    case "USD":
      return money(value);
    case "ms":
      return milliseconds(value);
    case "1":
      return share(value);
    default:
      return short(value);
  }
}

/** The change from `was` to `is`: null where there is nothing to compare with. */
export function change(is: Value | undefined, was: Value | undefined): number | null {
  if (is === null || is === undefined || was === null || was === undefined || was === 0) return null;
  return is / was - 1;
}

export function signed(value: number | null): string {
  if (value === null) return UNKNOWN;
  const percent = value * 100;
  if (Math.abs(percent) < 0.05) return "no change";
  const text = Math.abs(percent) >= 1000 ? `×${significant(value + 1, 2)}` : `${Math.abs(percent) < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
  return percent > 0 && !text.startsWith("×") ? `+${text}` : text;
}

/** A label as it is shown: empty and unknown have words. */
export function labelled(value: string | null | undefined): string {
  if (value === null || value === undefined) return "(unknown)";
  return value === "" ? "(none)" : value;
}

/** The label behind what is shown of it. */
export function unlabelled(shown: string): string | null {
  return shown === "(unknown)" ? null : shown === "(none)" ? "" : shown;
}
