import { Bar } from "../parts/Bar";

export function Models() {
  return <Bar title="Models" />;
}
