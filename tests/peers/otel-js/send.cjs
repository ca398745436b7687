// Sends spans named "<door> 0", "<door> 1", ... as a program with the OpenTelemetry SDK for JavaScript does.
// Arguments: door (http, proto or grpc), address, number of spans, key. Ends with 1 where an export failed.
const [door, url, count, key] = process.argv.slice(2);
const { diag, DiagLogLevel, SpanKind } = require('@opentelemetry/api');
const { NodeTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-node');
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${door}`);

let failed = false;
const report = (...said) => { failed = true; console.error(...said); };
diag.setLogger({ error: report, warn: report, info() {}, debug() {}, verbose() {} }, DiagLogLevel.WARN);

const settings = { url, compression: 'gzip', timeoutMillis: 15000 };
if (door === 'grpc') {
  const { Metadata, credentials } = require('@grpc/grpc-js');
  settings.metadata = new Metadata();
  settings.metadata.set('authorization', `Bearer ${key}`);
  settings.credentials = credentials.createInsecure();
} else {
  settings.headers = { authorization: `Bearer ${key}` };
}
const processor = new BatchSpanProcessor(new OTLPTraceExporter(settings), { maxExportBatchSize: 10 });
const provider = new NodeTracerProvider({ spanProcessors: [processor] });
const tracer = provider.getTracer('peer');

for (let n = 0; n < Number(count); n++) {
  const attributes = { 'gen_ai.request.model': 'gpt-5', 'gen_ai.usage.input_tokens': n, ratio: 0.5, list: ['a', 'b'] };
  tracer.startSpan(`${door} ${n}`, { kind: SpanKind.CLIENT, attributes }).end();
}
provider.shutdown().then(() => process.exit(failed ? 1 : 0));
