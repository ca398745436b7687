import { Bar } from "../parts/Bar";

export function Calls() {
  return <Bar title="Calls" />;
}
