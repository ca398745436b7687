// Conditions as the API takes them, each name once: what a page is narrowed to, and what a part of it adds.
// NAME=VALUE; NAME=A,B for any of several; null for none; in quotes a comma is a comma, and a doubled quotation mark is
// one. NAME>=NUMBER of a quantity: its name here is "NAME>".
import { exact, labelled, milliseconds, money } from "./format";

/** A value of a dimension; null where it is not known. */
export type Label = string | null;

const ITEM = /"(?:[^"]|"")*"|(?!")[^,]*/y;

function quoted(value: Label): string {
  if (value === null) return "null";
  return value.includes(",") || value.startsWith('"') || value === "null" ? `"${value.replaceAll('"', '""')}"` : value;
}

function unquoted(item: string): Label {
  if (item.startsWith('"')) return item.slice(1, -1).replaceAll('""', '"');
  return item === "null" ? null : item;
}

export function condition(name: string, value: Label | Label[]): string {
  return `${name}=${(Array.isArray(value) ? value : [value]).map(quoted).join(",")}`;
}

/** The name and the values of a condition. What cannot be read is one value as it stands: the server says what is wrong. */
export function read(text: string): { name: string; values: Label[] } {
  const equals = text.indexOf("=");
  const told = text.slice(equals + 1);
  const values: Label[] = [];
  for (let end = -1; end < told.length; ) {
    ITEM.lastIndex = end + 1;
    const item = ITEM.exec(told)?.[0];
    end += 1 + (item?.length ?? 0);
    if (item === undefined || (end < told.length && told[end] !== ",")) return { name: text.slice(0, equals), values: [told] };
    values.push(unquoted(item));
  }
  return { name: text.slice(0, equals), values };
}

/** A condition as people read it: "duration_ms", "≥ 3 s"; "team", "growth or (none)". */
export function shown(text: string): [string, string] {
  const { name, values } = read(text);
  if (name.endsWith(">") && !name.includes(".")) return [name.slice(0, -1), `≥ ${amount(name.slice(0, -1), values[0] ?? "")}`];
  return [name, values.map(labelled).join(" or ")];
}

function amount(quantity: string, text: string): string {
  const known = Number(text);
  if (text.trim() === "" || Number.isNaN(known)) return text;
  return quantity.endsWith("_ms") ? milliseconds(known) : quantity.endsWith("_usd") ? money(known) : exact(known);
}

/** The values that a name is narrowed to; null where it is not. */
export function valuesOf(conditions: string[], name: string): Label[] | null {
  const found = conditions.map(read).find((each) => each.name === name);
  return found?.values ?? null;
}

/** Both: the conditions and one more. null where no call meets both. */
export function within(conditions: string[], name: string, value: Label): string[] | null {
  const said = valuesOf(conditions, name);
  if (said !== null && !said.includes(value)) return null;
  return instead(conditions, name, value);
}

/** The condition in the place of the one of the same name. */
export function instead(conditions: string[], name: string, value: Label | Label[]): string[] {
  return [...without(conditions, name), condition(name, value)];
}

export function without(conditions: string[], name: string): string[] {
  return conditions.filter((each) => !each.startsWith(`${name}=`));
}
