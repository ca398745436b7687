// Conditions as the API takes them, NAME=VALUE, each name once: what a page is narrowed to, and what a part of it adds.

function written(name: string, value: string | null): string {
  return `${name}=${value === null ? "null" : value}`;
}

/** The values that a name is narrowed to; null where it is not. */
export function valuesOf(conditions: string[], name: string): string[] | null {
  const found = conditions.find((each) => each.startsWith(`${name}=`));
  return found === undefined ? null : found.slice(name.length + 1).split(",");
}

/** Both: the conditions and one more. null where no call meets both. */
export function within(conditions: string[], name: string, value: string | null): string[] | null {
  const said = valuesOf(conditions, name);
  if (said !== null && !said.includes(value === null ? "null" : value)) return null;
  return instead(conditions, name, value);
}

/** The condition in the place of the one of the same name. */
export function instead(conditions: string[], name: string, value: string | null): string[] {
  return [...without(conditions, name), written(name, value)];
}

export function without(conditions: string[], name: string): string[] {
  return conditions.filter((each) => !each.startsWith(`${name}=`));
}
