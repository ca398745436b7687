import { Bar } from "../parts/Bar";

export function Connect() {
  return <Bar title="Connect" />;
}
