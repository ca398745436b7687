import { Bar } from "../parts/Bar";

export function Call() {
  return <Bar title="Call" />;
}
