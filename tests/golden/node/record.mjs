// Records the AI SDK of Vercel, versions 4 to 7: `node record.mjs vercel-ai-<version>[-otel]`.
//
// In: GOLDEN_PROVIDER and GOLDEN_RECORDER in the environment. Out: OTLP to the recorder, case by case.
import { NodeTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { z as zod } from 'zod';

const { GOLDEN_PROVIDER: PROVIDER, GOLDEN_RECORDER: RECORDER } = process.env;
const QUESTION = 'What is six times seven? scenario:';
const [, version, vocabulary] = /^vercel-ai-(\d)(?:-(\w+))?$/.exec(process.argv[2]);

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'golden' }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${RECORDER}/v1/traces` }))],
});
provider.register();

const ai = await import(`ai${version}`);
const { createOpenAI } = await import(`openai${version}`);
const { createAnthropic } = await import(`anthropic${version}`);

const telemetry = { isEnabled: true, functionId: 'ask', metadata: { userId: 'user-1', sessionId: 'session-1' } };
let settings = { experimental_telemetry: telemetry, maxRetries: 0 };
if (version === '7') {
  const { OpenTelemetry, LegacyOpenTelemetry } = await import('@ai-sdk/otel');
  ai.registerTelemetry(vocabulary === 'legacy' ? new LegacyOpenTelemetry() : new OpenTelemetry());
  settings = { telemetry: { functionId: 'ask' }, maxRetries: 0 };
}

const openai = createOpenAI({ baseURL: `${PROVIDER}/v1`, apiKey: 'none', compatibility: 'strict' });
const anthropic = createAnthropic({ baseURL: `${PROVIDER}/v1`, apiKey: 'none' });
const chat = version === '4' ? openai('gpt-5-mini') : openai.chat('gpt-5-mini');
const responses = openai.responses('gpt-5-mini');
const claude = anthropic('claude-sonnet-4-5');
const city = zod.object({ city: zod.string() });
const weather = {
  description: 'the weather of a city',
  [version === '4' ? 'parameters' : 'inputSchema']: city,
  execute: async ({ city }) => `mild in ${city}`,
};
const steps = version === '4' ? { maxSteps: 3 } : { stopWhen: ai.stepCountIs?.(3) ?? ai.isStepCount?.(3) };

const ask = (model, scenario, more = {}) =>
  ai.generateText({ model, prompt: QUESTION + scenario, ...settings, ...more });

async function stream(model, scenario) {
  const answer = ai.streamText({ model, prompt: QUESTION + scenario, ...settings, onError() {} });
  for await (const piece of answer.textStream) void piece;
}

const embedder = (openai.embeddingModel ?? openai.embedding)('text-embedding-3-small');
const cases = {
  openai: () => ask(chat, 'plain'),
  openai_cached: () => ask(chat, 'cached'),
  openai_reasoning: () => ask(chat, 'reasoning'),
  openai_stream_cached: () => stream(chat, 'cached'),
  openai_tools: () => ask(chat, 'tools', { tools: { get_weather: weather }, ...steps }),
  responses_everything: () => ask(responses, 'everything'),
  responses_stream_cached: () => stream(responses, 'cached'),
  anthropic: () => ask(claude, 'plain'),
  anthropic_cache_write: () => ask(claude, 'cache_write'),
  anthropic_stream_cached: () => stream(claude, 'cached'),
  embeddings: () => ai.embed({ model: embedder, value: QUESTION + 'plain', ...settings }),
  error_rate_limited: () => ask(chat, 'rate_limited').catch(() => {}),
};

const mark = (path) => fetch(`${RECORDER}/${path}`, { method: 'POST' });
for (const [name, run] of Object.entries(cases)) {
  await mark(`case/${name}`);
  await run();
  await provider.forceFlush();
  await mark('case');
}
await provider.shutdown();
