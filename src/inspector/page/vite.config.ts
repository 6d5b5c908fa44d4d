import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/**
 * How the page is built. Whoever builds it gives `build.outDir`.
 *
 * Nothing of the page may be inline: it is served with a strict Content-Security-Policy.
 */
export default defineConfig({
  root: import.meta.dirname,
  // The path of the page holds a token: the page names its files relative to itself.
  base: "./",
  plugins: [react()],
  build: {
    // These browsers know `light-dark()`, of which the colours are made.
    target: ["chrome125", "firefox125", "safari18"],
    emptyOutDir: true,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
  },
});
