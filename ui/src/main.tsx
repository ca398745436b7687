// Starts the application: who asks, then the page of the address.
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import { render } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { Failure, listen, session, signedIn } from "./api";
import { Login } from "./pages/Login";
import { Shell } from "./parts/Shell";
import { Waiting } from "./parts/Panel";
import { followed, href, place } from "./place";
import { found } from "./routes";
import { scheme } from "./theme";

document.documentElement.dataset["scheme"] = scheme.value;

function Application() {
  const [failure, setFailure] = useState("");
  const ask = () => signedIn().then(() => setFailure(""), (wrong: unknown) => setFailure(wrong instanceof Failure ? wrong.message : String(wrong)));
  useLayoutEffect(() => void ask(), []);
  const inside = session.value !== null && session.value.role !== null;
  // before the questions of the page, which begin when the page is there
  useLayoutEffect(() => (inside ? listen() : undefined), [inside]);
  if (failure && !session.value) {
    return (
      <div class="failed" role="alert">
        <p>{failure}</p>
        <button type="button" onClick={ask}>
          Try again
        </button>
      </div>
    );
  }
  if (!session.value) return <Waiting height={300} />;
  if (!inside) return <Login />;
  const page = found(place.value.path);
  document.title = `${page?.title ?? "Not found"} · Tachograph`;
  return <Shell>{page ? <page.page key={place.value.path} /> : <Missing />}</Shell>;
}

function Missing() {
  return (
    <div class="nothing">
      <h1>There is no page {place.value.path}</h1>
      <p>
        <a href={href("/")}>Go to the overview</a>
      </p>
    </div>
  );
}

document.addEventListener("click", followed);
const root = document.getElementById("app");
if (root) render(<Application />, root);
