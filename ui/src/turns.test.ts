import { expect, test } from "vitest";
import { inTurn, placeInTurn } from "./turns";

/** A question that answers when it is told to. */
function question() {
  let answer = () => {};
  const answered = new Promise<void>((resolve) => (answer = resolve));
  return { begun: false, answer, answered };
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

test("two are asked at a time, from the top of the page, and those that can wait come last", async () => {
  const places = [placeInTurn(), placeInTurn(), placeInTurn(), Infinity];
  const questions = places.map(question);
  const never = new AbortController().signal;
  // Effects run from the bottom to the top.
  const all = [...places.keys()].reverse().map((index) =>
    inTurn(places[index]!, never, () => {
      questions[index]!.begun = true;
      return questions[index]!.answered;
    }),
  );
  await settled();
  expect(questions.map((each) => each.begun)).toEqual([true, true, false, false]);
  questions[1]!.answer();
  await settled();
  expect(questions.map((each) => each.begun)).toEqual([true, true, true, false]);
  for (const each of questions) each.answer();
  await Promise.all(all);
  expect(questions[3]!.begun).toBe(true);
});

test("who gives up leaves the queue, and one that fails makes room", async () => {
  const never = new AbortController().signal;
  const first = question();
  const busy = inTurn(placeInTurn(), never, () => first.answered);
  const broken = inTurn(placeInTurn(), never, () => Promise.reject(new Error("broken")));
  const leaving = new AbortController();
  let asked = false;
  const left = inTurn(Infinity, leaving.signal, async () => {
    asked = true;
  });
  leaving.abort();
  await expect(left).rejects.toThrow("given up");
  await expect(broken).rejects.toThrow("broken");
  expect(await inTurn(placeInTurn(), never, async () => 7)).toBe(7);
  first.answer();
  await busy;
  expect(asked).toBe(false);
});
