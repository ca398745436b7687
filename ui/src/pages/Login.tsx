// Where a key is asked for: beyond the machine itself everybody says who they are.
import { useState } from "preact/hooks";
import { Failure, send, session } from "../api";
import type { Session } from "../types";

export function Login() {
  const [token, setToken] = useState("");
  const [failure, setFailure] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      session.value = await send<Session>("POST", "session", { token: token.trim() });
    } catch (wrong) {
      setFailure(wrong instanceof Failure ? wrong.message : String(wrong));
    }
    setBusy(false);
  };
  return (
    <main class="login" id="main">
      <form class="panel" onSubmit={submit}>
        <h1>
          <img src="/icon.svg" alt="" width="28" height="28" /> Tachograph
        </h1>
        <label>
          Key
          <input
            type="password"
            autocomplete="current-password"
            spellcheck={false}
            required
            value={token}
            aria-invalid={failure !== ""}
            aria-describedby="login-help"
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        {failure && (
          <p class="bad" role="alert">
            {failure}
          </p>
        )}
        <button type="submit" class="primary" disabled={busy}>
          Sign in
        </button>
        <p class="muted" id="login-help">
          Who runs Tachograph makes one: <code>tachograph key add NAME --scope read</code>
        </p>
      </form>
    </main>
  );
}
