// The tokens of one call as parts that add up to the whole, what is counted within them, and what nobody told.
import { part } from "../words";
import type { FullCall } from "./CallFields";

export interface Part {
  name: string;
  title: string;
  side: "input" | "output";
  tokens: number;
  /** of all tokens that are known */
  share: number;
}

type Name = "input_uncached" | "cache_read" | "cache_write_5m" | "cache_write_1h" | "cache_write_other" | "output_visible" | "output_reasoning";

const PARTS: [Name, Part["side"]][] = [
  ["input_uncached", "input"],
  ["cache_read", "input"],
  ["cache_write_5m", "input"],
  ["cache_write_1h", "input"],
  ["cache_write_other", "input"],
  ["output_visible", "output"],
  ["output_reasoning", "output"],
];

const WITHIN = [
  ["audio_input", "input: audio"],
  ["image_input", "input: images"],
  ["audio_output", "output: audio"],
  ["image_output", "output: images"],
] as const;

export interface Parts {
  parts: Part[];
  /** of which, in words; their tokens are in the parts already */
  within: { title: string; tokens: number }[];
  /** parts that nobody told; never a zero */
  untold: string[];
  total: number;
}

export function partsOf(call: Pick<FullCall, Name | (typeof WITHIN)[number][0]>): Parts {
  const total = PARTS.reduce((sum, [name]) => sum + (call[name] ?? 0), 0);
  const parts = PARTS.flatMap(([name, side]): Part[] => {
    const tokens = call[name];
    return tokens === null ? [] : [{ name, title: part(name), side, tokens, share: total ? tokens / total : 0 }];
  });
  return {
    parts,
    total,
    within: WITHIN.flatMap(([name, title]) => (call[name] === null ? [] : [{ title, tokens: call[name] }])),
    untold: PARTS.filter(([name]) => call[name] === null).map(([name]) => part(name)),
  };
}
