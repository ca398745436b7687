package golden;

import io.opentelemetry.sdk.trace.SdkTracerProvider;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.springframework.ai.anthropic.AnthropicChatModel;
import org.springframework.ai.chat.client.ChatClient;
import org.springframework.ai.chat.model.ChatModel;
import org.springframework.ai.embedding.EmbeddingModel;
import org.springframework.ai.openai.OpenAiChatModel;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** Runs Spring AI against the simulated provider, case by case; Micrometer exports to the recorder. */
@SpringBootApplication
public class Recording implements CommandLineRunner {
  private static final String RECORDER = System.getenv("GOLDEN_RECORDER");
  private static final String QUESTION = "What is six times seven? scenario:";

  private static final long SPAN_ENDS_MS = 300; // the span of a stream ends in a thread of its own

  private final OpenAiChatModel gpt;
  private final AnthropicChatModel claude;
  private final EmbeddingModel embedder;
  private final SdkTracerProvider spans;
  private final ChatClient.Builder clients;
  private final HttpClient http = HttpClient.newHttpClient();

  Recording(OpenAiChatModel gpt, AnthropicChatModel claude, EmbeddingModel embedder, SdkTracerProvider spans,
      io.micrometer.observation.ObservationRegistry observations) {
    this.gpt = gpt;
    this.claude = claude;
    this.embedder = embedder;
    this.spans = spans;
    this.clients = ChatClient.builder(gpt, observations, null, null);
  }

  /** Starts the application; it ends when every case has run. */
  public static void main(String[] arguments) {
    String provider = System.getenv("GOLDEN_PROVIDER");
    SpringApplication application = new SpringApplication(Recording.class);
    application.setDefaultProperties(Map.ofEntries(
        Map.entry("spring.application.name", "golden"),
        Map.entry("spring.main.banner-mode", "off"),
        Map.entry("spring.ai.openai.api-key", "none"),
        Map.entry("spring.ai.openai.base-url", provider + "/v1"),
        Map.entry("spring.ai.openai.chat.model", "gpt-5-mini"),
        Map.entry("spring.ai.openai.chat.max-retries", "0"),
        Map.entry("spring.ai.openai.chat.stream-options.include-usage", "true"),
        Map.entry("spring.ai.openai.embedding.model", "text-embedding-3-small"),
        Map.entry("spring.ai.anthropic.api-key", "none"),
        Map.entry("spring.ai.anthropic.base-url", provider),
        Map.entry("spring.ai.anthropic.max-retries", "0"),
        Map.entry("spring.ai.anthropic.chat.model", "claude-sonnet-4-5"),
        Map.entry("spring.ai.retry.max-attempts", "1"),
        Map.entry("management.tracing.sampling.probability", "1.0"),
        Map.entry("management.opentelemetry.tracing.export.otlp.endpoint", RECORDER + "/v1/traces"),
        Map.entry("management.otlp.metrics.export.enabled", "false"),
        Map.entry("management.logging.export.enabled", "false")));
    System.exit(SpringApplication.exit(application.run(arguments)));
  }

  @Override
  public void run(String... arguments) throws Exception {
    Map<String, Runnable> cases = new LinkedHashMap<>();
    cases.put("openai", () -> gpt.call(QUESTION + "plain"));
    cases.put("openai_cached", () -> gpt.call(QUESTION + "cached"));
    cases.put("openai_stream_cached", () -> stream(gpt, "cached"));
    cases.put("openai_client", () -> clients.build().prompt(QUESTION + "cached").call().content());
    cases.put("anthropic", () -> claude.call(QUESTION + "plain"));
    cases.put("anthropic_cache_write", () -> claude.call(QUESTION + "cache_write"));
    cases.put("anthropic_stream_cached", () -> stream(claude, "cached"));
    cases.put("embeddings", () -> embedder.embed(List.of(QUESTION + "plain")));
    cases.put("error_rate_limited", () -> gpt.call(QUESTION + "rate_limited"));
    for (Map.Entry<String, Runnable> each : cases.entrySet()) {
      mark("case/" + each.getKey());
      try {
        each.getValue().run();
      } catch (RuntimeException failed) {
        if (!each.getKey().startsWith("error")) {
          throw failed;
        }
      }
      Thread.sleep(SPAN_ENDS_MS);
      spans.forceFlush().join(10, TimeUnit.SECONDS);
      mark("case");
    }
  }

  private static void stream(ChatModel model, String scenario) {
    model.stream(QUESTION + scenario).collectList().block();
  }

  private void mark(String path) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(RECORDER + "/" + path))
        .version(HttpClient.Version.HTTP_1_1)
        .POST(HttpRequest.BodyPublishers.noBody())
        .build();
    http.send(request, HttpResponse.BodyHandlers.discarding());
  }
}
