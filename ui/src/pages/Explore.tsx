import { Bar } from "../parts/Bar";

export function Explore() {
  return <Bar title="Explore" />;
}
