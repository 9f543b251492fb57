import react from '@vitejs/plugin-react'
import tailwindcss from '@tailwindcss/vite'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

// In development the page runs on Vite's own port and talks to a server (the real one or test/mock-server.mjs) here.
const SERVER = 'http://127.0.0.1:8080'

/** Every browser that can run this page reads WOFF2, so KaTeX's two older copies of each font are left out. */
const woff2Only: Plugin = {
  name: 'woff2-only',
  enforce: 'pre',
  transform: (code, id) => (/katex.*\.css/.test(id) ? code.replace(/,url\([^)]*\.(?:woff|ttf)\) format\("(?:woff|truetype)"\)/g, '') : undefined),
}

export default defineConfig({
  plugins: [woff2Only, react(), tailwindcss()],
  server: {
    host: '127.0.0.1',
    proxy: Object.fromEntries(['/chat', '/runs', '/sessions', '/config.json', '/health'].map((path) => [path, SERVER])),
  },
  // Nothing is inlined: the Content-Security-Policy allows no data: fonts, styles or scripts.
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, manifest: true },
  test: { environment: 'happy-dom', testTimeout: 40_000, setupFiles: ['test/setup.ts'], include: ['test/**/*.test.{ts,tsx}'] },
})
