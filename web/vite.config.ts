/// <reference types="vitest/config" />
import { tanstackRouter } from "@tanstack/router-plugin/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type HtmlTagDescriptor, type Plugin } from "vite";

// Where the development server is, for when it does not stand alone on one machine: in a
// container behind an ingress, on sources that come over a mount without file events.
const env = process.env;
const backend = env.STUDIO_DEV_BACKEND ?? "http://127.0.0.1:5055";
const base = env.STUDIO_DEV_BASE ?? "./";
const hosts = env.STUDIO_DEV_ALLOWED_HOSTS;
const interval = Number(env.STUDIO_DEV_POLL_INTERVAL ?? 0);

/** The development server below a path tells the page so, as the Studio's servers do. */
function place(): Plugin {
  const script: HtmlTagDescriptor = {
    tag: "script",
    children: `window.__STUDIO__=${JSON.stringify({ basePath: base.replace(/\/+$/, "") })}`,
    injectTo: "head-prepend",
  };
  return {
    name: "studio-place",
    apply: "serve",
    transformIndexHtml: () => (base.startsWith("/") ? [script] : []),
  };
}

// Every browser that the build is for reads woff2; KaTeX's style sheet names two
// older formats as well, which would be some 700 kB in the binary.
const woff2Only: Plugin = {
  name: "woff2-only",
  enforce: "pre",
  transform(code, id) {
    if (!/katex[^?]*\.css/.test(id)) return;
    return code.replace(/,\s*url\([^)]*\)\s*format\("(?:woff|truetype)"\)/g, "");
  },
};

export default defineConfig(({ command }) => ({
  // Built relative, so that one build serves below any prefix; the server injects <base>.
  base: command === "serve" ? base : "./",
  plugins: [
    tanstackRouter({
      target: "react",
      autoCodeSplitting: true,
      routesDirectory: "src/routes",
      generatedRouteTree: "src/routeTree.gen.ts",
    }),
    react(),
    place(),
    woff2Only,
  ],
  build: { target: "es2023", sourcemap: false, chunkSizeWarningLimit: 800, manifest: true },
  server: {
    host: env.STUDIO_DEV_HOST ?? "127.0.0.1",
    allowedHosts: hosts === "*" ? true : (hosts?.split(",") ?? []),
    watch: interval > 0 ? { usePolling: true, interval } : {},
    proxy: { "^/api": { target: backend, ws: true, changeOrigin: false } },
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    testTimeout: 30_000,
    setupFiles: ["src/test/setup.ts"],
  },
}));
