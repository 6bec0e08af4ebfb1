/// <reference types="vitest/config" />
import { tanstackRouter } from "@tanstack/router-plugin/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const backend = process.env.STUDIO_DEV_BACKEND ?? "http://127.0.0.1:5055";

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

export default defineConfig({
  // Relative, so that one build serves below any prefix; the server injects <base>.
  base: "./",
  plugins: [
    tanstackRouter({
      target: "react",
      autoCodeSplitting: true,
      routesDirectory: "src/routes",
      generatedRouteTree: "src/routeTree.gen.ts",
    }),
    react(),
    woff2Only,
  ],
  build: { target: "es2023", sourcemap: false, chunkSizeWarningLimit: 800, manifest: true },
  server: {
    host: "127.0.0.1",
    proxy: { "^/api": { target: backend, ws: true, changeOrigin: false } },
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    testTimeout: 30_000,
    setupFiles: ["src/test/setup.ts"],
  },
});
