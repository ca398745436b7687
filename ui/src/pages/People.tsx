import { Bar } from "../parts/Bar";

export function People() {
  return <Bar title="People" />;
}
