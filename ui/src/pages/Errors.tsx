import { Bar } from "../parts/Bar";

export function Errors() {
  return <Bar title="Errors" />;
}
