// What to paste, by way in and language. In: where the doors are. Out: texts. Nothing here is asked of anybody.
import type { Connect } from "../types";

export interface Snippet {
  language: string;
  title: string;
  /** what to run first, if anything */
  install?: string;
  code: string;
  note?: string;
}

export interface Way {
  name: string;
  title: string;
  words: string;
  /** the setting that shuts this way; undefined while it is open */
  shut?: string;
  snippets: Snippet[];
}

interface Places {
  otlp: string;
  grpc: string;
  gateway: string;
  key: string;
}

/** Where the doors are as this reader's machine reaches them: `0.0.0.0` is wherever the page came from. */
export function places(connect: Connect, hostname: string): Places {
  const scheme = connect.tls ? "https" : "http";
  const reached = (door: string | undefined, otherwise: string) => {
    const address = (door ?? otherwise).replace(/^https?:\/\//, "");
    return `${scheme}://${address.replace(/^(0\.0\.0\.0|\[::\])(?=:|$)/, hostname)}`;
  };
  return {
    otlp: reached(connect.doors["otlp_http"], "127.0.0.1:4318"),
    grpc: reached(connect.doors["otlp_grpc"], "127.0.0.1:4317"),
    gateway: reached(connect.doors["gateway"], "127.0.0.1:4181"),
    key: connect.key_needed ? "tg_..." : "",
  };
}

export function ways(connect: Connect, hostname: string): Way[] {
  const at = places(connect, hostname);
  return [
    {
      name: "sdk",
      title: "Python",
      words: "One line in the process that makes the calls. No call site changes; prompts, answers and keys never leave it.",
      ...(connect.doors["otlp_http"] ? {} : { shut: "otlp_http" }),
      snippets: sdk(at),
    },
    {
      name: "gateway",
      title: "Any language",
      words: "Change the base URL. The gateway passes every byte on and measures; your key goes to the provider as before.",
      ...(connect.doors["gateway"] ? {} : { shut: "gateway" }),
      snippets: gateway(at),
    },
    {
      name: "otlp",
      title: "OpenTelemetry",
      words: "Send what your instrumentation emits already. Each call counts once, however many saw it.",
      ...(connect.doors["otlp_http"] ? {} : { shut: "otlp_http" }),
      snippets: otlp(at),
    },
  ];
}

function sdk(at: Places): Snippet[] {
  const key = at.key ? `, key="${at.key}"` : "";
  return [
    {
      language: "script",
      title: "Script or service",
      install: "pip install tachograph",
      code: `import tachograph

tachograph.instrument(collector="${at.otlp}"${key})

# who is asking: in any thread or task below this
with tachograph.context(team="search", feature="answers", customer="acme"):
    ...  # your calls, with whatever client library
`,
    },
    {
      language: "fastapi",
      title: "FastAPI",
      install: "pip install tachograph fastapi",
      code: `import tachograph
from fastapi import FastAPI
from tachograph.fastapi import TachographMiddleware

tachograph.instrument(collector="${at.otlp}"${key})
app = FastAPI()
app.add_middleware(TachographMiddleware)
`,
      note: "It reads who asks from the headers x-tachograph-team, -customer, -user and so on.",
    },
    {
      language: "environment",
      title: "By environment",
      install: "pip install tachograph",
      code: `export TACHOGRAPH_SDK_COLLECTOR=${at.otlp}
${at.key ? `export TACHOGRAPH_SDK_KEY=${at.key}\n` : ""}# and once in the program:
python -c 'import tachograph; tachograph.instrument()'
`,
    },
  ];
}

function gateway(at: Places): Snippet[] {
  const header = at.key ? `, default_headers={"x-tachograph-key": "${at.key}"}` : "";
  const curlKey = at.key ? ` \\\n  -H "x-tachograph-key: ${at.key}"` : "";
  return [
    {
      language: "python",
      title: "Python, openai",
      code: `from openai import OpenAI

client = OpenAI(base_url="${at.gateway}/openai/v1"${header})
`,
    },
    {
      language: "typescript",
      title: "TypeScript, openai",
      code: `import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "${at.gateway}/openai/v1",
  defaultHeaders: { "x-tachograph-team": "search"${at.key ? `, "x-tachograph-key": "${at.key}"` : ""} },
});
`,
    },
    {
      language: "anthropic",
      title: "TypeScript, anthropic",
      code: `import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({
  baseURL: "${at.gateway}/anthropic",
  defaultHeaders: { "x-tachograph-team": "search"${at.key ? `, "x-tachograph-key": "${at.key}"` : ""} },
});
`,
    },
    {
      language: "go",
      title: "Go",
      code: `client := openai.NewClient(
    option.WithBaseURL("${at.gateway}/openai/v1/"),
    option.WithHeader("x-tachograph-team", "search"),${at.key ? `\n    option.WithHeader("x-tachograph-key", "${at.key}"),` : ""}
)
`,
    },
    {
      language: "java",
      title: "Java",
      code: `OpenAIClient client = OpenAIOkHttpClient.builder()
    .fromEnv()
    .baseUrl("${at.gateway}/openai/v1")
    .putHeader("x-tachograph-team", "search")${at.key ? `\n    .putHeader("x-tachograph-key", "${at.key}")` : ""}
    .build();
`,
    },
    {
      language: "curl",
      title: "curl",
      code: `curl ${at.gateway}/openai/v1/chat/completions${curlKey} \\
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \\
  -H "x-tachograph-team: search" \\
  -d '{"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Say hello."}]}'
`,
    },
    {
      language: "claude-code",
      title: "Claude Code",
      code: `export ANTHROPIC_BASE_URL=${at.gateway}/anthropic
${at.key ? `export ANTHROPIC_CUSTOM_HEADERS="x-tachograph-key: ${at.key}"\n` : ""}claude
`,
    },
  ];
}

function otlp(at: Places): Snippet[] {
  const header = at.key ? `export OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer ${at.key}"\n` : "";
  return [
    {
      language: "environment",
      title: "Any SDK",
      code: `export OTEL_EXPORTER_OTLP_ENDPOINT=${at.otlp}
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
${header}`,
      note: "OpenTelemetry GenAI, OpenInference, OpenLLMetry, OpenLIT, Vercel AI, LiteLLM, Langfuse, Logfire, Spring AI and others are understood as they are.",
    },
    {
      language: "collector",
      title: "OpenTelemetry Collector",
      code: `exporters:
  otlphttp/tachograph:
    endpoint: ${at.otlp}
    compression: zstd${at.key ? `\n    headers:\n      authorization: Bearer ${at.key}` : ""}
service:
  pipelines:
    traces:
      exporters: [otlphttp/tachograph]  # beside those that are there
`,
    },
    {
      language: "vercel",
      title: "Vercel AI SDK",
      code: `// instrumentation.ts
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { NodeSDK } from "@opentelemetry/sdk-node";

new NodeSDK({
  traceExporter: new OTLPTraceExporter({ url: "${at.otlp}/v1/traces"${at.key ? `, headers: { authorization: "Bearer ${at.key}" }` : ""} }),
}).start();

// and in each call: experimental_telemetry: { isEnabled: true }
`,
    },
    {
      language: "litellm",
      title: "LiteLLM",
      code: `# config.yaml
litellm_settings:
  callbacks: ["otel"]

# environment
export OTEL_EXPORTER="otlp_http"
export OTEL_ENDPOINT="${at.otlp}/v1/traces"
${at.key ? `export OTEL_HEADERS="authorization=Bearer ${at.key}"\n` : ""}`,
    },
    {
      language: "claude-code",
      title: "Claude Code",
      code: `export CLAUDE_CODE_ENABLE_TELEMETRY=1
export OTEL_LOGS_EXPORTER=otlp OTEL_METRICS_EXPORTER=otlp
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_EXPORTER_OTLP_ENDPOINT=${at.otlp}
${header}`,
    },
  ];
}
