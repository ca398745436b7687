// Who is hit by the errors.
import { choice } from "../place";
import { Rates } from "./ErrorsWhose";

const WHO = ["team", "service", "feature", "customer"];

export function Hit() {
  return <Rates by={choice("hit", "team")} name="hit" title="Who is hit" options={WHO} otherwise="team" />;
}
