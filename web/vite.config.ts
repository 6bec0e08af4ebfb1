/// <reference types="vitest/config" />
import { tanstackRouter } from "@tanstack/router-plugin/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const backend = process.env.STUDIO_DEV_BACKEND ?? "http://127.0.0.1:5055";

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
