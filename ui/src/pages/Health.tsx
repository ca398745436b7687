import { Bar } from "../parts/Bar";

export function Health() {
  return <Bar title="Health" />;
}
