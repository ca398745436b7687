import { defineConfig } from "vite";

// One script, one style sheet, no inline script: the page's content policy allows none.
export default defineConfig({
  base: "/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../src/tachograph/web/site",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    sourcemap: false,
  },
  server: { proxy: { "/api": process.env["TACHOGRAPH_API"] ?? "http://127.0.0.1:4180" } },
});
