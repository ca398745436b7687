// Who is hit by the errors.
import { choice } from "../place";
import { Rates } from "./ErrorsWhose";

const WHO = [
  { value: "team", title: "Team" },
  { value: "service", title: "Service" },
  { value: "feature", title: "Feature" },
  { value: "customer", title: "Customer" },
];

export function Hit() {
  return <Rates by={choice("hit", "team")} name="hit" title="Who is hit" options={WHO} otherwise="team" />;
}
