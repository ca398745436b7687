// Colours of series: eight that people with any colour vision tell apart, the same in light and dark.
const SERIES = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
const OTHERS = "everything else";

export function variable(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function colour(index: number, name = ""): string {
  return variable(name === OTHERS ? "--others" : (SERIES[index % SERIES.length] ?? "--c1"));
}

export { OTHERS };
